-- What starts an app's builds. `settings` is JSON; `secret` is the sealed secret of its webhooks.
CREATE TABLE trigger_settings (
    app      TEXT PRIMARY KEY REFERENCES app (name) ON DELETE CASCADE,
    settings TEXT NOT NULL,
    secret   BLOB,
    looked   INTEGER,
    trouble  TEXT
) STRICT, WITHOUT ROWID;

-- Branches, tags and pull requests. `built` is the commit of the last build, `checked` the time up to which its schedule was
-- looked at, `preview` the app that is its preview.
CREATE TABLE branch (
    app      TEXT NOT NULL REFERENCES app (name) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('branch', 'change', 'tag')),
    head     TEXT NOT NULL,
    change   TEXT,
    built    TEXT,
    build    INTEGER,
    skipped  TEXT,
    preview  TEXT,
    triggers TEXT NOT NULL DEFAULT '[]',
    checked  INTEGER,
    changed  INTEGER NOT NULL,
    PRIMARY KEY (app, kind, name)
) STRICT, WITHOUT ROWID;

-- Webhooks' deliveries, for duplicates and for people. `payload` is what is still to be done, NULL once it is.
CREATE TABLE delivery (
    serial  INTEGER PRIMARY KEY AUTOINCREMENT,
    app     TEXT NOT NULL REFERENCES app (name) ON DELETE CASCADE,
    id      TEXT NOT NULL,
    event   TEXT NOT NULL,
    at      INTEGER NOT NULL,
    payload TEXT,
    outcome TEXT NOT NULL,
    UNIQUE (app, id)
) STRICT;
CREATE INDEX delivery_waiting ON delivery (serial) WHERE payload IS NOT NULL;

-- Statuses that a forge is to be told. A row stays until the last state of its build was taken.
CREATE TABLE commit_status (
    build    INTEGER PRIMARY KEY REFERENCES build (id) ON DELETE CASCADE,
    app      TEXT NOT NULL,
    told     TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    due      INTEGER NOT NULL,
    trouble  TEXT
) STRICT;
CREATE INDEX commit_status_due ON commit_status (due);

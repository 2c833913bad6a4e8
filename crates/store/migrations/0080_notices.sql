-- Monitors in a few words. `name` is the name of their alerts.
CREATE TABLE monitor (
    name    TEXT PRIMARY KEY,
    app     TEXT REFERENCES app (name) ON DELETE CASCADE,
    words   TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;

-- Who is told of alerts. The address and whatever is secret in it are in `ciphertext`; `least` is the least severity.
CREATE TABLE receiver (
    name       TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    least      TEXT NOT NULL CHECK (least IN ('warning', 'critical')),
    app        TEXT REFERENCES app (name) ON DELETE CASCADE,
    created    INTEGER NOT NULL,
    ciphertext BLOB NOT NULL
) STRICT;

-- Alerts that nobody is told of for a while. `matchers` is a JSON object of labels and values.
CREATE TABLE silence (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    matchers TEXT NOT NULL,
    starts   INTEGER NOT NULL,
    ends     INTEGER NOT NULL,
    comment  TEXT NOT NULL
) STRICT;

-- What a receiver was told last of a group of alerts.
CREATE TABLE notice_group (
    receiver TEXT NOT NULL REFERENCES receiver (name) ON DELETE CASCADE,
    key      TEXT NOT NULL,
    state    TEXT NOT NULL,
    PRIMARY KEY (receiver, key)
) STRICT, WITHOUT ROWID;

-- Notices that are not delivered yet.
CREATE TABLE notice (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    receiver TEXT NOT NULL REFERENCES receiver (name) ON DELETE CASCADE,
    body     TEXT NOT NULL,
    created  INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next     INTEGER NOT NULL,
    error    TEXT
) STRICT;
CREATE INDEX notice_next ON notice (next);

-- Who changed what of the above.
CREATE TABLE notice_change (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    at   INTEGER NOT NULL,
    what TEXT NOT NULL
) STRICT;

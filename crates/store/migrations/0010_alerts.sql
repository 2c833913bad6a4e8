-- What a person should look at. One of a kind and key at most is open at a time.
CREATE TABLE alert (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    app      TEXT REFERENCES app (name) ON DELETE CASCADE,
    kind     TEXT NOT NULL,
    key      TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('warning', 'critical')),
    summary  TEXT NOT NULL,
    details  TEXT NOT NULL DEFAULT '{}',
    raised   INTEGER NOT NULL,
    ended    INTEGER,
    revision INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX alert_open ON alert (kind, key) WHERE ended IS NULL;
CREATE INDEX alert_revision ON alert (revision);
CREATE INDEX alert_of_app ON alert (app, id);

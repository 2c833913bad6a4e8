-- Credentials. `app` is empty for one that all apps may use; `branches` is a JSON array of patterns. The secret itself is in
-- `ciphertext` alone.
CREATE TABLE credential (
    app         TEXT NOT NULL,
    id          TEXT NOT NULL,
    branches    TEXT NOT NULL,
    kind        TEXT NOT NULL,
    description TEXT NOT NULL,
    public      TEXT,
    created     INTEGER NOT NULL,
    changed     INTEGER NOT NULL,
    ciphertext  BLOB NOT NULL,
    PRIMARY KEY (app, id, branches)
) STRICT, WITHOUT ROWID;

-- What a deploy did and what its commands said, phase by phase; bounded per deploy by whoever writes.
CREATE TABLE deploy_log (
    id     INTEGER PRIMARY KEY,
    deploy INTEGER NOT NULL REFERENCES deploy (id) ON DELETE CASCADE,
    phase  TEXT NOT NULL,
    at     INTEGER NOT NULL,
    source TEXT NOT NULL,
    text   TEXT NOT NULL
) STRICT;
CREATE INDEX deploy_log_of_deploy ON deploy_log (deploy, id);

-- The command that runs once in an app's life: begun before it is started, so that it is never begun twice by itself.
CREATE TABLE once_command (
    app     TEXT PRIMARY KEY REFERENCES app (name) ON DELETE CASCADE,
    state   TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'unknown')),
    command TEXT NOT NULL,
    deploy  INTEGER,
    began   INTEGER NOT NULL,
    ended   INTEGER,
    detail  TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

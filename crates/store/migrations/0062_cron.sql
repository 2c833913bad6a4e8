-- Until when each clock of an app was looked at, so that what was due meanwhile is known.
CREATE TABLE clock (
    app  TEXT NOT NULL REFERENCES app (name) ON DELETE CASCADE,
    name TEXT NOT NULL,
    at   INTEGER NOT NULL,
    PRIMARY KEY (app, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE cron_run (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    app     TEXT NOT NULL REFERENCES app (name) ON DELETE CASCADE,
    job     TEXT NOT NULL,
    due     INTEGER NOT NULL,
    ended   INTEGER,
    state   TEXT NOT NULL,
    detail  TEXT NOT NULL DEFAULT '',
    release INTEGER NOT NULL,
    instance TEXT
) STRICT;
CREATE INDEX cron_run_of_job ON cron_run (app, job, id);
CREATE INDEX cron_run_running ON cron_run (state) WHERE state = 'running';

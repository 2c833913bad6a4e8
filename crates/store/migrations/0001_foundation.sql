-- Times are Unix milliseconds. States are kept twice: as a word that is searched, and as the JSON of the model's enum.

CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE app (
    name           TEXT PRIMARY KEY,
    created        INTEGER NOT NULL,
    branch         TEXT,
    stopped        INTEGER NOT NULL DEFAULT 0,
    description    TEXT,
    serving        INTEGER,
    config_version INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE formation (
    app       TEXT NOT NULL REFERENCES app (name) ON DELETE CASCADE,
    process   TEXT NOT NULL,
    instances INTEGER NOT NULL,
    PRIMARY KEY (app, process)
) STRICT, WITHOUT ROWID;

CREATE TABLE domain (
    domain TEXT PRIMARY KEY,
    app    TEXT NOT NULL REFERENCES app (name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX domain_of_app ON domain (app);

CREATE TABLE config (
    app        TEXT NOT NULL REFERENCES app (name) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    ciphertext BLOB NOT NULL,
    PRIMARY KEY (app, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE build (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    app     TEXT NOT NULL REFERENCES app (name) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    request TEXT NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('queued', 'running', 'finished')),
    detail  TEXT NOT NULL,
    stages  TEXT NOT NULL DEFAULT '[]',
    spec    TEXT,
    tests   TEXT,
    pid     INTEGER,
    swept   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX build_of_app ON build (app, id);
CREATE INDEX build_active ON build (state) WHERE state <> 'finished';

CREATE TABLE push (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    app    TEXT NOT NULL REFERENCES app (name) ON DELETE CASCADE,
    branch TEXT,
    hash   TEXT NOT NULL,
    at     INTEGER NOT NULL,
    cause  TEXT NOT NULL,
    build  INTEGER NOT NULL REFERENCES build (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX push_of_app ON push (app, id);
CREATE INDEX push_of_build ON push (build);

CREATE TABLE release (
    app            TEXT NOT NULL REFERENCES app (name) ON DELETE CASCADE,
    number         INTEGER NOT NULL,
    build          INTEGER NOT NULL REFERENCES build (id),
    hash           TEXT NOT NULL,
    subject        TEXT NOT NULL,
    spec           TEXT NOT NULL,
    config_version INTEGER NOT NULL,
    created        INTEGER NOT NULL,
    cause          TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('created', 'serving', 'superseded', 'refused')),
    detail         TEXT NOT NULL,
    PRIMARY KEY (app, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX release_of_build ON release (build);

CREATE TABLE deploy (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    app     TEXT NOT NULL REFERENCES app (name) ON DELETE CASCADE,
    release INTEGER NOT NULL,
    build   INTEGER,
    work    TEXT NOT NULL,
    created INTEGER NOT NULL,
    ended   INTEGER,
    state   TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'superseded', 'cancelled')),
    detail  TEXT NOT NULL,
    phases  TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE INDEX deploy_of_app ON deploy (app, id);
CREATE INDEX deploy_of_build ON deploy (build);
CREATE INDEX deploy_active ON deploy (state) WHERE state IN ('queued', 'running');

CREATE TABLE token (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT NOT NULL,
    hash    BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE login_code (
    hash    BLOB PRIMARY KEY,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    hash    BLOB PRIMARY KEY,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

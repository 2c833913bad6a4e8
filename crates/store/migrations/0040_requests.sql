-- What running builds ask, and the answers.
CREATE TABLE request (
    build   INTEGER NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    ask     TEXT NOT NULL,
    asked   INTEGER NOT NULL,
    -- What control began for it: the id of a deploy or of a build, so that it is begun once.
    begun   INTEGER,
    answer  TEXT,
    settled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (build, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_open ON request (build) WHERE settled = 0;

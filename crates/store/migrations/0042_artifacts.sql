-- What builds kept, by fingerprint; the files themselves are swept with the builds' folders.
CREATE TABLE artifact (
    build  INTEGER NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    path   TEXT NOT NULL,
    size   INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (build, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_fingerprint ON artifact (sha256);

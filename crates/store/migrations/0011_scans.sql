-- What scans of a build's dependencies found: by the build's own steps, and of the release that it became, which is looked
-- at again whenever the advisories change.
CREATE TABLE scan (
    build  INTEGER NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    origin TEXT NOT NULL CHECK (origin IN ('steps', 'release')),
    stamp  TEXT NOT NULL,
    known  TEXT NOT NULL,
    brief  TEXT NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (build, origin)
) STRICT, WITHOUT ROWID;

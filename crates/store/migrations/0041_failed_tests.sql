-- The failed tests of builds, so that a failure is told from a new one and from a flaky test after the reports are swept.
CREATE TABLE failed_test (
    build INTEGER NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    suite TEXT NOT NULL,
    name  TEXT NOT NULL,
    PRIMARY KEY (build, suite, name)
) STRICT, WITHOUT ROWID;

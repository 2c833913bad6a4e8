-- Agents on other machines, their leases of builds, and what control found out about a build before it starts.

CREATE TABLE agent (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT NOT NULL UNIQUE,
    hash    BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    labels  TEXT NOT NULL DEFAULT '[]',
    drained INTEGER NOT NULL DEFAULT 0,
    seen    INTEGER,
    report  TEXT
) STRICT;

CREATE TABLE lease (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    build INTEGER NOT NULL UNIQUE REFERENCES build (id) ON DELETE CASCADE,
    agent INTEGER NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
    at    INTEGER NOT NULL
) STRICT;
CREATE INDEX lease_of_agent ON lease (agent);

CREATE TABLE build_needs (
    build INTEGER PRIMARY KEY REFERENCES build (id) ON DELETE CASCADE,
    needs TEXT NOT NULL
) STRICT;

ALTER TABLE build ADD COLUMN agent TEXT;
ALTER TABLE build ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;

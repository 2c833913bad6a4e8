-- At which path a build saw its tree: `/app`, or nothing where it worked in the tree's own folder. What it left in the tree
-- (virtual environments, absolute paths) holds only there.
ALTER TABLE build ADD COLUMN seen_at TEXT;

-- The system user of each app, where Launchway is root. A number is never given to another app, even when its first one
-- is gone: files that it left somewhere must not become another's.
CREATE TABLE app_user (
    app TEXT PRIMARY KEY,
    uid INTEGER NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

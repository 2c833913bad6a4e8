"""SQLite with numbered migrations. Each thread has a connection of its own."""

import sqlite3
import threading
from pathlib import Path

MIGRATIONS = [
    """
    create table links (
        code text primary key,
        address text not null unique,
        visits integer not null default 0
    )
    """,
    "alter table links add column created text not null default ''",
]


class Database:
    """One file. It is not created before the first use."""

    def __init__(self, path):
        self.path = Path(path)
        self._local = threading.local()

    def connection(self):
        """This thread's connection, in autocommit mode."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=10, isolation_level=None)
            connection.execute("pragma journal_mode = wal")
            self._local.connection = connection
        return connection

    def migrate(self):
        """Applies the migrations that are missing, each in a transaction; gives the new version."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = self.connection()
        while True:
            connection.execute("begin immediate")
            (version,) = connection.execute("pragma user_version").fetchone()
            if version >= len(MIGRATIONS):
                connection.execute("commit")
                return version
            connection.execute(MIGRATIONS[version])
            connection.execute(f"pragma user_version = {version + 1}")
            connection.execute("commit")

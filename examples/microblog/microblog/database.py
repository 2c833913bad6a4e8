"""Where the data is."""

import os
from pathlib import Path

from sqlalchemy import Engine, create_engine, event


def url() -> str:
    given = os.environ.get("DATABASE_URL")
    if given:
        return given
    folder = Path(os.environ.get("DATA", "data"))
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder.absolute()}/microblog.db"


def engine_of(address: str) -> Engine:
    engine = create_engine(address)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def prepare(connection, _record) -> None:
            # Readers do not wait for a writer, and a writer waits for another one.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA busy_timeout = 5000")
            connection.execute("PRAGMA foreign_keys = ON")

    return engine

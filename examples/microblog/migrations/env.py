"""Runs the migrations against the database that the application uses."""

from alembic import context

from microblog.database import engine_of, url
from microblog.models import Base


def run() -> None:
    with engine_of(url()).connect() as connection:
        # A batch rewrites a table, which is how SQLite changes one.
        context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()


run()

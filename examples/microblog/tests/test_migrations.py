"""The migrations make what the models say."""

from alembic import command
from alembic.config import Config
from sqlalchemy import inspect

from microblog.database import engine_of
from microblog.models import Base


def test_migrations_make_the_models_tables(tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path}/migrated.db"
    monkeypatch.setenv("DATABASE_URL", address)
    command.upgrade(Config("alembic.ini"), "head")
    found = inspect(engine_of(address))
    for table in Base.metadata.sorted_tables:
        columns = {column["name"] for column in found.get_columns(table.name)}
        assert columns == {column.name for column in table.columns}, table.name
    command.downgrade(Config("alembic.ini"), "base")
    assert set(inspect(engine_of(address)).get_table_names()) <= {"alembic_version"}

"""Brings the database up to date: `python -m shortener.migrate`, the release command."""

import os
from pathlib import Path

from shortener import DATA_FOLDER
from shortener.database import Database


def main():
    database = Database(Path(os.environ.get(DATA_FOLDER, "data")) / "links.db")
    print(f"the database is at version {database.migrate()}")


if __name__ == "__main__":
    main()

"""Links: short codes for addresses, and how often each was followed."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import urlsplit

# Without 0, O, 1, l and I, which people mistake for each other.
ALPHABET = "23456789abcdefghijkmnopqrstuvwxyz"
CODE_LENGTH = 6
LONGEST_ADDRESS = 2000


class BadAddress(ValueError):
    """An address that cannot be shortened, with the reason for people."""


@dataclass(frozen=True)
class Link:
    """A short code and what it stands for."""

    code: str
    address: str
    visits: int


def create(database, address):
    """The link of an address; the same address always has the same one."""
    address = _checked(address)
    connection = database.connection()
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    connection.execute(
        "insert into links (code, address, created) values (?, ?, ?) on conflict (address) do nothing",
        (_new_code(), address, now),
    )
    row = connection.execute("select code, address, visits from links where address = ?", (address,)).fetchone()
    return Link(*row)


def visit(database, code):
    """The address of a code, counted as one more visit; `None` where there is no such code."""
    row = (
        database.connection()
        .execute("update links set visits = visits + 1 where code = ? returning address", (code,))
        .fetchone()
    )
    return row[0] if row else None


def latest(database, number):
    """The newest links, newest first."""
    rows = database.connection().execute(
        "select code, address, visits from links order by created desc, rowid desc limit ?", (number,)
    )
    return [Link(*row) for row in rows]


def count(database):
    """How many links there are."""
    return database.connection().execute("select count(*) from links").fetchone()[0]


def _checked(address):
    address = address.strip()
    if not address:
        raise BadAddress("Enter an address.")
    if len(address) > LONGEST_ADDRESS:
        raise BadAddress(f"An address may have at most {LONGEST_ADDRESS} characters.")
    try:
        parts = urlsplit(address)
    except ValueError:
        raise BadAddress("That is not an address.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadAddress("An address starts with http:// or https:// and names a host.")
    return address


def _new_code():
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))

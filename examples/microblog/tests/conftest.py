"""An application with an empty database in memory, and clients of it."""

import re

import pytest

import microblog
from microblog.models import Base


@pytest.fixture
def app(tmp_path):
    app = microblog.create_app(
        {
            "DATABASE_URL": f"sqlite:///{tmp_path}/test.db",
            "SECRET_KEY": "test",
            "TESTING": True,
            "PER_PAGE": 3,
        }
    )
    Base.metadata.create_all(app.extensions["engine"])
    return app


class Person:
    """A browser: it sends each form with the token of the page that it came from."""

    def __init__(self, client):
        self.client = client

    def get(self, path):
        return self.client.get(path, follow_redirects=True)

    def send(self, path, page=None, **fields):
        found = re.search(r'name="token" value="(\w+)"', self.get(page or "/login").text)
        return self.client.post(path, data={"token": found.group(1), **fields}, follow_redirects=True)

    def sign_up(self, name):
        return self.send("/signup", name=name, password="correct horse")


@pytest.fixture
def person(app):
    return lambda: Person(app.test_client())

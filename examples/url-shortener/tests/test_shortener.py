import threading

import pytest

from shortener import create_application, links
from shortener.database import MIGRATIONS, Database


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "links.db")
    database.migrate()
    return database


@pytest.fixture
def client(database):
    return create_application(database.path.parent).test_client()


def test_the_page_is_empty_at_first(client):
    page = client.get("/")
    assert page.status_code == 200
    assert b"No links yet." in page.data


def test_an_address_is_shortened_and_followed(client):
    answer = client.post("/", data={"address": "https://example.org/a?b=c"})
    assert answer.status_code == 303
    code = answer.headers["Location"].rsplit("#")[-1]
    redirect = client.get(f"/{code}")
    assert redirect.status_code == 302
    assert redirect.headers["Location"] == "https://example.org/a?b=c"
    assert b"<td>1</td>" in client.get("/").data


def test_the_same_address_has_one_link(database):
    assert links.create(database, "https://example.org") == links.create(database, " https://example.org ")
    assert links.count(database) == 1


@pytest.mark.parametrize("address", ["", "example.org", "javascript:alert(1)", "http://", "https://" + "a" * 2000])
def test_a_bad_address_is_refused_with_the_reason(client, address):
    answer = client.post("/", data={"address": address})
    assert answer.status_code == 400
    assert b'role="alert"' in answer.data


def test_text_of_visitors_is_escaped(client):
    client.post("/", data={"address": "https://example.org/<script>"})
    assert b"<script>" not in client.get("/").data


def test_an_unknown_code_is_not_found(client):
    assert client.get("/nothing").status_code == 404


def test_the_api_makes_and_lists_links(client):
    made = client.post("/api/links", json={"address": "https://example.org"})
    assert made.status_code == 201
    assert client.get("/api/links").get_json() == [made.get_json()]
    assert client.post("/api/links", json={"address": 7}).status_code == 400


def test_visits_of_many_threads_are_all_counted(database):
    link = links.create(database, "https://example.org")

    def visit():
        for _ in range(20):
            assert links.visit(database, link.code) == link.address

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert links.latest(database, 1)[0].visits == 80


def test_migrations_run_once(database):
    links.create(database, "https://example.org")
    assert database.migrate() == len(MIGRATIONS)
    assert links.count(database) == 1


def test_health_names_the_number_of_links(client):
    assert client.get("/health").get_json()["links"] == 0

def test_sign_up_log_out_and_in(person):
    ann = person()
    assert "Hello, ann!" in ann.sign_up("ann").text
    ann.send("/logout")
    assert "wrong" in ann.send("/login", name="ann", password="nope").text
    assert "Hello, ann!" in ann.send("/login", name="ann", password="correct horse").text


def test_a_name_is_taken_once(person):
    person().sign_up("ann")
    assert "taken" in person().sign_up("ann").text


def test_weak_passwords_and_odd_names_are_refused(person):
    ann = person()
    assert "at least 8" in ann.send("/signup", name="ann", password="short").text
    assert "letters" in ann.send("/signup", name="a b", password="correct horse").text


def test_forms_of_other_sites_are_refused(app):
    answer = app.test_client().post("/signup", data={"name": "eve", "password": "correct horse"})
    assert answer.status_code == 400


def test_after_log_in_only_own_paths_are_gone_to(person):
    ann = person()
    ann.sign_up("ann")
    ann.send("/logout")
    answer = ann.client.get("/login?next=//evil.example/")
    token = answer.text.split('name="token" value="')[1].split('"')[0]
    answer = ann.client.post(
        "/login?next=//evil.example/",
        data={"token": token, "name": "ann", "password": "correct horse"},
    )
    assert answer.headers["location"] == "/"


def test_german(person):
    ann = person()
    ann.send("/language/de")
    assert "Anmelden" in ann.get("/login").text

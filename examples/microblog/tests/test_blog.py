def test_a_post_is_seen_by_all(person):
    ann = person()
    ann.sign_up("ann")
    ann.send("/", text="first post <b>")
    assert "first post &lt;b&gt;" in person().get("/explore").text


def test_home_shows_those_who_are_followed(person):
    ann, bob = person(), person()
    ann.sign_up("ann")
    bob.sign_up("bob")
    bob.send("/", text="from bob")
    assert "from bob" not in ann.get("/").text
    assert "Unfollow" in ann.send("/people/bob/follow").text
    assert "from bob" in ann.get("/").text
    ann.send("/people/bob/follow")
    assert "from bob" not in ann.get("/").text


def test_posts_come_in_pages(person):
    ann = person()
    ann.sign_up("ann")
    for number in range(4):
        ann.send("/", text=f"post {number}")
    first = ann.get("/people/ann").text
    assert "post 3" in first and "post 0" not in first and "4 posts" in first
    assert "post 0" in ann.get("/people/ann?page=2").text


def test_a_post_has_a_length(person):
    ann = person()
    ann.sign_up("ann")
    assert "between 1 and 280" in ann.send("/", text="x" * 281).text
    assert "between 1 and 280" in ann.send("/", text=" ").text


def test_nobody_follows_themselves_or_nobody(person):
    ann = person()
    ann.sign_up("ann")
    assert ann.send("/people/ann/follow").status_code == 400
    assert ann.send("/people/nobody/follow").status_code == 404


def test_posting_needs_an_account(person):
    answer = person().get("/")
    assert "Log in" in answer.text


def test_about(person):
    ann = person()
    ann.sign_up("ann")
    assert "I write" in ann.send("/about", about="I write").text


def test_health(person):
    assert person().get("/healthz").text == "ok\n"

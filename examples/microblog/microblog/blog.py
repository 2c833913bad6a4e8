"""Posts, people and who follows whom."""

from flask import Blueprint, abort, current_app, flash, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from sqlalchemy import Select, func, select

from .accounts import logged_in
from .models import Account, Post

pages = Blueprint("blog", __name__)

LONGEST = 280


def page_of(posts: Select[tuple[Post]]) -> dict:
    number = max(request.args.get("page", 1, type=int), 1)
    size = current_app.config["PER_PAGE"]
    found = g.database.scalars(posts.offset((number - 1) * size).limit(size + 1)).all()
    return {"posts": found[:size], "page": number, "more": len(found) > size}


def named(name: str) -> Account:
    account = g.database.scalar(select(Account).where(Account.name == name))
    if account is None:
        abort(404)
    return account


@pages.route("/", methods=["GET", "POST"])
@logged_in
def home():
    if request.method == "POST":
        text = request.form["text"].strip()
        if not 1 <= len(text) <= LONGEST:
            flash(_("A post has between 1 and %(most)d characters.", most=LONGEST))
        else:
            g.database.add(Post(author=g.account, text=text))
            g.database.commit()
            return redirect(url_for("blog.home"))
    return render_template("home.html", **page_of(g.account.timeline()))


@pages.get("/explore")
def explore():
    return render_template("explore.html", **page_of(select(Post).order_by(Post.id.desc())))


@pages.get("/people/<name>")
def person(name: str):
    account = named(name)
    posts = select(Post).where(Post.author_id == account.id).order_by(Post.id.desc())
    count = g.database.scalar(select(func.count()).select_from(Post).where(Post.author_id == account.id))
    return render_template("person.html", person=account, count=count, **page_of(posts))


@pages.post("/people/<name>/follow")
@logged_in
def follow(name: str):
    other = named(name)
    if other == g.account:
        abort(400, "nobody follows themselves")
    if g.account.follows(other):
        g.account.following.remove(other)
    else:
        g.account.following.append(other)
    g.database.commit()
    return redirect(url_for("blog.person", name=name))


@pages.route("/about", methods=["GET", "POST"])
@logged_in
def about():
    if request.method == "POST":
        g.account.about = request.form["about"].strip()[:200]
        g.database.commit()
        return redirect(url_for("blog.person", name=g.account.name))
    return render_template("about.html")

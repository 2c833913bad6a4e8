"""Signing up, logging in and out, and the language."""

import hmac
import secrets
from functools import wraps

from flask import Blueprint, abort, flash, g, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from .models import Account

pages = Blueprint("accounts", __name__)

SHORTEST_PASSWORD = 8


def form_token() -> str:
    """What every form carries, so that no other site can send it."""
    if "token" not in session:
        session["token"] = secrets.token_hex(16)
    return session["token"]


@pages.before_app_request
def check_token() -> None:
    if request.method == "POST":
        given = request.form.get("token", "")
        if not hmac.compare_digest(given, session.get("token", "")) or not given:
            abort(400, "the form is too old; load the page again")


def logged_in(view):
    @wraps(view)
    def checked(*args, **kwargs):
        if g.account is None:
            return redirect(url_for("accounts.login", next=request.path))
        return view(*args, **kwargs)

    return checked


def begin(account: Account):
    session["account"] = account.id
    target = request.args.get("next", "")
    # Only a path of our own is gone to.
    if not target.startswith("/") or target.startswith("//"):
        target = url_for("blog.home")
    return redirect(target)


@pages.route("/signup", methods=["GET", "POST"])
def signup():
    if request.method == "POST":
        name = request.form["name"].strip()
        password = request.form["password"]
        if not (1 <= len(name) <= 40 and name.isidentifier()):
            flash(_("A name is made of letters, digits and underscores."))
        elif len(password) < SHORTEST_PASSWORD:
            flash(_("The password needs at least %(count)d characters.", count=SHORTEST_PASSWORD))
        else:
            account = Account(name=name)
            account.set_password(password)
            g.database.add(account)
            try:
                g.database.commit()
            except IntegrityError:
                g.database.rollback()
                flash(_("This name is taken."))
            else:
                return begin(account)
    return render_template("signup.html")


@pages.route("/login", methods=["GET", "POST"])
def login():
    if request.method == "POST":
        named = select(Account).where(Account.name == request.form["name"].strip())
        account = g.database.scalar(named)
        if account is not None and account.has_password(request.form["password"]):
            return begin(account)
        flash(_("Name or password is wrong."))
    return render_template("login.html")


@pages.post("/logout")
def logout():
    session.pop("account", None)
    return redirect(url_for("blog.explore"))


@pages.post("/language/<code>")
def choose_language(code: str):
    session["language"] = code
    return redirect(url_for("blog.explore"))

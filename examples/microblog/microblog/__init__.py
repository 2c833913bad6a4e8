"""A small microblog: accounts, posts, and who follows whom."""

import os
import secrets
from pathlib import Path

from flask import Flask, g, request, session
from flask_babel import Babel
from sqlalchemy.orm import Session

from . import accounts, blog
from .database import engine_of, url
from .models import Account

LANGUAGES = ["en", "de"]


def create_app(config: dict | None = None) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        DATABASE_URL=url(),
        SECRET_KEY=os.environ.get("SECRET_KEY") or kept_key(),
        PER_PAGE=20,
    )
    app.config.update(config or {})
    app.extensions["engine"] = engine_of(app.config["DATABASE_URL"])
    Babel(app, locale_selector=language)

    @app.before_request
    def open_session() -> None:
        g.database = Session(app.extensions["engine"])
        account = session.get("account")
        g.account = g.database.get(Account, account) if account else None

    @app.teardown_request
    def close_session(_error: BaseException | None) -> None:
        database = g.pop("database", None)
        if database is not None:
            database.close()

    @app.get("/healthz")
    def healthz() -> str:
        g.database.query(Account.id).limit(1).all()
        return "ok\n"

    app.context_processor(lambda: {"languages": LANGUAGES, "token": accounts.form_token})
    app.register_blueprint(accounts.pages)
    app.register_blueprint(blog.pages)
    return app


def language() -> str:
    chosen = session.get("language")
    if chosen in LANGUAGES:
        return chosen
    return request.accept_languages.best_match(LANGUAGES) or LANGUAGES[0]


def kept_key() -> str:
    """The key that signs sessions, made once and kept, so that a new release logs nobody out."""
    path = Path(os.environ.get("DATA", "data")) / "secret_key"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            path.chmod(0o600)
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return path.read_text() or secrets.token_hex(32)

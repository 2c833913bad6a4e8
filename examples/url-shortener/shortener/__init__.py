"""A small URL shortener: a form, a list of links, redirects, a JSON API."""

import logging
import os
from pathlib import Path

from flask import Flask, abort, jsonify, redirect, render_template, request, url_for

from shortener import links
from shortener.database import Database

DATA_FOLDER = "SHORTENER_DATA"


def create_application(data_folder=None):
    """Makes the application. The links lie in `data_folder`, else in $SHORTENER_DATA, else in ./data."""
    application = Flask(__name__)
    folder = Path(data_folder or os.environ.get(DATA_FOLDER, "data"))
    database = Database(folder / "links.db")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

    @application.get("/")
    def index():
        return render_template("index.html", links=links.latest(database, 20), problem=None, address="")

    @application.post("/")
    def shorten():
        address = request.form.get("address", "")
        try:
            link = links.create(database, address)
        except links.BadAddress as problem:
            page = render_template("index.html", links=links.latest(database, 20), problem=problem, address=address)
            return page, 400
        application.logger.info("made %s for %s", link.code, link.address)
        return redirect(url_for("index", _anchor=link.code), code=303)

    @application.post("/api/links")
    def create_by_api():
        body = request.get_json(silent=True) or {}
        try:
            link = links.create(database, str(body.get("address", "")))
        except links.BadAddress as problem:
            return jsonify(error=str(problem)), 400
        return jsonify(code=link.code, address=link.address, visits=link.visits), 201

    @application.get("/api/links")
    def list_by_api():
        return jsonify(
            [{"code": link.code, "address": link.address, "visits": link.visits} for link in links.latest(database, 100)]
        )

    @application.get("/health")
    def health():
        return jsonify(status="ok", links=links.count(database), release=os.environ.get("LAUNCHWAY_RELEASE", "none"))

    @application.get("/<code>")
    def follow(code):
        address = links.visit(database, code)
        if address is None:
            abort(404)
        return redirect(address, code=302)

    return application


def __getattr__(name):
    # Gunicorn asks for `shortener:application`; tests and migrations import the package without making one.
    if name == "application":
        return create_application()
    raise AttributeError(name)

"""A request in a language, for what builds parts of a page."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from flask import Flask

from api.app import create_app
from shared.i18n.languages import Language
from shared.redis.servers import with_server_urls
from shared.settings import Settings


@contextmanager
def in_language(language: Language) -> Iterator[None]:
    """Inside, the page is asked for in `language`; there is no server and no model."""
    # A context of the application of its own: the language is kept in it.
    with _app().app_context(), _app().test_request_context(f"/?lang={language}"):
        yield


@cache
def _app() -> Flask:
    home = Path(tempfile.mkdtemp(prefix="cp-pages-"))
    return create_app(with_server_urls(Settings(home=home, models_path=home / "none")))

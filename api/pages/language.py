"""The language of a page: `?lang=`, else the header `Accept-Language`; French without either."""

import re
from urllib.parse import urlencode

from flask import Flask, Response, g, request

from api.http.context import is_visitor
from api.http.context import language as preferred_language
from shared.i18n.catalogue import translate, translate_plural
from shared.i18n.languages import (
    LANGUAGE_NAMES,
    LANGUAGES,
    Language,
    as_language,
    direction,
)

PARAMETER = "lang"
_TRACKING = re.compile("utm_|fbclid$|gclid$")
"""Parameters that other sites add to links, which ours do not pass on."""


def page_language() -> Language:
    """The language of the page that answers the current request."""
    return chosen_language() or preferred_language()


def chosen_language() -> Language | None:
    """The language that the address states; None without one."""
    if "page_language" not in g:
        g.page_language = as_language(request.args.get(PARAMETER, ""))
    chosen: Language | None = g.page_language
    return chosen


def page_url(path: str, **query: str) -> str:
    """The address of another page, which keeps the chosen language.

    Args:
        path: without query.
        query: further parameters.
    """
    chosen = chosen_language()
    if chosen is not None:
        query[PARAMETER] = chosen
    return f"{path}?{urlencode(query)}" if query else path


def gettext(text: str) -> str:
    """An English text in the language of the page."""
    return translate(text, page_language())


def ngettext(singular: str, plural: str, number: int) -> str:
    """The form of an English text that `number` takes in the language of the page."""
    return translate_plural(singular, plural, number, page_language())


def register(app: Flask) -> None:
    """Give the templates `_`, `ngettext`, `{% trans %}`, `page_url` and the language."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    # newstyle: `_("... %(name)s ...", name=value)` escapes the values.
    app.jinja_env.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    app.add_template_filter(gettext, "translated")
    app.context_processor(_context)
    app.after_request(_state_language)


def _state_language(response: Response) -> Response:
    """State the language of a page; a view that knows better has already done so."""
    if g.get("is_page") and response.mimetype == "text/html":
        response.headers.setdefault("Content-Language", page_language())
    return response


def _context() -> dict[str, object]:
    """The variables of every template."""
    g.is_page = True
    language = page_language()
    return {
        "language": language,
        "direction": direction(language),
        "page_url": page_url,
        "files_need_key": is_visitor(),
        "language_links": _language_links(language),
    }


def _language_links(current: Language) -> list[dict[str, object]]:
    """The addresses of this page in each language; only of pages that can be asked for by GET."""
    is_read = request.method in {"GET", "HEAD"}
    path = request.path if is_read else "/"
    query = request.args.to_dict(flat=False) if is_read else {}
    query = {name: texts for name, texts in query.items() if not _TRACKING.match(name)}
    return [
        {
            "language": one,
            "direction": direction(one),
            "name": LANGUAGE_NAMES[one],
            "url": f"{path}?{urlencode(query | {PARAMETER: [one]}, doseq=True)}",
            "is_current": one == current,
        }
        for one in LANGUAGES
    ]

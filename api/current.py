"""What belongs to the current request: services, caller, language."""

from typing import TYPE_CHECKING, cast

from flask import current_app, g, request

from shared.domain.ids import CallerId
from shared.schemas.messages import DEFAULT_LANGUAGE, LANGUAGES, Language

if TYPE_CHECKING:
    from api.container import ApiServices

EXTENSION = "carprice"


def services() -> "ApiServices":
    """The services of this application."""
    return cast("ApiServices", current_app.extensions[EXTENSION])


def caller_id() -> CallerId:
    """Who calls; set by `api.auth` before the view runs."""
    return CallerId(g.caller.id)


def language() -> Language:
    """French or English, by `Accept-Language`; French when the caller has no preference."""
    if "Accept-Language" not in request.headers:
        return DEFAULT_LANGUAGE
    for tag, quality in request.accept_languages:  # the most wanted first, `*` last
        wanted = tag.partition("-")[0].casefold()
        for known in LANGUAGES:
            if wanted == known and quality > 0:
                return known
    return DEFAULT_LANGUAGE

"""What belongs to the current request: services, caller, language."""

import dataclasses
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from flask import current_app, g, request
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from shared.domain.ids import CallerId
from shared.domain.job import Job
from shared.domain.valuation import Valuation
from shared.messages.texts import DEFAULT_LANGUAGE, LANGUAGES, Language

if TYPE_CHECKING:
    from api.container import ApiServices
    from api.valuations.loop_service import Finish

EXTENSION = "carprice"
HANDOFF_KEY = "carprice.handoff"
"""Where the environment of a request keeps its `FastPathHandoff`."""
CACHED_HEADER_MAX_CHARS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class FastPathHandoff:
    """A request that `api.transport.fast_path` started and a view finishes."""

    started: float
    """`time.perf_counter` at the arrival of the request."""
    finish: "Finish | Exception"
    """What is left to do, or what went wrong."""

    def result(self) -> Valuation | Job:
        """What the request comes to; raises what went wrong."""
        if isinstance(self.finish, Exception):
            raise self.finish
        return self.finish()


def handoff() -> FastPathHandoff | None:
    """What this request has come to before Flask saw it; usually nothing."""
    return cast("FastPathHandoff | None", request.environ.get(HANDOFF_KEY))


def services() -> "ApiServices":
    """The services of this application."""
    return cast("ApiServices", current_app.extensions[EXTENSION])


def caller_id() -> CallerId:
    """Who calls; set by `api.middleware.authentication` before the view runs."""
    return CallerId(g.caller.id)


def language() -> Language:
    """French or English, by `Accept-Language`; French when the caller has no preference."""
    return preferred_language(request.headers.get("Accept-Language"))


def preferred_language(accept_language: str | None) -> Language:
    """`language` by the header's text; None: there is no such header."""
    if accept_language is None:
        return DEFAULT_LANGUAGE
    if len(accept_language) <= CACHED_HEADER_MAX_CHARS:
        return _cached_preference(accept_language)
    return _preference(accept_language)


def _preference(accept_language: str) -> Language:
    accepted = parse_accept_header(accept_language, LanguageAccept)
    for tag, quality in accepted:  # the most wanted first, `*` last
        wanted = tag.partition("-")[0].casefold()
        for known in LANGUAGES:
            if wanted == known and quality > 0:
                return known
    return DEFAULT_LANGUAGE


_cached_preference = lru_cache(maxsize=256)(_preference)

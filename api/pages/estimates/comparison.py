"""`/comparer`: up to four kept estimates side by side; `/estimations`: those of this browser."""

import dataclasses
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from api.estimates.views import readable
from api.http.context import services
from api.http.problems import status_of
from api.middleware.authentication import accept_basic_auth
from api.ops.docs_views import html_response
from api.pages.car.page import problem_notice, show_error, show_http_error
from api.pages.car.views import show_unexpected_error
from api.pages.estimates.labels import LOCALES, format_date, path_of, reference
from api.pages.estimates.summary import Summary, summarize
from api.pages.language import chosen_language, page_language, page_url
from api.pages.language import gettext as _
from api.pages.policy import ASSETS, BASIC_CHALLENGE, PAGE_CSP
from api.pages.typography import format_amount, format_price
from shared.blobs.estimate_files import KeptEstimate, id_in
from shared.domain.errors import DomainError, ValuationNotFound
from shared.domain.job import Job
from shared.fields.car import CAR_FIELDS

MAX_CARS = 4
MAX_NAMED = 8
"""Cars too many that are named; further ones are counted."""
MAX_TYPED_CHARS = 300

blueprint = Blueprint("comparison_pages", __name__)
blueprint.before_request(accept_basic_auth)
blueprint.register_error_handler(DomainError, show_error)
blueprint.register_error_handler(Exception, show_unexpected_error)


@blueprint.errorhandler(HTTPException)
def show_http(error: HTTPException) -> Response:
    """Show the form of `/` with an HTTP error."""
    return show_http_error(error.code or 500)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One address that was given, and the estimate behind it or why there is none."""

    typed: str
    kept: KeptEstimate | None = None
    summary: Summary | None = None
    error: str = ""
    status: int = 200


@blueprint.get("/comparer")
def compare() -> Response:
    """Compare the estimates that the query names, by address or id."""
    typed = [text.strip()[:MAX_TYPED_CHARS] for text in request.args.getlist("id")]
    # Two spellings of an address are one car.
    given = list({id_in(text) or text: text for text in reversed(typed) if text}.values())[::-1]
    entries = [_entry(text) for text in given[:MAX_CARS]]
    found = [one for one in entries if one.kept is not None]
    status = max((one.status for one in entries if one.error), default=HTTPStatus.OK)
    response = html_response(
        "estimates/compare.html",
        PAGE_CSP,
        status=status if not found else HTTPStatus.OK,
        assets=ASSETS,
        boxes=[*entries, *[Entry(typed="")] * (MAX_CARS - len(entries))],
        errors=[one for one in entries if one.error],
        cars=[_head(one, found) for one in found],
        rows=_rows(found) if found else [],
        left_out=[_left_out(text) for text in given[MAX_CARS:][:MAX_NAMED]],
        left_out_count=len(given[MAX_CARS:]),
    )
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    if any(one.status == HTTPStatus.UNAUTHORIZED for one in entries):
        response.status_code = HTTPStatus.UNAUTHORIZED
        response.headers["WWW-Authenticate"] = BASIC_CHALLENGE
    return response


@blueprint.get("/estimations")
def history() -> Response:
    """The list of the estimates of this browser, which the server does not know."""
    return html_response(
        "estimates/history.html",
        PAGE_CSP,
        assets=ASSETS,
        days=services().estimates.days,
        price_pattern=format_amount(0).replace("0", "{amount}"),
        locale=LOCALES[page_language()].replace("_", "-"),
    )


def _entry(typed: str) -> Entry:
    """The estimate that an address or id names."""
    estimate_id = id_in(typed)
    if estimate_id is None:
        text = _("This is not the address of an estimate.")
        return Entry(typed=typed, error=text, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        kept = services().estimates.completed(readable(estimate_id))
        if isinstance(kept, Job):
            raise ValuationNotFound(id=estimate_id)
    except DomainError as error:
        if status_of(error) == HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        text = problem_notice(error.code, error.params)["detail"]
        return Entry(typed=typed, error=text, status=status_of(error))
    return Entry(typed=typed, kept=kept, summary=summarize(kept))


def _left_out(typed: str) -> dict[str, str]:
    """What is said of a car for which there is no place: its name, else what was typed."""
    one = _entry(typed)
    if one.kept is None or one.summary is None:
        return {"name": typed, "address": ""}
    return {"name": one.summary.car, "address": page_url(path_of(one.kept.id))}


def _head(one: Entry, found: Sequence[Entry]) -> dict[str, Any]:
    """Name and links of a compared car."""
    kept, summary = _pair(one)
    others = [str(_pair(each)[0].id) for each in found if each is not one]
    return {
        "id": kept.id,
        "car": summary.car,
        "address": page_url(path_of(kept.id)),
        "reference": reference(kept.id),
        "without": comparison_url(others),
    }


def comparison_url(ids: Sequence[str]) -> str:
    """The address of a comparison, in the chosen language."""
    query = [("id", one) for one in ids]
    chosen = chosen_language()
    if chosen is not None:
        query.append(("lang", chosen))
    return f"/comparer?{urlencode(query)}" if query else "/comparer"


def _rows(found: Sequence[Entry]) -> list[dict[str, Any]]:
    """The rows of the table: what is said of the prices, then every field that a car states."""
    pairs = [_pair(one) for one in found]
    cheapest = min(summary.price_mad for _kept, summary in pairs)
    prices = [
        {"text": summary.price, "note": _dearer(summary.price_mad - cheapest)}
        for _kept, summary in pairs
    ]
    rows = [
        {"label": _("Price"), "cells": prices, "is_price": True, "differs": False},
        _row(_("Nine in ten"), [_range(summary) for _kept, summary in pairs]),
        _row(_("Asking price"), [summary.asking for _kept, summary in pairs]),
        _row(_("Opinion"), [summary.verdict for _kept, summary in pairs]),
        _row(_("Year"), [str(kept.request.car.year) for kept, _summary in pairs], compares=True),
    ]
    rows += _field_rows([summary for _kept, summary in pairs])
    dates = [format_date(kept.at, page_language()) for kept, _summary in pairs]
    rows.append(_row(_("Estimated"), dates))
    rows.append(_row(_("Reference"), [reference(kept.id) for kept, _summary in pairs]))
    return [row for row in rows if any(cell["text"] for cell in row["cells"])]


def _field_rows(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """One row for each field that any of the cars states."""
    stated = [{name: value for name, _label, value in one.facts} for one in summaries]
    return [
        _row(
            CAR_FIELDS[name].label(page_language()),
            [values.get(name, "") for values in stated],
            compares=True,
        )
        for name in CAR_FIELDS
        if any(name in values for values in stated)
    ]


def _row(label: str, texts: Sequence[str], *, compares: bool = False) -> dict[str, Any]:
    return {
        "label": label,
        "cells": [{"text": text, "note": ""} for text in texts],
        "is_price": False,
        "differs": compares and len(set(texts)) > 1,
    }


def _range(summary: Summary) -> str:
    return _("{low} to {high}").format(low=summary.low, high=summary.high)


def _dearer(difference_mad: int) -> str:
    return _("{amount} more").format(amount=format_price(difference_mad)) if difference_mad else ""


def _pair(one: Entry) -> tuple[KeptEstimate, Summary]:
    """The estimate of an entry that has one."""
    if one.kept is None or one.summary is None:
        raise ValueError(one.typed)
    return one.kept, one.summary

"""Reads what `POST /jobs` accepts: the cars of a body and the Idempotency-Key."""

from collections.abc import Sequence
from typing import Any

from api.http.requests import parse_json
from api.jobs.service import Submission
from shared.domain.errors import FieldProblem, InvalidInput
from shared.domain.job import Callback
from shared.domain.valuation import CarRequest, Extra
from shared.fields.lists.loading import load_list
from shared.fields.requests import load_car_request
from shared.messages.rules import characters

IDEMPOTENCY_KEY_MAX = 200


def load_submission(
    raw: bytes,
    content_length: int | None,
    query_string: bytes,
    extras: tuple[Extra, ...],
    key: str | None,
    *,
    max_cars: int,
    callback: Callback | None = None,
) -> Submission:
    """Read a submission.

    Args:
        raw: the body.
        content_length: its `Content-Length`, if it had one.
        query_string: of the request.
        extras: what the query asks for.
        key: value of the `Idempotency-Key` header, if it was sent.
        max_cars: most cars of a list.
        callback: where the end of the job is reported.

    Raises:
        InvalidInput: of all cars and members that are wrong.
    """
    body = parse_json(raw, content_length)
    return Submission(
        requests=load_requests(body, extras, max_cars),
        is_list=isinstance(body, list),
        body=raw + query_string,
        idempotency_key=check_idempotency_key(key),
        callback=callback,
    )


def load_requests(body: Any, extras: tuple[Extra, ...], maximum: int) -> Sequence[CarRequest]:
    """The requests in a body: one car or a list; raises all problems of all cars at once."""
    if not isinstance(body, list):
        return (load_car_request(body, extras=extras),)
    if not body:
        raise InvalidInput([FieldProblem("", "empty-list", maximum=maximum)])
    if len(body) > maximum:
        raise InvalidInput([FieldProblem("", "too-many-cars", maximum=maximum, count=len(body))])
    return load_list(body, extras)


def check_idempotency_key(key: str | None) -> str | None:
    """The value of an `Idempotency-Key` header; raises `InvalidInput`."""
    if key is not None and not 1 <= len(key) <= IDEMPOTENCY_KEY_MAX:
        allowed = characters(IDEMPOTENCY_KEY_MAX)
        raise InvalidInput([FieldProblem("@Idempotency-Key", "invalid-header", expected=allowed)])
    return key

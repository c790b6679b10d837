"""Conditional requests: what the caller has, or expects, of a representation (RFC 9110)."""

from http import HTTPStatus

from flask import Response, request
from werkzeug.http import parse_date, parse_etags, unquote_etag

from api.http.problems import PreconditionFailed


def is_known(etag: str, last_modified: str | None = None) -> bool:
    """Whether the current request, GET or HEAD, is to be answered with 304.

    `If-Match` is compared strongly, so a weak ETag matches only `*`. `If-None-Match` is compared
    weakly: a compressed response has the ETag of the identity form, as a weak one. The conditions
    on dates count only without those on ETags.

    Args:
        etag: value of the header `ETag` of the identity form.
        last_modified: value of the header `Last-Modified`, if it is sent.

    Raises:
        PreconditionFailed: the caller expects another representation.
    """
    if request.method not in {"GET", "HEAD"}:
        return False
    tag, is_weak = unquote_etag(etag)
    changed = parse_date(last_modified)
    if request.if_match:
        if (is_weak and not request.if_match.star_tag) or tag not in request.if_match:
            raise PreconditionFailed(header="If-Match")
    elif changed is not None and (limit := request.if_unmodified_since) and changed > limit:
        raise PreconditionFailed(header="If-Unmodified-Since")
    if "If-None-Match" in request.headers:
        return is_named(etag, request.headers["If-None-Match"])
    since = request.if_modified_since
    return since is not None and changed is not None and changed <= since


def is_named(etag: str, if_none_match: str) -> bool:
    """Whether the header `If-None-Match` names an ETag, in its weak or its strong form."""
    tag, _ = unquote_etag(etag)
    return parse_etags(if_none_match).contains_weak(tag)


def conditional(response: Response) -> Response:
    """The response, or 304 if the caller has it; it has an `ETag` and perhaps a `Last-Modified`.

    Raises:
        PreconditionFailed: the caller expects another representation.
    """
    if is_known(response.headers["ETag"], response.headers.get("Last-Modified")):
        response.status_code = HTTPStatus.NOT_MODIFIED
    return response

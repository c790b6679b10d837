"""Conditional requests: whether the caller has the current representation already (RFC 9110)."""

from flask import request
from werkzeug.http import parse_date, unquote_etag


def is_known(etag: str, last_modified: str | None = None) -> bool:
    """Whether the current request is to be answered with 304.

    `If-None-Match` is compared weakly, so a proxy that compresses the response may weaken the ETag.
    `If-Modified-Since` counts only without it.

    Args:
        etag: value of the header `ETag`.
        last_modified: value of the header `Last-Modified`, if it is sent.
    """
    if request.method not in {"GET", "HEAD"}:
        return False
    if "If-None-Match" in request.headers:
        tag, _ = unquote_etag(etag)
        return request.if_none_match.contains_weak(tag)
    since, changed = request.if_modified_since, parse_date(last_modified)
    return since is not None and changed is not None and changed <= since

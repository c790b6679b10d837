"""Parts of files: the `Range` header, as RFC 9110 (chapter 14) has it."""

import re

from flask import request

from api.problems import RangeNotSatisfiable

_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


def wanted_range(size: int, etag: str, last_modified: str | None) -> tuple[int, int] | None:
    """The first byte that this request wants, and the one after the last; None: all of them.

    A header that cannot be read, several ranges and units other than bytes are ignored, as the
    RFC asks; so is a range of a file that has become another one (`If-Range`).

    Raises:
        RangeNotSatisfiable: nothing of the file is in the range.
    """
    if request.method != "GET" or not _is_same_file(etag, last_modified):
        return None
    found = _ONE_RANGE.fullmatch(request.headers.get("Range", ""))
    first, last = found.groups() if found else ("", "")
    if not first and not last:
        return None
    if not first:
        start, stop = max(size - int(last), 0), size
    elif last and int(last) < int(first):
        return None
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    if start >= stop:
        raise RangeNotSatisfiable(size=size)
    return start, stop


def _is_same_file(etag: str, last_modified: str | None) -> bool:
    condition = request.headers.get("If-Range")
    return condition is None or condition in (etag, last_modified)

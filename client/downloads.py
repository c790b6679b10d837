"""Resumable downloads of result files."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from client.errors import ConflictError, ServiceUnreachableError
from client.transport import RETRYABLE, Transport, pause

MAX_STALLED_ATTEMPTS = 5
"""Successive attempts without new bytes after which a download fails."""

EXPORT_TIMEOUT_S = 3600.0
"""Longest wait for the service to make an export of a large file."""

PARAMS: Mapping[str, Mapping[str, str]] = {
    "csv": {},
    "excel-fr": {"dialect": "excel-fr"},
    "ndjson": {"format": "ndjson"},
    "parquet": {"format": "parquet"},
    "xlsx": {"format": "xlsx"},
}
"""Query parameters by format."""


def download(transport: Transport, batch_id: str, name: str, path: Path, *, form: str) -> Path:
    """Download a result file of a batch; `path` is written when the download is complete.

    The service may compress it on its way. Received content is kept in a file beside `path`, named
    after the batch, and its `ETag` in another. A later call, also in another process, requests only
    the rest, which is never compressed: ranges are those of the identity form. If the results have
    changed since, because rows were corrected, it gets the whole file.
    """
    part = path.with_name(f"{path.name}.{batch_id}-{form}.part")
    attempt, have = 1, _size(part)
    until = time.monotonic() + EXPORT_TIMEOUT_S
    while True:
        try:
            _fetch(transport, f"/batches/{batch_id}/{name}", part, PARAMS[form])
        except ConflictError as error:
            if error.code != "form-not-ready":
                raise
            pause(error, attempt, until=until)
        except RETRYABLE as error:
            attempt, had, have = attempt + 1, have, _size(part)
            if have > had:
                attempt = 1
            elif attempt > MAX_STALLED_ATTEMPTS:
                raise
            pause(error, attempt)
        else:
            part.replace(path)
            _tag_file(part).unlink(missing_ok=True)
            return path


def _tag_file(part: Path) -> Path:
    """File with the `ETag` of the received content."""
    return part.with_name(f"{part.name}.etag")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _fetch(transport: Transport, url: str, part: Path, params: Mapping[str, str]) -> None:
    """Fetch the rest of a file, or all of it if it has changed or the service ignores the range."""
    have, tag_file = _size(part), _tag_file(part)
    headers = {"Accept": "*/*"}
    if have:
        headers |= {"Accept-Encoding": "identity", "Range": f"bytes={have}-"}
        if tag_file.exists():
            headers["If-Range"] = tag_file.read_text()
    with transport.stream(url, params=params, headers=headers) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return
            part.unlink()
            raise ServiceUnreachableError(f"{url}: what has arrived is not part of it")
        is_rest = response.status_code == HTTPStatus.PARTIAL_CONTENT
        if not is_rest and "ETag" in response.headers:
            part.unlink(missing_ok=True)
            # A compressed response has the ETag of the identity form, as a weak one.
            tag_file.write_text(response.headers["ETag"].removeprefix("W/"))
        with part.open("ab" if is_rest else "wb") as file:
            for block in response.iter_bytes():
                file.write(block)

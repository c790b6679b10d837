"""Downloads of result files: file names, byte ranges (RFC 9110, section 14), concurrency."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from itertools import chain
from urllib.parse import quote

from flask import Response, request
from werkzeug.http import http_date

from api.batches.results import StoredFile, is_partial
from api.http.context import services
from api.http.problems import RangeNotSatisfiable
from api.http.uploads import CSV, NDJSON, PARQUET
from api.middleware.problems import answer_error
from shared.domain.batch import Batch, ExportFormat, ResultTable
from shared.domain.errors import PartialResultIsCsv

RESULTS_HEADER = "Carprice-Results"
"""Says whether a file holds every row."""

MEDIA_TYPES = {
    ExportFormat.CSV: CSV,
    ExportFormat.EXCEL_FR: CSV,
    ExportFormat.NDJSON: NDJSON,
    ExportFormat.PARQUET: PARQUET,
}
SUFFIXES = {
    ExportFormat.CSV: ".csv",
    ExportFormat.EXCEL_FR: "-excel.csv",
    ExportFormat.NDJSON: ".ndjson",
    ExportFormat.PARQUET: ".parquet",
}
BUFFERED_MAX_BYTES = 262_144
"""What is no larger is handed to the server whole, and holds no thread while it is sent."""

MAX_SAVED_NAME_CHARS = 80
_UNSAFE = re.compile(r"[^\w.\-]+", re.ASCII)


def first_rows(batch: Batch, form: ExportFormat) -> Response:
    """What is there of a batch that is under way; it grows, so it has no length and no ranges."""
    if form is not ExportFormat.CSV:
        raise PartialResultIsCsv(id=batch.manifest.id)
    rows = services().batch_results.first_rows(batch)
    response = download(batch, rows, CSV, "priced-partial.csv")
    response.headers[RESULTS_HEADER] = "partial"
    response.headers["Accept-Ranges"] = "none"
    response.headers["Cache-Control"] = "private, no-store"
    return response


def stored_response(batch: Batch, table: ResultTable, form: ExportFormat) -> Response:
    """The response with a result file, or with the requested range of it."""
    file = services().batch_results.file(batch, table, form)
    headers = _headers_of(batch, file)
    if headers["ETag"].strip('"') in request.if_none_match:
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        part = wanted_range(file.size, headers["ETag"], headers.get("Last-Modified"))
    except RangeNotSatisfiable as error:
        response = answer_error(error)
        response.headers["Content-Range"] = f"bytes */{file.size}"
        return response
    start, stop = part or (0, file.size)
    stem = "priced" if table is ResultTable.RESULTS else str(table)
    body = file.blocks(start, stop)
    response = download(batch, body, MEDIA_TYPES[form], stem + SUFFIXES[form])
    response.headers.update(headers)
    response.headers["Content-Length"] = str(stop - start)
    if part is not None:
        response.status_code = HTTPStatus.PARTIAL_CONTENT
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    return response


def _headers_of(batch: Batch, file: StoredFile) -> dict[str, str]:
    progress = batch.progress
    headers = {
        "ETag": f'"{batch.manifest.id}-{file.name}"',
        "Accept-Ranges": "bytes",
        RESULTS_HEADER: "complete",
    }
    if is_partial(batch):
        total = "" if progress.total is None else f"; total={progress.total}"
        headers[RESULTS_HEADER] = f"partial; rows={progress.counts.done}{total}"
    if progress.finished_at is not None:
        headers["Last-Modified"] = http_date(progress.finished_at)
    return headers


def download(batch: Batch, body: Iterator[bytes], media_type: str, suffix: str) -> Response:
    """A body; a large one is sent at the client's pace, and only so many are at once."""
    first = _first_blocks(body)
    after = next(body, None)
    if after is None:
        response = Response(b"".join(first), mimetype=media_type)
    else:
        downloads = services().downloads
        downloads.acquire()
        response = Response(chain(first, [after], body), mimetype=media_type)
        response.call_on_close(downloads.release)
    response.headers["Content-Disposition"] = _disposition(batch, suffix)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _first_blocks(body: Iterator[bytes]) -> list[bytes]:
    """The blocks up to the one that makes a body large."""
    blocks, size = [], 0
    for block in body:
        blocks.append(block)
        size += len(block)
        if size > BUFFERED_MAX_BYTES:
            break
    return blocks


def _disposition(batch: Batch, suffix: str) -> str:
    """The name to save a file under: in ASCII, and in full for clients that know RFC 6266."""
    stem = batch.manifest.file_name.rpartition(".")[0]
    # Neither paths nor characters that turn the reading direction.
    name = "".join(char for char in stem if char.isprintable() and char not in '/\\"')[
        :MAX_SAVED_NAME_CHARS
    ]
    ascii_name = _UNSAFE.sub("_", name) or batch.manifest.id
    value = f'attachment; filename="{ascii_name}-{suffix}"'
    if name and name != ascii_name:
        value += f"; filename*=UTF-8''{quote(f'{name}-{suffix}', safe='')}"
    return value


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

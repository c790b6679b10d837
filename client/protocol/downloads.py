"""Resumable downloads of result files."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from ..errors import RETRYABLE, CarPriceError, ConflictError, ServiceUnreachableError
from .exchange import Answer, Exchange, unexpected
from .repetition import pause
from .steps import Deadline, Head, Request, Steps, Work

MAX_STALLED_ATTEMPTS = 5
"""Successive attempts without new bytes after which a download fails."""

EXPORT_TIMEOUT_S = 3600.0
"""Longest wait for the service to make an export of a large file."""

NOT_READY = "form-not-ready"
"""Code of the problem that the service still makes what is asked for."""

PART_NAME_MAX_BYTES = 160
"""Of the target's name in the name of the file beside it: file systems permit 255 in all."""

Form: TypeAlias = Literal["csv", "excel-fr", "ndjson", "parquet", "xlsx"]
PARAMS: Mapping[str, Mapping[str, str]] = {
    "csv": {},
    "excel-fr": {"dialect": "excel-fr"},
    "ndjson": {"format": "ndjson"},
    "parquet": {"format": "parquet"},
    "xlsx": {"format": "xlsx"},
}
"""Query parameters by format."""

FORM_BY_SUFFIX: Mapping[str, Form] = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}
"""The format that the end of a file's name asks for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Download:
    """A file of the service and where it goes.

    Received content is kept in a file beside the target, named after the batch, and its `ETag` in
    another; the target is written when the download is complete. A later download, also in another
    process, requests only the rest, which is never compressed: ranges are those of the identity
    form. If the results have changed since, because rows were corrected, it gets the whole file.
    """

    exchange: Exchange
    url: str
    """Path of the file at the service."""
    target: Path
    params: Mapping[str, str]
    name: str
    """Of batch and format: part of the name of the file beside the target."""
    on_saved: Callable[[int], None] = lambda _: None
    """Called with the number of bytes that have arrived."""

    @property
    def part(self) -> Path:
        """File with the content that has arrived."""
        name = self.target.name
        if len(os.fsencode(name)) > PART_NAME_MAX_BYTES:
            name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
        return self.target.with_name(f"{name}.{self.name}.part")

    @property
    def tag_file(self) -> Path:
        """File with the `ETag` of the content that has arrived."""
        return self.part.with_name(f"{self.part.name}.etag")

    def run(self, deadline: Deadline) -> Steps[Path]:
        """Download the file.

        Raises:
            CarPriceError: another download to the same target is under way.
        """
        with self._opened_part() as part:
            yield from self._complete(part, deadline)
            yield Work(partial(self._finish, part))
        return self.target

    def _complete(self, part: BinaryIO, deadline: Deadline) -> Steps[None]:
        """Fetch until the file is complete."""
        attempt, have, unsure = 1, _size(part), -1
        export_deadline = Deadline.after(min(EXPORT_TIMEOUT_S, deadline.remaining_s))
        while True:
            try:
                is_complete = yield from self._fetch(part, deadline)
            except ConflictError as error:
                if error.code != NOT_READY:
                    raise
                yield from pause(error, attempt, export_deadline)
            except RETRYABLE as error:
                attempt, had, have = attempt + 1, have, _size(part)
                if have > had:
                    attempt = 1
                elif attempt > MAX_STALLED_ATTEMPTS:
                    raise
                yield from pause(error, attempt, deadline)
            else:
                if is_complete or _size(part) == unsure:
                    return
                unsure = _size(part)

    @contextmanager
    def _opened_part(self) -> Iterator[BinaryIO]:
        """The file with the content that has arrived, for this download alone."""
        with ExitStack() as stack:
            while True:
                part = stack.enter_context(self.part.open("ab+"))
                _lock(part, self.target)
                # The download that held the lock before may have made it the target.
                opened = os.fstat(part.fileno())
                if self.part.exists() and os.path.samestat(opened, self.part.stat()):
                    break
                stack.close()
            try:
                yield part
            finally:
                if not part.closed and not _size(part):
                    self.part.unlink(missing_ok=True)
                    self.tag_file.unlink(missing_ok=True)

    def _fetch(self, part: BinaryIO, deadline: Deadline) -> Steps[bool]:
        """Fetch the rest, or all of it if it has changed or the service ignores the range.

        The result says whether it is known to be complete: a response that tells neither its
        length nor its last chunk may have been cut, so the next attempt asks for what is behind
        it, and it is complete if there is nothing.
        """
        have = _size(part)
        request = Request(
            method="GET", path=self.url, params=self.params, headers=self._headers(have)
        )
        head = yield from self.exchange.open(request, deadline)
        if head.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            yield from self.exchange.body(deadline)
            if head.headers.get("Content-Range") == f"bytes */{have}":
                return True
            part.truncate(0)
            text = f"{head.url}: what has arrived is not part of it"
            raise ServiceUnreachableError(text, outage="lost", url=self.exchange.base_url)
        if head.status >= HTTPStatus.BAD_REQUEST:
            body = yield from self.exchange.body(deadline)
            raise self.exchange.problem(Answer(head=head, body=body))
        self._check(head, have)
        if head.status != HTTPStatus.PARTIAL_CONTENT:
            self._begin(part, head)
        yield from self._save(part, deadline)
        return _has_end(head)

    def _headers(self, have: int) -> dict[str, str]:
        headers = {"Accept": "*/*"}
        if have:
            headers |= {"Accept-Encoding": "identity", "Range": f"bytes={have}-"}
            if self.tag_file.exists():
                headers["If-Range"] = self.tag_file.read_text()
        return headers

    def _check(self, head: Head, have: int) -> None:
        """Refuse what is not the file: a page of a proxy, another range."""
        kind = head.headers.get("Content-Type", "").partition(";")[0].strip()
        content_range = head.headers.get("Content-Range", f"bytes {have}-")
        if (
            kind == "text/html"
            or head.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}
            or not content_range.startswith(f"bytes {have}-")
        ):
            raise unexpected(head)

    def _begin(self, part: BinaryIO, head: Head) -> None:
        """Forget the content of another `ETag`, and keep the new one."""
        part.truncate(0)
        if tag := head.headers.get("ETag"):
            # A compressed response has the ETag of the identity form, as a weak one.
            self.tag_file.write_text(tag.removeprefix("W/"))
        else:
            self.tag_file.unlink(missing_ok=True)

    def _save(self, part: BinaryIO, deadline: Deadline) -> Steps[None]:
        saved = _size(part)
        try:
            while block := (yield from self.exchange.read(deadline)):
                yield Work(partial(part.write, block))
                saved += len(block)
                self.on_saved(saved)
        finally:
            part.flush()

    def _finish(self, part: BinaryIO) -> None:
        os.fsync(part.fileno())
        if os.name == "nt":  # where no open file can be renamed
            part.close()
        self.part.replace(self.target)
        self.tag_file.unlink(missing_ok=True)


def _size(part: BinaryIO) -> int:
    return os.fstat(part.fileno()).st_size


def _lock(part: BinaryIO, target: Path) -> None:
    """Keep other downloads, of any process, from the file until it is closed.

    Raises:
        CarPriceError: it is taken.
    """
    try:
        import fcntl  # noqa: PLC0415 - there is none on Windows
    except ImportError:
        return
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CarPriceError(f"{target}: another download to it is under way") from error
    except OSError:  # a file system without locks
        return


def _has_end(head: Head) -> bool:
    """Whether a response that was cut would have been noticed."""
    return "Content-Length" in head.headers or "Transfer-Encoding" in head.headers

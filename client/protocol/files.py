"""The protocol of files: upload, waiting, results, corrections."""

import dataclasses
import errno
import os
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Literal, TypeAlias
from uuid import uuid4

from ..errors import (
    RETRYABLE,
    BatchFailedError,
    CarPriceError,
    DeadlineError,
)
from ..work import Batch, FileProgress, RowError
from .cars import delete_request, items_of, not_ended, path_part, poll_s
from .downloads import FORM_BY_SUFFIX, PARAMS, Download
from .exchange import Answer, Exchange
from .repetition import Patience, is_refusal
from .steps import Deadline, Give, Request, Steps, Upload
from .uploads import Submission, disposition

POLL_S = 1.0
"""Interval of the calls of `on_progress` while a batch is valued."""
QUIET_POLL_S = 20.0
"""Longest poll without `on_progress`."""

Progress: TypeAlias = Callable[[Batch], None]
"""Callback that receives each state of a batch."""
FileListener: TypeAlias = Callable[[FileProgress], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Files:
    """The protocol of one service; each method gives the steps of a call."""

    exchange: Exchange

    def submit(self, submission: Submission, deadline: Deadline) -> Steps[Batch]:
        """Upload a file; its key makes repetitions give the same batch.

        A connection that breaks is made again for two minutes if it has sent anything; otherwise
        the address may be wrong, so it is tried as often as that of any other call.
        """
        key = submission.key or uuid4().hex
        patience, refused, sent, is_lost = Patience(deadline), 0, 0, False

        def count(block: int) -> None:
            nonlocal sent
            sent += block
            submission.on_sent(block)

        while True:
            try:
                if is_lost and (found := (yield from self._find(key, deadline))) is not None:
                    return found
                return (yield from self._send(submission, key, count, deadline))
            except RETRYABLE as error:
                is_lost = is_lost or (sent > 0 and not is_refusal(error))
                refused += sent == 0
                if refused > self.exchange.retries:
                    raise
                yield from patience.failed(error)

    def _send(
        self,
        submission: Submission,
        key: str,
        on_sent: Callable[[int], None],
        deadline: Deadline,
    ) -> Steps[Batch]:
        size = submission.file.stat().st_size
        request = Request(
            method="POST",
            path=submission.path,
            params=submission.params,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(size),
                "Content-Disposition": disposition(submission.name or submission.file.name),
                "Idempotency-Key": key,
            },
            body=Upload(file=submission.file, size=size, on_sent=on_sent),
        )
        head = yield from self.exchange.open(request, deadline)
        answer = Answer(head=head, body=(yield from self.exchange.body(deadline)))
        if head.status >= HTTPStatus.BAD_REQUEST:
            raise self.exchange.problem(answer)
        return answer.read(Batch.of)

    def find(self, key: str, timeout: float | None) -> Steps[Batch | None]:
        """The batch accepted with an idempotency key within the last 24 hours."""
        return (yield from self._find(key, Deadline.after(timeout)))

    def _find(self, key: str, deadline: Deadline) -> Steps[Batch | None]:
        params = {"kind": "batch", "idempotency_key": key}
        request = Request(method="GET", path="/jobs", params=params)
        answer = yield from self.exchange.call(request, deadline)
        ids = answer.read(lambda page: list(items_of(page)))
        return (yield from self.read(ids[0], deadline)) if ids else None

    def read(self, batch_id: str, deadline: Deadline, *, wait_s: float = 0.0) -> Steps[Batch]:
        """Read a batch."""
        path, params = f"/batches/{path_part(batch_id)}", {"wait": f"{wait_s:.3g}"}
        request = Request(method="GET", path=path, params=params, wait_s=wait_s)
        answer = yield from self.exchange.call(request, deadline)
        return answer.read(Batch.of)

    def wait(
        self, batch_id: str, deadline: Deadline, on_progress: Progress | None = None
    ) -> Steps[Batch]:
        """Wait for the end of a batch, also through a restart of the service."""
        patience = Patience(deadline)
        while True:
            wait_s, is_last = poll_s(deadline, QUIET_POLL_S if on_progress is None else POLL_S)
            try:
                batch = yield from self.read(batch_id, deadline, wait_s=wait_s)
            except DeadlineError as error:
                raise not_ended("batch", batch_id, deadline) from error
            except RETRYABLE as error:
                yield from patience.failed(error)
                continue
            patience.succeeded()
            if on_progress is not None:
                on_progress(batch)
            if batch.has_ended:
                return batch
            if is_last:
                raise not_ended("batch", batch_id, deadline)

    def cancel(self, batch_id: str, timeout: float | None) -> Steps[Batch | None]:
        """Cancel an open batch; one that has ended stays as it is."""
        deadline = Deadline.after(timeout)
        batch = yield from self.read(batch_id, deadline)
        if batch.has_ended:
            return batch
        request = delete_request(f"/batches/{batch_id}")
        answer = yield from self.exchange.call(request, deadline, is_idempotent=False)
        return None if answer.status == HTTPStatus.NO_CONTENT else answer.read(Batch.of)

    def retry(self, batch_id: str, timeout: float | None) -> Steps[Batch]:
        """Have the rows valued that were not; repeating it changes nothing."""
        request = Request(method="POST", path=f"/batches/{path_part(batch_id)}/retry")
        answer = yield from self.exchange.call(request, Deadline.after(timeout))
        return answer.read(Batch.of)

    def delete(self, batch_id: str, timeout: float | None) -> Steps[None]:
        """Delete a batch that has ended, with its file and results."""
        deadline = Deadline.after(timeout)
        batch = yield from self.read(batch_id, deadline)
        if not batch.has_ended:
            raise CarPriceError(f"batch {batch_id} has not ended: it can be deleted then")
        request = delete_request(f"/batches/{batch_id}")
        yield from self.exchange.call(request, deadline, is_idempotent=False)

    def download(
        self,
        batch_id: str,
        name: Literal["results", "rejected"],
        target: Path,
        form: str,
        *,
        is_localized: bool = False,
        on_saved: Callable[[int], None] = lambda _: None,
    ) -> Download:
        """The download of a result file of a batch."""
        params = dict(PARAMS[form])
        if is_localized:
            params["headers"] = "localized"
        return Download(
            exchange=self.exchange,
            url=f"/batches/{path_part(batch_id)}/{name}",
            target=target,
            params=params,
            name=f"{batch_id}-{form}{'-localized' * is_localized}",
            on_saved=on_saved,
        )

    def errors(self, batch_id: str, timeout: float | None) -> Steps[None]:
        """Give the entries of the error report, in the order of the file."""
        deadline = Deadline.after(timeout)
        request = Request(method="GET", path=f"/batches/{path_part(batch_id)}/errors")

        def begin() -> Steps[Answer]:
            head = yield from self.exchange.open(request, deadline)
            if head.status >= HTTPStatus.BAD_REQUEST:
                body = yield from self.exchange.body(deadline)
                raise self.exchange.problem(Answer(head=head, body=body))
            return Answer(head=head, body=b"")

        answer = yield from self.exchange.repeated(begin, deadline)
        rest = b""
        while block := (yield from self.exchange.read(deadline)):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield Give(dataclasses.replace(answer, body=line).read(RowError.of))
        if rest:
            yield Give(dataclasses.replace(answer, body=rest).read(RowError.of))

    def value_file(
        self,
        submission: Submission,
        target: Path,
        timeout: float | None,
        *,
        form: str | None = None,
        rejected: Path | None = None,
        on_progress: FileListener | None = None,
    ) -> Steps[Batch]:
        """Upload a file, wait for its end and download the results.

        Raises:
            ValueError: neither `form` nor the end of the target's name says a format, or two of
                the files are the same.
            FileNotFoundError: a folder is missing.
            BatchFailedError: not all rows were processed; nothing is downloaded.
        """
        wanted = form or form_of(target)
        wanted_rejected = None if rejected is None else form_of(rejected)
        check_targets(submission.file, *(each for each in (target, rejected) if each is not None))
        deadline = Deadline.after(timeout)
        listener = _Phases(submission, on_progress)
        batch = yield from self.submit(
            dataclasses.replace(submission, on_sent=listener.sent), deadline
        )
        on_state = None if on_progress is None else listener.valued
        ended = yield from self.wait(batch.id, deadline, on_state)
        if ended.state != "SUCCEEDED":
            raise BatchFailedError(ended)
        results = self.download(ended.id, "results", target, wanted, on_saved=listener.saved)
        yield from results.run(deadline)
        if rejected is not None and wanted_rejected is not None:
            yield from self.download(ended.id, "rejected", rejected, wanted_rejected).run(deadline)
        return ended


class _Phases:
    """Calls the listener of `value_file`."""

    def __init__(self, submission: Submission, listener: FileListener | None) -> None:
        self._listener = listener
        self._submission = submission
        self._sent = 0

    def _report(
        self, phase: str, done: int, total: int | None = None, batch: Batch | None = None
    ) -> None:
        if self._listener is not None:
            self._listener(FileProgress(phase=phase, done=done, total=total, batch=batch))

    def sent(self, block: int) -> None:
        self._sent = self._sent + block if block else 0
        self._submission.on_sent(block)
        self._report("sending", self._sent, self._submission.file.stat().st_size)

    def valued(self, batch: Batch) -> None:
        self._report("valuing", batch.done, batch.total, batch)

    def saved(self, size: int) -> None:
        self._report("saving", size)


def check_targets(source: Path, *targets: Path) -> None:
    """Refuse targets before the work is done for them: `value_file` names the errors."""
    resolved = [path.resolve() for path in (source, *targets)]
    if len(set(resolved)) < len(resolved):
        raise ValueError("source, target and rejected must be different files")
    for path in targets:
        if not path.resolve().parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))


def form_of(path: Path) -> str:
    """The format that the end of a file's name asks for.

    Raises:
        ValueError: it asks for none.
    """
    form = FORM_BY_SUFFIX.get(path.suffix.lower())
    if form is None:
        raise ValueError(f"{path.name}: the name must end with {', '.join(FORM_BY_SUFFIX)}")
    return form

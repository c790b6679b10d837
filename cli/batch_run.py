"""One run of a file through the service, which a later call of the same command goes on with."""

import dataclasses
import hashlib
import json
import os
import time
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from client.client import CarPriceClient
from client.errors import ExpiredError, NotFoundError, ServiceUnreachableError, UnavailableError
from client.models import Batch

RECONNECT_TIMEOUT_S = 120.0
"""How long a service that went away may take to come back."""

POLL_S = 1.0


class ProgressListener(Protocol):
    """Shows how a run is going."""

    def sending(self, sent: int, size: int) -> None:
        """So many of the file's bytes are sent."""
        ...

    def valuing(self, batch: Batch) -> None:
        """The service has the file; this is the state of its batch."""
        ...


class UploadProgress:
    """Counts what is sent of a file.

    Args:
        listener: is told.
        size: of the file, bytes.
    """

    def __init__(self, listener: ProgressListener, size: int) -> None:
        self.bytes = 0
        self._listener = listener
        self._size = size

    def add(self, block: int) -> None:
        """So many bytes more."""
        self.bytes += block
        self._listener.sending(self.bytes, self._size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchRun:
    """A file, where its results go, and how it is uploaded.

    A small state file beside the output holds the key of the upload and the id of the batch. The
    key is of the file's content and of this run: a run that was interrupted finds its batch by
    it, and one that came to its end does not stand in the way of the next night's.
    """

    client: CarPriceClient
    file: Path
    output: Path
    url: str
    options: dict[str, Any]
    form: str
    """Of the results: `csv`, `excel-fr`, `ndjson` or `parquet`."""
    name: str | None = None
    """Of the file, for the service, if it goes by another one."""

    @property
    def state_file(self) -> Path:
        """What a later call needs to go on."""
        return self.output.with_name(f".{self.output.name}.carprice.json")

    def run(self, listener: ProgressListener) -> Batch:
        """Upload unless that is done, wait for the end, download."""
        batch = self._find() or self._upload(listener)
        listener.valuing(batch)
        if not batch.has_ended:
            batch = self._wait(batch.id, listener)
        self.client.download_results(batch.id, self.output, form=self.form)
        return batch

    def clear_state(self) -> None:
        """The run has come to its end: the same command starts a new one."""
        self.state_file.unlink(missing_ok=True)

    def _find(self) -> Batch | None:
        """The batch of an earlier, interrupted call with the same file and options."""
        state = self._state()
        try:
            if "batch_id" in state:
                return self.client.batch(state["batch_id"])
            # It may have been interrupted after the service had the file, before it said so.
            found = self.client.find_batch(state["key"]) if "key" in state else None
        except (NotFoundError, ExpiredError):
            self.clear_state()
            return None
        if found is not None:
            self._write_state({"key": state["key"], "batch_id": found.id})
        return found

    def _upload(self, listener: ProgressListener) -> Batch:
        """Upload the file; the key makes a repeated upload the same batch."""
        key = self._state().get("key") or f"{self._fingerprint[:32]}-{uuid4().hex[:8]}"
        self._write_state({"key": key})
        until = time.monotonic() + RECONNECT_TIMEOUT_S
        while True:
            sent = UploadProgress(listener, self.file.stat().st_size)
            try:
                batch = self.client.upload_batch(
                    self.file, name=self.name, idempotency_key=key, on_sent=sent.add, **self.options
                )
            except ServiceUnreachableError:
                # One that took nothing of the file is not waited for: its address may be wrong.
                if not sent.bytes or time.monotonic() > until:
                    raise
                time.sleep(POLL_S)
            else:
                self._write_state({"key": key, "batch_id": batch.id})
                return batch

    def _wait(self, batch_id: str, listener: ProgressListener) -> Batch:
        """Wait for the end, also through a restart of the service."""
        reconnect_deadline = time.monotonic() + RECONNECT_TIMEOUT_S

        def note(batch: Batch) -> None:
            nonlocal reconnect_deadline
            reconnect_deadline = time.monotonic() + RECONNECT_TIMEOUT_S
            listener.valuing(batch)

        while True:
            try:
                return self.client.wait_batch(batch_id, poll_s=POLL_S, on_progress=note)
            except (ServiceUnreachableError, UnavailableError):
                if time.monotonic() > reconnect_deadline:
                    raise
                time.sleep(POLL_S)

    @cached_property
    def _fingerprint(self) -> str:
        """Stands for file, options and service: with another one, a run starts anew."""
        with self.file.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256")
        digest.update(json.dumps([self.url, self.options], sort_keys=True).encode())
        return digest.hexdigest()

    def _state(self) -> dict[str, Any]:
        try:
            state = json.loads(self.state_file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        if not isinstance(state, dict) or state.get("fingerprint") != self._fingerprint:
            return {}
        return state

    def _write_state(self, state: dict[str, Any]) -> None:
        temporary = self.state_file.with_name(f"{self.state_file.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps({"fingerprint": self._fingerprint, **state}))
        temporary.replace(self.state_file)

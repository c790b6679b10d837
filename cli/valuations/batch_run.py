"""A resumable run of a file: a later call of the same command continues it."""

import dataclasses
import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from client.errors import ExpiredError, NotFoundError
from client.protocol.downloads import Form
from client.protocol.uploads import UploadOptions
from client.sync import CarPriceClient
from client.work import Batch


class RunOptions(UploadOptions, total=False):
    """Options of an upload, and where its end is reported."""

    callback_url: str | None


class ProgressListener(Protocol):
    """Shows the progress of a run."""

    def sending(self, sent: int, size: int) -> None:
        """Bytes of the file that have been sent."""
        ...

    def valuing(self, batch: Batch) -> None:
        """State of the batch after the upload."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchRun:
    """An upload with its options and its output file.

    A state file beside the output holds the idempotency key of the upload and the id of the batch.
    The key is unique to the run: an interrupted run finds its batch by it, and a later run with the
    same file makes a new batch.
    """

    client: CarPriceClient
    file: Path
    output: Path
    url: str
    options: RunOptions
    form: Form
    """Format of the results: `csv`, `excel-fr`, `ndjson` or `parquet`."""
    name: str | None = None
    """Name that is sent to the service instead of that of `file`."""

    @property
    def state_file(self) -> Path:
        """File with the state of the run."""
        return self.output.with_name(f".{self.output.name}.carprice.json")

    def run(self, listener: ProgressListener) -> Batch:
        """Upload the file unless that has been done, wait for the end, download the results."""
        batch = self._find() or self._upload(listener)
        listener.valuing(batch)
        if not batch.has_ended:
            batch = self.client.wait_batch(batch.id, on_progress=listener.valuing)
        self.client.download_results(batch.id, self.output, form=self.form)
        return batch

    def clear_state(self) -> None:
        """Delete the state file, so that the same command starts a new run."""
        self.state_file.unlink(missing_ok=True)

    def _find(self) -> Batch | None:
        """The batch of an interrupted run with the same file and options, if there is one."""
        state = self._state()
        try:
            if "batch_id" in state:
                return self.client.batch(state["batch_id"])
            # The run may have been interrupted between the upload and its response.
            found = self.client.find_batch(state["key"]) if "key" in state else None
        except (NotFoundError, ExpiredError):
            self.clear_state()
            return None
        if found is not None:
            self._write_state({"key": state["key"], "batch_id": found.id})
        return found

    def _upload(self, listener: ProgressListener) -> Batch:
        """Upload the file; because of the key, a repeated upload returns the same batch."""
        key = self._state().get("key") or f"{self._fingerprint[:32]}-{uuid4().hex[:8]}"
        self._write_state({"key": key})
        sent, size = 0, self.file.stat().st_size

        def count(block: int) -> None:
            nonlocal sent
            sent = sent + block if block else 0
            if sent:
                listener.sending(sent, size)

        submitted = self.client.submit_file(
            self.file, name=self.name, idempotency_key=key, on_sent=count, **self.options
        )
        self._write_state({"key": key, "batch_id": submitted.id})
        return submitted.batch

    @cached_property
    def _fingerprint(self) -> str:
        """Digest of file, options and service; if one differs, the state file is ignored."""
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

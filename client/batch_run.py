"""One run of a file through the service, which a later call of the same command goes on with."""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from client.carprice import CarPriceClient
from client.errors import ExpiredError, NotFoundError, ServiceUnreachableError, UnavailableError
from client.models import Batch

PATIENCE_S = 120.0
"""How long a service that went away may take to come back."""

POLL_S = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchRun:
    """A file, where its results go, and how it is uploaded.

    A small state file beside the output holds the key of the upload and the id of the batch.
    """

    client: CarPriceClient
    file: Path
    output: Path
    url: str
    options: dict[str, Any]
    dialect: str
    ndjson: bool

    @property
    def state_file(self) -> Path:
        """What a later call needs to go on."""
        return self.output.with_name(f".{self.output.name}.carprice.json")

    def run(self, on_progress: Callable[[Batch], None]) -> Batch:
        """Upload unless that is done, wait for the end, download."""
        batch = self._find() or self._upload()
        on_progress(batch)
        if not batch.has_ended:
            batch = self._wait(batch.id, on_progress)
        self.client.download_results(
            batch.id, self.output, dialect=self.dialect, ndjson=self.ndjson
        )
        self.state_file.unlink(missing_ok=True)
        return batch

    def _find(self) -> Batch | None:
        """The batch of an earlier, interrupted call with the same file and options."""
        batch_id = self._state().get("batch_id")
        if batch_id is None:
            return None
        try:
            return self.client.batch(batch_id)
        except (NotFoundError, ExpiredError):
            self.state_file.unlink(missing_ok=True)
            return None

    def _upload(self) -> Batch:
        """Upload the file; the key makes a repeated upload the same batch."""
        key = self._state().get("key") or uuid4().hex
        self._write_state({"key": key})
        batch = self.client.upload_batch(self.file, idempotency_key=key, **self.options)
        self._write_state({"key": key, "batch_id": batch.id})
        return batch

    def _wait(self, batch_id: str, on_progress: Callable[[Batch], None]) -> Batch:
        """Wait for the end, also through a restart of the service."""
        patient_until = time.monotonic() + PATIENCE_S

        def note(batch: Batch) -> None:
            nonlocal patient_until
            patient_until = time.monotonic() + PATIENCE_S
            on_progress(batch)

        while True:
            try:
                return self.client.wait_batch(batch_id, poll_s=POLL_S, on_progress=note)
            except (ServiceUnreachableError, UnavailableError):
                if time.monotonic() > patient_until:
                    raise
                time.sleep(POLL_S)

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
        if not isinstance(state, dict) or state.get("fingerprint") != self._fingerprint():
            return {}
        return state

    def _write_state(self, state: dict[str, Any]) -> None:
        temporary = self.state_file.with_name(f"{self.state_file.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps({"fingerprint": self._fingerprint(), **state}))
        temporary.replace(self.state_file)

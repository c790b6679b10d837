"""Submitted work: what `submit` and `submit_file` give, of both clients."""

# `timeout` is the total time of a call, with pauses and repetitions.
# ruff: noqa: ASYNC109

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from .protocol.cars import result_of
from .protocol.downloads import Form
from .protocol.files import Progress
from .valuations import Valuation
from .work import Batch, Job

if TYPE_CHECKING:
    from .aio import AsyncCarPriceClient
    from .calls.files import FileCalls
    from .calls.files_aio import AsyncFileCalls
    from .sync import CarPriceClient


@dataclasses.dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A job that the service has accepted."""

    _client: "CarPriceClient" = dataclasses.field(repr=False)
    job: Job
    """As it was accepted."""
    _coverage: float | None = dataclasses.field(default=None, repr=False)

    @property
    def id(self) -> str:
        """Id of the job."""
        return self.job.id

    def read(self) -> Job:
        """Its present state."""
        return self._client.job(self.id, coverage=self._coverage)

    def wait(self, *, timeout: float | None = None) -> list[Valuation]:
        """Wait for its end; the valuations are in the order of the cars.

        Raises:
            WaitTimeoutError: it has not ended in time; it goes on.
            JobFailedError: it failed or was cancelled.
        """
        job = self._client.wait_job(self.id, coverage=self._coverage, timeout=timeout)
        return list(result_of(job))

    def cancel(self) -> Job | None:
        """Cancel it, as `cancel_job`."""
        return self._client.cancel_job(self.id)


@dataclasses.dataclass(frozen=True, slots=True)
class SubmittedFile:
    """A file that the service has stored."""

    _client: "FileCalls" = dataclasses.field(repr=False)
    batch: Batch
    """As it was accepted."""

    @property
    def id(self) -> str:
        """Id of the batch."""
        return self.batch.id

    def read(self) -> Batch:
        """Its present state."""
        return self._client.batch(self.id)

    def wait(self, *, on_progress: Progress | None = None, timeout: float | None = None) -> Batch:
        """Wait for its end, as `wait_batch`."""
        return self._client.wait_batch(self.id, on_progress=on_progress, timeout=timeout)

    def download(self, target: Path | str, *, form: Form = "csv") -> Path:
        """Download its results, as `download_results`."""
        return self._client.download_results(self.id, target, form=form)

    def cancel(self) -> Batch | None:
        """Cancel it, as `cancel_batch`."""
        return self._client.cancel_batch(self.id)


@dataclasses.dataclass(frozen=True, slots=True)
class AsyncSubmittedJob:
    """A job that the service has accepted; methods as of `SubmittedJob`."""

    _client: "AsyncCarPriceClient" = dataclasses.field(repr=False)
    job: Job
    """As it was accepted."""
    _coverage: float | None = dataclasses.field(default=None, repr=False)

    @property
    def id(self) -> str:
        """Id of the job."""
        return self.job.id

    async def read(self) -> Job:
        """Its present state."""
        return await self._client.job(self.id, coverage=self._coverage)

    async def wait(self, *, timeout: float | None = None) -> list[Valuation]:
        """Wait for its end."""
        job = await self._client.wait_job(self.id, coverage=self._coverage, timeout=timeout)
        return list(result_of(job))

    async def cancel(self) -> Job | None:
        """Cancel it."""
        return await self._client.cancel_job(self.id)


@dataclasses.dataclass(frozen=True, slots=True)
class AsyncSubmittedFile:
    """A file that the service has stored; methods as of `SubmittedFile`."""

    _client: "AsyncFileCalls" = dataclasses.field(repr=False)
    batch: Batch
    """As it was accepted."""

    @property
    def id(self) -> str:
        """Id of the batch."""
        return self.batch.id

    async def read(self) -> Batch:
        """Its present state."""
        return await self._client.batch(self.id)

    async def wait(
        self,
        *,
        on_progress: Progress | None = None,
        timeout: float | None = None,
    ) -> Batch:
        """Wait for its end."""
        return await self._client.wait_batch(self.id, on_progress=on_progress, timeout=timeout)

    async def download(self, target: Path | str, *, form: Form = "csv") -> Path:
        """Download its results."""
        return await self._client.download_results(self.id, target, form=form)

    async def cancel(self) -> Batch | None:
        """Cancel it."""
        return await self._client.cancel_batch(self.id)

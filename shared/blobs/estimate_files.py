"""Estimates that are kept under their ids, in the blob store: what an address shows again."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, cast

import orjson

from shared.blobs.stores import BlobStore
from shared.domain.clock import DAY_S
from shared.domain.errors import (
    EstimateExpired,
    StorageUnavailable,
    ValuationNotFound,
    check_schema,
    record_errors,
)
from shared.domain.ids import BatchId, CallerId, ValuationId, id_timestamp, is_id
from shared.domain.valuation import CarRequest, Estimate, Valuation

SCHEMA = 1
"""Version of the record; a reader refuses a newer one."""
RECORD = "estimate.json"
SHARED = "shared"
"""Present while everybody who knows the address may read the estimate."""
MAX_BYTES = 64 * 1024
"""Largest record; usual ones have 5 KB."""
FIRST_ID_AT = 1_735_689_600.0
"""1 January 2025: ids of earlier times were never given, so they are unknown, not expired."""
CLOCK_SKEW_S = 3600.0
"""How far the clock of another host may be ahead."""

_ID_IN_TEXT = re.compile(r"(?<![0-9a-z])[0-9a-z]{26}(?![0-9a-z])")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class KeptEstimate:
    """An answered valuation as it was, or one that a job still makes."""

    id: ValuationId
    at: float
    """Unix time of the answer, seconds."""
    caller: CallerId
    request: CarRequest
    model: Mapping[str, str | None]
    """Identity of the model that answered (`ActiveVersionCache.identity`); empty without one."""
    estimate: Estimate | None = None
    """None: the job of the same id has not ended yet."""
    cached: bool = False

    def valuation(self) -> Valuation:
        """The answer as it was given; raises `ValueError` while there is none."""
        if self.estimate is None:
            raise ValueError(f"{self.id} has no estimate yet")
        return Valuation(
            id=self.id, request=self.request, estimate=self.estimate, cached=self.cached
        )

    def to_json(self) -> dict[str, Any]:
        """The stored record; the inverse of `from_json`."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "at": self.at,
            "caller": self.caller,
            "request": self.request.to_wire(),
            "model": dict(self.model),
            "estimate": self.estimate and self.estimate.to_wire(),
            "cached": self.cached,
        }

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild a record; members of a newer version are ignored.

        Raises:
            UnreadableRecord: it is damaged, or only a newer version can read it.
        """
        with record_errors():
            check_schema(members["schema"], SCHEMA)
            estimate = members["estimate"]
            return cls(
                id=ValuationId(members["id"]),
                at=float(members["at"]),
                caller=CallerId(members["caller"]),
                request=CarRequest.from_wire(members["request"]),
                model=dict(members["model"]),
                estimate=estimate and Estimate.from_wire(estimate),
                cached=bool(members["cached"]),
            )


class EstimateFiles:
    """Writes, reads and removes kept estimates.

    While the backend is down (disk full, store unreachable), every method raises
    `StorageUnavailable`.

    Args:
        blobs: a store that holds nothing else (`open_estimate_store`).
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def write(self, kept: KeptEstimate) -> None:
        """Store an estimate, durably; replaces the record of the same id."""
        content = orjson.dumps(kept.to_json())
        if len(content) > MAX_BYTES:
            raise StorageUnavailable(reason=f"the record has more than {MAX_BYTES} bytes")
        with _storage_errors(), self._blobs.write(_folder(kept.id), RECORD) as blob:
            blob.write(content)

    def read(self, estimate_id: str) -> KeptEstimate | None:
        """The estimate with this id; None if there is none.

        Raises:
            UnreadableRecord: its record is damaged.
        """
        if not is_id(estimate_id):
            return None
        try:
            with _storage_errors(), self._blobs.read(_folder(estimate_id), RECORD) as blob:
                content = blob.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        with record_errors():
            members = orjson.loads(content)
        return KeptEstimate.from_json(members)

    def set_shared(self, estimate_id: str, *, is_shared: bool) -> None:
        """Let everybody who knows the address read the estimate, or its caller only."""
        with _storage_errors():
            if not is_shared:
                self._blobs.remove(_folder(estimate_id), [SHARED])
                return
            with self._blobs.write(_folder(estimate_id), SHARED) as blob:
                blob.write(b"1")

    def is_shared(self, estimate_id: str) -> bool:
        """Whether everybody who knows the address may read the estimate."""
        if not is_id(estimate_id):
            return False
        with _storage_errors():
            return self._blobs.size(_folder(estimate_id), SHARED) is not None

    def write_drawing(self, estimate_id: str, name: str, content: bytes) -> None:
        """Store a file that was drawn of an estimate, so that it is drawn once."""
        with _storage_errors(), self._blobs.write(_folder(estimate_id), name) as blob:
            blob.write(content)

    def read_drawing(self, estimate_id: str, name: str) -> bytes | None:
        """A file that was drawn of an estimate; None if there is none."""
        try:
            with _storage_errors(), self._blobs.read(_folder(estimate_id), name) as blob:
                return blob.read()
        except FileNotFoundError:
            return None

    def remove(self, estimate_id: str) -> None:
        """Delete an estimate, the record first."""
        with _storage_errors():
            self._blobs.remove(_folder(estimate_id), [RECORD])
            self._blobs.discard(_folder(estimate_id))

    def ids(self) -> Iterator[ValuationId]:
        """Every kept estimate, in order of age."""
        with _storage_errors():
            yield from map(ValuationId, self._blobs.batches())


def require_current(estimate_id: str, now: float, days: int) -> None:
    """Refuse an id that cannot be that of a kept estimate.

    The id states its time, so that an expired address is told from an unknown one although nothing
    of the estimate is left.

    Args:
        estimate_id: as it was given.
        now: Unix time, seconds.
        days: how long estimates are kept; 0: none is.

    Raises:
        ValuationNotFound: no id, or one that was never given.
        EstimateExpired: it is too old.
    """
    at = id_timestamp(estimate_id) if is_id(estimate_id) and days else 0.0
    if not FIRST_ID_AT <= at <= now + CLOCK_SKEW_S:
        raise ValuationNotFound(id=estimate_id[:64])
    if is_expired(estimate_id, now, days):
        raise EstimateExpired(id=estimate_id, days=days)


def is_expired(estimate_id: str, now: float, days: int) -> bool:
    """Whether an id is older than `days`."""
    return id_timestamp(estimate_id) + days * DAY_S < now


def id_in(text: str) -> str | None:
    """The id in an address or text that somebody has copied.

    >>> id_in(" https://prices.example/estimations/01m8fqj4f7z0kj5s71amqzvc4r?lang=ar#resultat")
    '01m8fqj4f7z0kj5s71amqzvc4r'
    """
    return next((one for one in _ID_IN_TEXT.findall(text.lower()) if is_id(one)), None)


def _folder(estimate_id: str) -> BatchId:
    """The folder of an estimate; the store names its folders by the type of its first use."""
    return cast("BatchId", estimate_id)


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageUnavailable(reason=error.strerror or str(error)) from error

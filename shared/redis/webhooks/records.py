"""The stored forms of webhooks: the recorded end of a job or batch, and the pending delivery."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any, Self

import msgpack

from shared.domain.errors import check_schema, record_errors
from shared.domain.ids import CallerId
from shared.domain.job import Callback, JobKind, JobState, JobSummary
from shared.webhooks.addresses import parse_address

CALLBACK_PROTOCOL = 3
"""`WorkerRegistry.protocol` from which workers record the end of work that has a callback."""

DELIVERY_SCHEMA = 1

END_OF_DATES = 253_402_300_800
"""Unix time at which the year 10000 begins, which dates cannot express."""

DELIVERY_BYTES = 1_536
"""Upper limit of what a callback takes in Redis besides its address, which is stored twice: record
and list entries of its webhook."""


def pack_callback(callback: Callback) -> bytes:
    """The stored form of a callback."""
    packed: bytes = msgpack.packb(callback.to_wire())
    return packed


def unpack_callback(packed: bytes) -> Callback:
    """Rebuild a callback; raises an error of `record_errors` if it cannot be understood."""
    return Callback.from_wire(msgpack.unpackb(packed))


def callback_bytes(callback: Callback | None) -> int:
    """Upper limit of what a callback and its webhook take in Redis."""
    return 0 if callback is None else DELIVERY_BYTES + 2 * len(callback.url)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RecordedEnd:
    """The end of a job or batch, as the script that ended it recorded it."""

    summary: JobSummary
    callback: Callback
    error: str = ""
    """Message code of the failure."""
    outcome: str = ""
    """`BatchOutcome` of a batch."""
    counts: tuple[int, int, int] | None = None
    """Rows of a batch: valid, invalid, failed."""
    cars: int = 0
    """Of a job."""

    @property
    def webhook_id(self) -> str:
        """The same in every attempt; another one if a failed job is replayed and ends again."""
        return f"{self.summary.id}-{int(1000 * (self.summary.finished_at or 0)):x}"

    @classmethod
    def from_entry(cls, entry: bytes) -> Self:
        """Read an entry of the list of ends.

        Raises:
            UnreadableRecord: it cannot be understood.
        """
        with record_errors():
            raw: dict[bytes, Any] = msgpack.unpackb(entry, raw=True, strict_map_key=False)
            return cls._from_members({name.decode(): value for name, value in raw.items()})

    @classmethod
    def _from_members(cls, members: Mapping[str, Any]) -> Self:
        def text(name: str) -> str:
            return (members.get(name) or b"").decode()

        def seconds(name: str) -> float | None:
            return _time(members[name]) if members.get(name) else None

        kind, state = JobKind(text("kind")), JobState(text("state"))
        counts = tuple(int(members.get(name) or 0) for name in ("valid", "invalid", "failed"))
        total = int(members["total"]) if members.get("total") else None
        is_job = kind is JobKind.JOB
        valued = (total or 0) if state is JobState.SUCCEEDED else 0
        return cls(
            summary=JobSummary(
                id=text("id"),
                kind=kind,
                caller=CallerId(text("caller")),
                state=state,
                created_at=_time(members["created_at"]),
                started_at=seconds("started_at"),
                finished_at=_time(members["finished_at"]),
                done=valued if is_job else sum(counts),
                total=total,
            ),
            callback=unpack_callback(members["callback"]),
            error=text("error"),
            outcome=text("outcome"),
            counts=None if is_job else (counts[0], counts[1], counts[2]),
            cars=(total or 0) if is_job else 0,
        )


def _time(value: Any) -> float:
    """A Unix time; raises an error of `record_errors` for one that no date has."""
    found = float(value)
    if not 0 <= found < END_OF_DATES:
        raise ValueError("no time")
    return found


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A webhook that is pending or was given up."""

    entry: bytes
    """The recorded end, see `RecordedEnd.from_entry`."""
    due_from: float
    """When its time began, Unix seconds: the end of the work, or the last replay."""
    give_up_at: float
    attempts: int = 0
    last_attempt_at: float | None = None
    last_outcome: str = ""
    """`AttemptOutcome` of the last attempt, or `expired`."""
    last_status: int | None = None
    """HTTP status of the last answer."""

    @property
    def end(self) -> RecordedEnd:
        """The end that it reports; raises `UnreadableRecord`."""
        return RecordedEnd.from_entry(self.entry)

    @property
    def receiver(self) -> str:
        """The caller and a digest of scheme, host and port: whose failures count together."""
        end = self.end
        origin = parse_address(end.callback.url).origin
        digest = hashlib.blake2b(origin.encode(), digest_size=6).hexdigest()
        return f"{end.summary.caller}:{digest}"

    def pack(self) -> bytes:
        """The stored form."""
        packed: bytes = msgpack.packb({"schema": DELIVERY_SCHEMA, **dataclasses.asdict(self)})
        return packed

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Rebuild it from `pack`'s bytes; members of a newer version are ignored.

        Raises:
            NewerRecord, UnreadableRecord: this version cannot read it.
        """
        with record_errors():
            members = msgpack.unpackb(packed)
            check_schema(members.pop("schema", 1), DELIVERY_SCHEMA)
            for name in ("due_from", "give_up_at"):
                members[name] = _time(members[name])
            members["attempts"] = int(members.get("attempts", 0))
            if members.get("last_attempt_at") is not None:
                members["last_attempt_at"] = _time(members["last_attempt_at"])
            names = {field.name for field in dataclasses.fields(cls)}
            return cls(**{name: value for name, value in members.items() if name in names})

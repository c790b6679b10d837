"""Sums over audit records by caller, for the statistics of a day.

The sums of a file are kept beside it, so that its lines need not be read again: those of a process
in the file's checkpoint, those of complete files as a line of `sums/<day>.ndjson`.
"""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import orjson

from shared.audit.list_records import ListRecords
from shared.blobs.local import temporary_file
from shared.domain.sale import SaleReport
from shared.domain.valuation import AuditRecord

Record: TypeAlias = AuditRecord | SaleReport | ListRecords
"""What is written to the log: one record, or those of a list."""

SUMS_FOLDER = "sums"
SCHEMA = 1
"""Version of a stored line; lines of other versions are ignored, and their files read."""


@dataclasses.dataclass(slots=True)
class CallerSums:
    """Sums over the records of one caller."""

    successes: int = 0
    failures: int = 0
    cache_hits: int = 0
    price_sum: float = 0.0
    price_min: float = float("inf")
    price_max: float = 0.0
    response_ms_sum: float = 0.0
    versions: dict[str, int] = dataclasses.field(default_factory=dict)
    """Valuations of each model version."""

    def add(self, price_mad: float | None, version: str, response_ms: float, *, hit: bool) -> None:
        """Add one record; without a price it is a failure."""
        if price_mad is None:
            self.failures += 1
        else:
            self.successes += 1
            self.price_sum += price_mad
            self.price_min = min(self.price_min, price_mad)
            self.price_max = max(self.price_max, price_mad)
            self.versions[version] = self.versions.get(version, 0) + 1
        self.response_ms_sum += response_ms
        self.cache_hits += hit

    def merge(self, other: "CallerSums") -> None:
        """Add the sums of other records."""
        self.successes += other.successes
        self.failures += other.failures
        self.cache_hits += other.cache_hits
        self.price_sum += other.price_sum
        self.price_min = min(self.price_min, other.price_min)
        self.price_max = max(self.price_max, other.price_max)
        self.response_ms_sum += other.response_ms_sum
        for version, count in other.versions.items():
            self.versions[version] = self.versions.get(version, 0) + count

    def subtract(self, other: "CallerSums") -> None:
        """Take away the sums of records that were added; extremes stay."""
        self.successes -= other.successes
        self.failures -= other.failures
        self.cache_hits -= other.cache_hits
        self.price_sum -= other.price_sum
        self.response_ms_sum -= other.response_ms_sum
        for version, count in other.versions.items():
            self.versions[version] = self.versions.get(version, 0) - count

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        known = {field: getattr(self, field) for field in self.__slots__}
        return known | {"price_min": self.price_min if self.successes else None}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Self:
        """Rebuild the sums; unknown members are ignored."""
        known = {name: given[name] for name in cls.__slots__ if given.get(name) is not None}
        return cls(**known | {"versions": dict(given["versions"])})


class FileSums(dict[str, CallerSums]):
    """Sums over the records of a file, by caller."""

    def of(self, caller: str) -> CallerSums:
        """The sums of a caller."""
        found = self.get(caller)
        if found is None:
            found = self[caller] = CallerSums()
        return found

    def total(self, caller: str | None) -> CallerSums:
        """The sums of a caller, as a copy; None: of all callers."""
        total = CallerSums()
        for one, sums in self.items():
            if caller in {None, one}:
                total.merge(sums)
        return total

    def add_records(self, records: Sequence[Record]) -> None:
        """Add records; sale reports are not counted. Every answer passes here: no further calls."""
        for record in records:
            if isinstance(record, ListRecords):
                self._add_list(record)
            if not isinstance(record, AuditRecord):
                continue
            sums = self.get(record.caller) or self.of(record.caller)
            estimate = record.estimate
            if estimate is None:
                sums.failures += 1
            else:
                price_mad, versions = estimate.price_mad, sums.versions
                version = estimate.model_version
                sums.successes += 1
                sums.price_sum += price_mad
                sums.price_min = min(sums.price_min, price_mad)
                sums.price_max = max(sums.price_max, price_mad)
                versions[version] = versions.get(version, 0) + 1
            sums.response_ms_sum += record.response_time_ms
            sums.cache_hits += record.cached

    def _add_list(self, records: ListRecords) -> None:
        sums, prices_mad = self.of(records.caller), records.estimates.prices_mad
        count, version = len(prices_mad), records.estimates.model_version
        sums.successes += count
        sums.price_sum += sum(prices_mad)
        sums.price_min = min(sums.price_min, *prices_mad)
        sums.price_max = max(sums.price_max, *prices_mad)
        sums.versions[version] = sums.versions.get(version, 0) + count
        sums.response_ms_sum += count * records.response_time_ms

    def add_line(self, line: bytes) -> None:
        """Add the record of a line; on an error nothing is added.

        Raises:
            KeyError, TypeError, ValueError: the line is not a valid record.
        """
        record = orjson.loads(line)
        is_success = record["status"] == "success"
        price_mad = float(record["price_mad"]) if is_success else None
        version = str(record["model_version"]) if is_success else ""
        response_ms, is_hit = float(record["response_time_ms"]), bool(record["cached"])
        # Records of the first release had no caller.
        self.of(str(record.get("caller", ""))).add(price_mad, version, response_ms, hit=is_hit)

    def merge(self, other: "FileSums") -> None:
        """Add the sums of other records."""
        for caller, sums in other.items():
            self.of(caller).merge(sums)

    def copy(self) -> "FileSums":
        """An independent copy."""
        copied = FileSums()
        copied.merge(self)
        return copied

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        return {caller: sums.to_json() for caller, sums in self.items()}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Self:
        """Rebuild the sums."""
        return cls({caller: CallerSums.from_json(sums) for caller, sums in given.items()})


@dataclasses.dataclass(frozen=True, slots=True)
class StoredSums:
    """Sums over the first bytes of a file."""

    file: str
    size: int
    """Bytes; the end of a line."""
    head: str
    """Hash of the last line; "" if it has none."""
    sums: FileSums

    def encode(self) -> bytes:
        """A line of `sums/<day>.ndjson`."""
        line = {
            "v": SCHEMA, "file": self.file, "bytes": self.size, "head": self.head,
            "callers": self.sums.to_json(),
        }  # fmt: skip
        return orjson.dumps(line) + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Self | None:
        """Read a line; None if it is damaged or of another version."""
        try:
            given = orjson.loads(line)
            if given["v"] != SCHEMA:
                return None
            sums = FileSums.from_json(given["callers"])
            return cls(str(given["file"]), int(given["bytes"]), str(given["head"]), sums)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


def sums_file(folder: Path, day: str) -> Path:
    """The file of the stored sums of a day; `folder` is the audit log."""
    return folder / SUMS_FOLDER / f"{day}.ndjson"


def forget_sums(folder: Path, day: str, file: str) -> None:
    """Delete the stored sums of a file of which records were deleted.

    Sums that another process stores at the same time may be lost: the lines are then read again.

    Raises:
        OSError: the disk refuses.
    """
    path = sums_file(folder, day)
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    found = [(line, StoredSums.decode(line)) for line in lines]
    with temporary_file(path) as (temporary, target):
        target.writelines(line for line, sums in found if sums is not None and sums.file != file)
        target.flush()
        temporary.replace(path)


def store_sums(folder: Path, day: str, stored: Iterable[StoredSums]) -> None:
    """Store sums of files of a day, each by one write; processes may do so at once.

    Raises:
        OSError: the disk refuses.
    """
    path = sums_file(folder, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        for each in stored:
            line = each.encode()
            # The line feed first: a line that was cut off by a full disk does not damage this one.
            os.write(descriptor, b"\n" + line)
    finally:
        os.close(descriptor)

"""What a host has copied of its audit log to the state store: manifests, one for each day.

| object | content |
|---|---|
| `audit/hosts.json` | the hosts that have an audit log, by id, with their names |
| `audit/HOST/days.json` | the days of a host, with the digest of the manifest of each |
| `audit/HOST/DAY.json` | the files of a day: size, last hash, sums, parts |
| `audit/HOST/parts/FILE/GENERATION-START` | bytes of a file from an offset on |
"""

import dataclasses
from typing import Any, Self

import orjson

from shared.audit.sums import FileSums

SCHEMA = 1
HOSTS_DOCUMENT = "audit/hosts.json"


class DamagedDocument(OSError):
    """A document of the audit logs in the state store is no such document, or of a newer form."""


@dataclasses.dataclass(slots=True)
class PartCopy:
    """Consecutive bytes of a file, whole lines, as an object."""

    start: int
    """Offset in the file."""
    size: int
    first_at: float
    """Unix time of the first record, by the clock of its host; 0: unknown."""
    last_at: float


@dataclasses.dataclass(slots=True)
class FileCopy:
    """How far a file was copied."""

    name: str
    generation: int = 0
    """Greater after records were deleted from the file: its parts are then other objects."""
    size: int = 0
    """Bytes; the end of a line with a hash."""
    head: str = ""
    """Hash of that line."""
    parts: list[PartCopy] = dataclasses.field(default_factory=list)
    sums: FileSums = dataclasses.field(default_factory=FileSums)
    """Over the records that were copied."""

    def continues(self, other: "FileCopy | None") -> bool:
        """Whether the other is the same file at an earlier time, as a host that restored it has it.

        After a deletion of records from either it is not. A segment of a batch is written at once;
        two hosts may have written it with different bytes.
        """
        return (
            other is not None
            and ".batch-" not in self.name
            and self.generation == other.generation == 0
            and other.size < self.size
        )

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        parts = [[part.start, part.size, part.first_at, part.last_at] for part in self.parts]
        return {
            "name": self.name, "generation": self.generation, "bytes": self.size,
            "head": self.head, "parts": parts, "callers": self.sums.to_json(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Self:
        """Rebuild the copy; unknown members are ignored."""
        parts = [PartCopy(*part[:4]) for part in given["parts"]]
        sums = FileSums.from_json(given["callers"])
        name, generation = str(given["name"]), int(given["generation"])
        return cls(name, generation, int(given["bytes"]), str(given["head"]), parts, sums)


@dataclasses.dataclass(slots=True)
class DayManifest:
    """The copied files of a day."""

    files: dict[str, FileCopy] = dataclasses.field(default_factory=dict)
    repeated: FileSums = dataclasses.field(default_factory=FileSums)
    """Sums over the records of this host that another one had to record while it was silent."""
    repeated_ids: set[str] = dataclasses.field(default_factory=set)
    """The valuations of these records."""

    def encode(self) -> bytes:
        """The document."""
        return orjson.dumps({
            "v": SCHEMA,
            "files": [self.files[name].to_json() for name in sorted(self.files)],
            "repeated": self.repeated.to_json(),
            "repeated_ids": sorted(self.repeated_ids),
        })  # fmt: skip

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Read the document.

        Raises:
            DamagedDocument: it cannot be read.
        """
        try:
            given = orjson.loads(content)
            _require_schema(given["v"])
            files = [FileCopy.from_json(each) for each in given["files"]]
            repeated = FileSums.from_json(given["repeated"])
            ids = set(given["repeated_ids"])
            return cls({each.name: each for each in files}, repeated, ids)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            text = f"a manifest of the audit log cannot be read: {error!r}"
            raise DamagedDocument(text) from error


def _require_schema(found: object) -> None:
    if found != SCHEMA:
        raise ValueError(f"version {found}")


def days_document(host: str) -> str:
    """Name of the list of days of a host."""
    return f"audit/{host}/days.json"


def day_document(host: str, day: str) -> str:
    """Name of the manifest of a day of a host."""
    return f"audit/{host}/{day}.json"


def part_name(host: str, file: FileCopy, part: PartCopy) -> str:
    """Name of the object of a part."""
    return f"audit/{host}/parts/{file.name}/{file.generation}-{part.start}"


def read_document(content: bytes) -> dict[str, Any]:
    """Read `hosts.json` or `days.json`.

    Raises:
        DamagedDocument: it cannot be read.
    """
    try:
        given: dict[str, Any] = orjson.loads(content)
        return dict(given)
    except (TypeError, ValueError) as error:
        text = f"a document of the audit logs cannot be read: {error!r}"
        raise DamagedDocument(text) from error

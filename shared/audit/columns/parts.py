"""Files of columns: a Parquet file, and a signed description that says what it was made of.

| file below `columns/` | content |
|---|---|
| `DAY.ID.parquet` | records of files of a day |
| `DAY.ID.json` | what it was made of; of each row group the digests of its columns, and the
least and greatest id and time; an HMAC with the key of the checkpoints |

A column whose digest is another is not read: whoever can change the file lacks the key.
"""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from shared.audit.columns.names import COLUMNS, TEXTS
from shared.audit.columns.places import columns_folder
from shared.audit.columns.schema import with_dictionaries
from shared.audit.columns.spans import Span, Stamp
from shared.audit.file_state import CheckpointError
from shared.audit.signing import authentic, mac_of, signed
from shared.blobs.local import temporary_file
from shared.domain.ids import new_id

SCHEMA = 1
GROUP_ROWS = 1 << 18
DATA_SUFFIX = ".parquet"
DESCRIPTION_SUFFIX = ".json"
_FOOTER_END_BYTES = 8
_ENCODINGS = {"id": "DELTA_BYTE_ARRAY", "offset": "DELTA_BINARY_PACKED"}

Bounds: TypeAlias = tuple[str, str, float, float]
"""Least and greatest id, earliest and latest time."""


@dataclasses.dataclass(frozen=True, slots=True)
class RowGroup:
    """What is known of a row group without reading it."""

    first_id: str
    last_id: str
    first_at: float
    """Unix time of the earliest record."""
    last_at: float
    digests: dict[str, str]
    """SHA-256 of each column."""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A file of columns."""

    path: Path
    """Of the description."""
    spans: tuple[Span, ...]
    groups: tuple[RowGroup, ...]
    footer: str
    """SHA-256 of the end of the Parquet file."""

    def encode(self, key: bytes) -> bytes:
        """The signed description."""
        body = orjson.dumps({
            "v": SCHEMA, "spans": self.spans, "groups": self.groups, "footer": self.footer,
        })  # fmt: skip
        return signed(body, mac_of(key, body))

    @classmethod
    def read(cls, path: Path, key: bytes) -> Self | None:
        """Read a description; None if it is damaged, of another version or of another key."""
        try:
            given: dict[str, Any] | None = authentic(key, path.read_bytes())
            if given is None or given["v"] != SCHEMA:
                return None
            spans = tuple(
                Span(**each | {"stamp": Stamp(**each["stamp"])}) for each in given["spans"]
            )
            return cls(
                path, spans, tuple(RowGroup(**each) for each in given["groups"]), given["footer"]
            )
        except (KeyError, OSError, TypeError, ValueError):
            return None

    @property
    def files(self) -> set[str]:
        """Names of the files of the log whose records it has."""
        return {span.file for span in self.spans}

    @property
    def data(self) -> Path:
        """The Parquet file."""
        return self.path.with_suffix(DATA_SUFFIX)

    def load(self, groups: Sequence[int], names: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of some row groups, one table each.

        Raises:
            CheckpointError: the file is not the one that was described.
            OSError: it cannot be read.
        """
        with pa.memory_map(str(self.data)) as mapped:
            content = mapped.read_buffer()
            if len(content) < _FOOTER_END_BYTES or _footer(content) != self.footer:
                raise CheckpointError(self.data.name)
            texts = [name for name in names if name in TEXTS]
            file = parquet.ParquetFile(pa.BufferReader(content), read_dictionary=texts)
            at = {name: COLUMNS.index(name) for name in names}
            for group in groups:
                chunks = file.metadata.row_group(group)
                for name in names:
                    if (
                        _digest(content, chunks.column(at[name]))
                        != self.groups[group].digests[name]
                    ):
                        raise CheckpointError(self.data.name)
                yield with_dictionaries(file.read_row_group(group, columns=list(names)))

    def delete(self) -> None:
        """Delete both files, as far as the disk allows."""
        for path in (self.path, self.data):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def write_part(
    folder: Path, day: str, spans: Sequence[Span], tables: Iterable[pa.Table], key: bytes
) -> Part:
    """Write a part.

    Args:
        folder: the audit log.
        day: of its files.
        spans: of the files.
        tables: their records, in this order.
        key: of the checkpoints.

    Raises:
        OSError: the disk refuses; nothing is left.
        NotProvenError: reading the tables has raised it; nothing is left.
    """
    path = columns_folder(folder) / f"{day}.{new_id()}{DESCRIPTION_SUFFIX}"
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    _give_to_owner(path.parent, folder)
    data = path.with_suffix(DATA_SUFFIX)
    with temporary_file(data, prefix=".") as (temporary, file):
        groups = _write_groups(file, tables)
        file.flush()
        part = Part(path, tuple(spans), *_described(temporary, groups))
        with temporary_file(path, prefix=".") as (description, target):
            target.write(part.encode(key))
            target.flush()
            for each in (temporary, description):
                each.chmod(0o640)
                _give_to_owner(each, folder)
            temporary.replace(data)
            description.replace(path)
    return part


def _give_to_owner(path: Path, folder: Path) -> None:
    """Let the service delete what the superuser has made."""
    if os.geteuid() == 0:
        owner = folder.stat()
        # Who may write the log must not be given what a link in it leads to.
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _write_groups(file: Any, tables: Iterable[pa.Table]) -> list[Bounds]:
    """Write row groups of about the same length; return the least and greatest of each."""
    writer, groups = None, []
    waiting: list[pa.Table] = []
    count = 0

    def write() -> None:
        nonlocal writer, count
        table = _joined(waiting)
        if writer is None:
            writer = parquet.ParquetWriter(
                file, table.schema, compression="zstd", compression_level=1,
                use_dictionary=list(TEXTS), column_encoding=_ENCODINGS, write_statistics=False,
            )  # fmt: skip
        writer.write_table(table, row_group_size=len(table))
        groups.append(_bounds(table))
        waiting.clear()
        count = 0

    for table in tables:
        waiting.append(table)
        count += len(table)
        if count >= GROUP_ROWS:
            write()
    if waiting:
        write()
    if writer is not None:
        writer.close()
    return groups


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _bounds(table: pa.Table) -> Bounds:
    ids, times = pc.min_max(table["id"]).as_py(), pc.min_max(table["at"]).as_py()
    return ids["min"], ids["max"], times["min"], times["max"]


def _described(path: Path, bounds: Sequence[Bounds]) -> tuple[tuple[RowGroup, ...], str]:
    if not bounds:
        return (), ""
    with pa.memory_map(str(path)) as mapped:
        content = mapped.read_buffer()
        metadata = parquet.ParquetFile(pa.BufferReader(content)).metadata
        groups = []
        for number, bound in enumerate(bounds):
            chunks = metadata.row_group(number)
            digests = {name: _digest(content, chunks.column(at)) for at, name in enumerate(COLUMNS)}
            groups.append(RowGroup(*bound, digests))
        return tuple(groups), _footer(content)


def _digest(content: pa.Buffer, chunk: Any) -> str:
    start = chunk.data_page_offset
    if chunk.has_dictionary_page:
        start = min(start, chunk.dictionary_page_offset)
    part = memoryview(content)[start : start + chunk.total_compressed_size]
    return hashlib.sha256(part).hexdigest()


def _footer(content: pa.Buffer) -> str:
    length = int.from_bytes(content[-_FOOTER_END_BYTES:-4].to_pybytes(), "little")
    end = memoryview(content)[max(0, len(content) - length - _FOOTER_END_BYTES) :]
    return hashlib.sha256(end).hexdigest()

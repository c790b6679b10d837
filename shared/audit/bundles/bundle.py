"""Bundles of the audit log: the files of some days, with an inventory of their own.

A bundle has the form of a log: `audit/` and `audit-checkpoints/`. Its inventory lists the files as
they were exported and is signed with the key of the log, which is not in the bundle.
"""

import contextlib
import gzip
import os
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple

import zstandard

from shared.audit.chain import OUTCOMES_PREFIX, PREDICTIONS_PREFIX, file_pattern
from shared.audit.checkpoints import INVENTORY_FILE, complete_entry
from shared.audit.checks.file_check import check_file
from shared.audit.columns.places import LogPlace
from shared.audit.file_state import CheckpointError
from shared.audit.inventory import Entry, FileEntry, Inventory, Kind
from shared.audit.signing import read_key
from shared.audit.verification import (
    ExpectedFiles,
    Report,
    read_expected,
    verify_file,
)
from shared.blobs.local import fsync_folder
from shared.i18n.command import gettext as _

LOG_FOLDER = "audit"
CHECKPOINTS_FOLDER = "audit-checkpoints"
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst")
_COPY_BYTES = 1 << 20
_FILE = file_pattern(PREDICTIONS_PREFIX, OUTCOMES_PREFIX)


class Exported(NamedTuple):
    """What a bundle contains."""

    entries: tuple[FileEntry, ...]
    records: int

    @property
    def files(self) -> int:
        """How many."""
        return len(self.entries)


class BundlePlace(NamedTuple):
    """Where the log of a bundle and its checkpoints are."""

    folder: Path
    checkpoints: Path


def is_archive(path: Path) -> bool:
    """Whether a bundle is one file, by its name."""
    return path.name.endswith(ARCHIVE_SUFFIXES)


def export(place: LogPlace, first_day: str, last_day: str, target: Path) -> Exported:
    """Write a bundle of the files of some days.

    Args:
        place: of the log.
        first_day: `YYYY-MM-DD`, as in the names of files.
        last_day: the same.
        target: a new folder, or a new tar file.

    Raises:
        CheckpointError: a file has a fault or is missing, or there is no inventory, or the target
            exists; nothing is left.
        OSError: the disk refuses; nothing is left.
    """
    if target.exists():
        raise CheckpointError(_("{path}: it exists already").format(path=target))
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        exported = _write(place, first_day, last_day, work)
        if is_archive(target):
            _pack(work, target)
        else:
            work.rename(target)
        fsync_folder(target.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return exported


def _write(place: LogPlace, first_day: str, last_day: str, work: Path) -> Exported:
    report = Report()
    expected = read_expected(place.checkpoints, place.key_file, report)
    key = read_key(place.key_file)
    if expected is None or key is None:
        text = _("without inventory and key nobody could verify the bundle")
        raise CheckpointError("; ".join(report.faults) or text)
    (work / LOG_FOLDER).mkdir()
    names = {path.name for path in place.folder.iterdir()}
    days = {name: match[1] for name in names if (match := _FILE.fullmatch(name))}
    missing = [
        name
        for name in expected.missing(names)
        if first_day <= _day(name) <= last_day and not (place.folder / name).exists()
    ]
    report.faults += [_("{name}: the file was removed").format(name=name) for name in missing]
    entries: list[FileEntry] = []
    records = 0
    for name in sorted(name for name, day in days.items() if first_day <= day <= last_day):
        entry, count = _copy(place.folder / name, expected, work / LOG_FOLDER / name, report)
        entries.append(entry)
        records += count
    if report.faults:
        raise CheckpointError("\n".join(report.faults))
    _write_inventory(work / CHECKPOINTS_FOLDER, key, entries, first_day)
    return Exported(tuple(entries), records)


def _copy(
    path: Path, expected: ExpectedFiles, target: Path, report: Report
) -> tuple[FileEntry, int]:
    """Copy a file as far as it is written, verify both; return its entry and its records."""
    verify_file(path, expected, report)
    entry = expected.anchor(path) if expected.is_complete(path.name) else None
    entry = entry or complete_entry(path)
    with path.open("rb") as source, target.open("xb") as copy:
        while (left := entry.size - copy.tell()) > 0 and (
            read := source.read(min(left, _COPY_BYTES))
        ):
            copy.write(read)
    found = check_file(target, entry)
    if found.fault and not report.faults:
        report.add(f"{path.name}: {found.fault}")
    return entry, found.records


def _write_inventory(folder: Path, key: bytes, entries: list[FileEntry], first_day: str) -> None:
    folder.mkdir(mode=0o700)
    now = time.time()
    lines = [Entry(Kind.STARTED, now), Entry(Kind.REMOVED_BEFORE, now, day=first_day)]
    lines += [Entry(Kind.COMPLETE, now, entry) for entry in entries]
    Inventory(folder / INVENTORY_FILE, key).create(lines)


def _day(name: str) -> str:
    match = _FILE.fullmatch(name)
    return match[1] if match else ""


def _pack(work: Path, target: Path) -> None:
    packed = work / "packed"
    packed.touch(0o600)
    with (
        _stream(packed, "wb", target.name) as stream,
        tarfile.open(fileobj=stream, mode="w|") as archive,
    ):
        for name in (LOG_FOLDER, CHECKPOINTS_FOLDER):
            archive.add(work / name, name)
    with packed.open("rb") as written:
        os.fsync(written.fileno())
    packed.rename(target)


def _stream(path: Path, mode: Literal["rb", "wb"], name: str) -> IO[bytes]:
    """An archive, compressed as its name says."""
    if name.endswith(".zst"):
        found: IO[bytes] = zstandard.open(path, mode)
        return found
    return path.open(mode) if name.endswith(".tar") else gzip.open(path, mode)  # type: ignore[return-value]


def _plain_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files and folders of an archive; a bundle has nothing else."""
    for member in archive:
        if not (member.isreg() or member.isdir()):
            raise tarfile.TarError(f"{member.name}: no file")
        yield member


@contextlib.contextmanager
def opened(bundle: Path) -> Iterator[BundlePlace]:
    """The log of a bundle, a folder or a tar file, which is unpacked meanwhile.

    Raises:
        CheckpointError: it is no bundle.
        OSError: it cannot be read.
    """
    with contextlib.ExitStack() as stack:
        folder = bundle
        if not bundle.is_dir():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="audit-bundle-")))
            try:
                with (
                    _stream(bundle, "rb", bundle.name) as stream,
                    tarfile.open(fileobj=stream, mode="r|") as archive,
                ):
                    archive.extractall(folder, _plain_members(archive), filter="data")
            except (tarfile.TarError, EOFError, zlib.error, zstandard.ZstdError) as error:
                raise CheckpointError(f"{bundle}: {error}") from error
        if not (folder / LOG_FOLDER).is_dir():
            raise CheckpointError(_("{path}: this is no bundle").format(path=bundle))
        yield BundlePlace(folder / LOG_FOLDER, folder / CHECKPOINTS_FOLDER)

"""`carprice repair-broker`: removes the damaged parts of the embedded broker's files.

The server refuses to start with a damaged file. Valkey's own tool cuts a file off at the first
damage, and so drops every job that was accepted later.
"""

import contextlib
import dataclasses
import datetime as dt
import mmap
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from launcher.append_only.commands import Analysis, Data, Range, analyse
from launcher.embedded import AOF_FOLDER, server_binary
from shared.i18n.command import gettext as _

MANIFEST = "appendonly.aof.manifest"
BLOCK_BYTES = 1 << 20
CHECK_TIMEOUT_S = 600.0
EMPTY_BYTES = 1024
"""More than the files of a server that was killed at its first start."""

_FILE_NAME = re.compile(r"appendonly\.aof\.(?P<seq>\d+)\.(?P<kind>base|incr)\.(?:rdb|aof)")


class RepairError(RuntimeError):
    """The files cannot be repaired; the message says why and what to do."""


class ManifestMissingError(RepairError):
    """There are append-only files, but not the list of them."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """A damaged file."""

    path: Path
    analysis: Analysis | None
    """None for a base file, which cannot be kept in part."""

    @property
    def description(self) -> str:
        """What is lost of it, for a message."""
        if self.analysis is None:
            return f"{self.path.name}: damaged, cannot be kept in part"
        ranges = ", ".join(f"{start}-{end}" for start, end in self.analysis.dropped)
        lost = sum(end - start for start, end in self.analysis.dropped)
        return f"{self.path.name}: {lost} of {self.analysis.size} bytes are damaged ({ranges})"


def find_damage(folder: Path) -> list[Damage]:
    """The damaged files of the broker, in the order in which it reads them.

    Args:
        folder: the data folder of the broker; no server uses it.

    Raises:
        RepairError: the list of files is damaged or names a missing file.
        OSError: a file cannot be read.
    """
    found = []
    for path, kind in _listed_files(folder / AOF_FOLDER):
        if kind == "b" and path.suffix == ".rdb":
            if not _is_valid_base(path):
                found.append(Damage(path=path, analysis=None))
            continue
        with _content(path) as content:
            analysis = analyse(content)
        if analysis.dropped:
            found.append(Damage(path=path, analysis=analysis))
    return found


def repair(folder: Path, damaged: list[Damage], now: dt.datetime) -> Path:
    """Replace damaged files by what can be kept of them.

    Args:
        folder: the data folder of the broker; no server uses it.
        damaged: as `find_damage` returns them.
        now: names the folder of the former files.

    Returns:
        The folder that holds the damaged files as they were.

    Raises:
        OSError: the disk refuses; files not yet replaced are as they were.
    """
    backup = folder / f"damaged-{now:%Y%m%dT%H%M%SZ}"
    backup.mkdir(mode=0o700)
    manifest = folder / AOF_FOLDER / MANIFEST
    os.link(manifest, backup / manifest.name)
    for each in damaged:
        os.link(each.path, backup / each.path.name)
        if each.analysis is None:
            _remove_from_manifest(manifest, each.path)
        else:
            _keep_ranges(each.path, each.analysis.kept)
    return backup


def write_manifest(folder: Path) -> None:
    """Write the list of the append-only files anew, from their names.

    Args:
        folder: the data folder of the broker; no server uses it.

    Raises:
        RepairError: the names do not tell which files belong together.
        OSError: the disk refuses.
    """
    files = folder / AOF_FOLDER
    found: dict[str, list[tuple[int, str]]] = {"base": [], "incr": []}
    for path in files.iterdir():
        if match := _FILE_NAME.fullmatch(path.name):
            found[match["kind"]].append((int(match["seq"]), path.name))
    if len(found["base"]) != 1:
        raise RepairError(
            _("{files}: {count} base files instead of one: restore it from a backup").format(
                files=files, count=len(found["base"])
            )
        )
    lines = [
        f"file {name} seq {number} type {kind}\n"
        for kind, names in (("b", found["base"]), ("i", sorted(found["incr"])))
        for number, name in names
    ]
    _write_text(files / MANIFEST, lines)


def check_manifest(folder: Path) -> None:
    """Check that a server would find its files.

    Raises:
        ManifestMissingError: it would begin without data, and write over the files that are there.
    """
    try:
        _listed_files(folder / AOF_FOLDER)
    except ManifestMissingError:
        raise
    except (RepairError, OSError):  # the server reports it
        return


def trim_zeros(folder: Path) -> int:
    """Cut zero bytes off the end of the last append-only file.

    A loss of power may leave them where the file had been extended but not written. They hold no
    data, and no command ends in a zero byte.

    Args:
        folder: the data folder of the broker; no server uses it.

    Returns:
        The number of bytes removed.
    """
    try:
        *_, (path, _) = _listed_files(folder / AOF_FOLDER)
        size = path.stat().st_size
    except (RepairError, OSError, ValueError):  # the server reports it
        return 0
    if path.suffix != ".aof" or size == 0:
        return 0
    with _content(path) as content:
        end = size
        while end and content[end - 1] == 0:
            block = content[max(0, end - BLOCK_BYTES) : end]
            end -= len(block) - len(block.rstrip(b"\0"))
    if end < size:
        os.truncate(path, end)
    return size - end


def _listed_files(folder: Path) -> list[tuple[Path, str]]:
    """The files of the manifest with their kinds: b (base) or i (changes since)."""
    manifest = folder / MANIFEST
    if not manifest.exists():
        sizes = [path.stat().st_size for path in folder.glob("appendonly.aof.*")]
        if sum(sizes) > EMPTY_BYTES:
            raise ManifestMissingError(
                _(
                    "{manifest} is missing, and without it the server would begin without any data"
                ).format(manifest=manifest)
            )
        return []
    try:
        lines = [line.split() for line in manifest.read_text(encoding="utf-8").splitlines()]
        listed = [(folder / line[1], line[5]) for line in lines if line and line[0] != "#"]
    except (IndexError, ValueError):
        raise RepairError(
            _("{manifest} is damaged: restore the folder from a backup").format(manifest=manifest)
        ) from None
    for path, _kind in listed:
        if not path.is_file():
            raise RepairError(
                _("{path} is missing: restore the folder from a backup").format(path=path)
            )
    return [(path, kind) for path, kind in listed if kind in {"b", "i"}]


def _is_valid_base(path: Path) -> bool:
    """Whether the server's own check finds the checksum of a base file right."""
    check = subprocess.run(
        ["valkey-check-rdb", str(path)],  # noqa: S607 - the name that makes the server check
        executable=server_binary(),
        capture_output=True,
        timeout=CHECK_TIMEOUT_S,
        check=False,
    )
    return check.returncode == 0


@contextlib.contextmanager
def _content(path: Path) -> Iterator[Data]:
    """The content of a file."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content


def _keep_ranges(path: Path, kept: tuple[Range, ...]) -> None:
    """Replace a file by ranges of it."""
    new = path.with_suffix(".repaired")
    with _content(path) as content, new.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        for start, end in kept:
            for offset in range(start, end, BLOCK_BYTES):
                file.write(content[offset : min(end, offset + BLOCK_BYTES)])
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _remove_from_manifest(manifest: Path, path: Path) -> None:
    """Take a file out of the manifest, then remove it."""
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    _write_text(manifest, [line for line in lines if line.split()[1:2] != [path.name]])
    path.unlink()


def _write_text(path: Path, lines: list[str]) -> None:
    new = path.with_suffix(".repaired")
    with new.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)

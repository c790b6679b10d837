"""Finds the files of listings in folders, and names what is there and not read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data.listings.files import ListingsError
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason

TABLE_SUFFIXES = frozenset({
    ".csv", ".tsv", ".xlsx", ".xlsm", ".parquet", ".json", ".jsonl", ".ndjson",
})  # fmt: skip
"""Suffixes of the files that are read in a folder, perhaps followed by one of a compression."""
_UNCERTAIN_SUFFIXES = frozenset({"", ".txt", ".dat"})
"""Suffixes of tables and of other texts: a file that has no column of a car is left out."""
_COMPRESSED = frozenset({".gz", ".zst", ".zstd"})
_XLSX, _PARQUET = mark("save it as .xlsx"), mark("save it as .parquet")
_CSV = mark("save it as CSV")
_NO_TABLE = mark("not a kind of table")
_GZIP, _UNPACK = mark("unpack it, or pack it with gzip"), mark("unpack it")
_UNREADABLE = {
    ".xls": _XLSX,
    ".xlsb": _XLSX,
    ".ods": _XLSX,
    ".numbers": _XLSX,
    ".feather": _PARQUET,
    ".arrow": _PARQUET,
    ".orc": _PARQUET,
    ".dta": _CSV,
    ".sav": _CSV,
    ".sas7bdat": _CSV,
    ".rds": _CSV,
    ".pkl": _CSV,
    ".mdb": _CSV,
    ".accdb": _CSV,
    ".sqlite": _CSV,
    ".html": _CSV,
    ".xml": _CSV,
    ".bz2": _GZIP,
    ".xz": _GZIP,
    ".lz4": _GZIP,
    ".zip": _UNPACK,
    ".7z": _UNPACK,
    ".rar": _UNPACK,
    ".tar": _UNPACK,
    ".tgz": _UNPACK,
}
"""What to do with a file that may hold listings and cannot be read, by its last suffix."""


class FoundFiles(NamedTuple):
    """The files of paths and folders."""

    files: tuple[Path, ...]
    """Files to read, each once, whatever links lead to it."""
    uncertain: frozenset[Path]
    """Those of a folder that may be no tables."""
    not_read: tuple[str, ...]
    """Names of the others, each with the reason in brackets."""


def find_files(paths: Sequence[Path]) -> FoundFiles:
    """Find the files of paths: each file itself, and the files of a folder by their names.

    Raises:
        ListingsError: a folder has no file to read, or one of a kind that may hold listings and
            cannot be read: they would be missing without a trace.
    """
    files: dict[tuple[int, int] | Path, Path] = {}
    uncertain = set()
    not_read: list[str] = []
    for path in paths:
        is_folder = path.is_dir()
        inside, left_out = _listed(path) if is_folder else ([path], [])
        not_read += left_out
        for file in inside:
            first = files.setdefault(_identity(file), file)
            if first is not file:
                same = _("the same file as {name}").format(name=first.name)
                not_read.append(f"{file.name} ({same})")
            elif is_folder and _kind(file) in _UNCERTAIN_SUFFIXES:
                uncertain.add(file)
    return FoundFiles(tuple(files.values()), frozenset(uncertain), tuple(not_read))


def _identity(file: Path) -> tuple[int, int] | Path:
    """Device and inode; the path of a file that is missing, which reading it reports."""
    try:
        found = file.stat()
    except OSError:
        return file
    return found.st_dev, found.st_ino


def _listed(folder: Path) -> tuple[list[Path], list[str]]:
    """The files to read in a folder, and the names of the others with the reason."""
    inside, left_out, unreadable = [], [], []
    try:
        entries = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise ListingsError(f"{folder}: {os_reason(error)}") from None
    for file in entries:
        kind = _kind(file)
        if reason := _not_a_file(file):
            left_out.append(f"{file.name} ({reason})")
        elif kind in TABLE_SUFFIXES or kind in _UNCERTAIN_SUFFIXES:
            inside.append(file)
        elif kind in _UNREADABLE:
            unreadable.append(f"{file.name}: {_(_UNREADABLE[kind])}")
        else:
            left_out.append(f"{file.name} ({_(_NO_TABLE)})")
    if unreadable:
        raise ListingsError(
            _("{folder}: files that cannot be read: {unreadable}; or move it elsewhere").format(
                folder=folder, unreadable="; ".join(unreadable)
            )
        )
    if not inside:
        suffixes = ", ".join(sorted(TABLE_SUFFIXES))
        not_read = _("not read: {files}").format(files=", ".join(left_out))
        others = f"; {not_read}" if left_out else ""
        raise ListingsError(
            _("{folder}: the folder has no files of listings ({suffixes}){others}").format(
                folder=folder, suffixes=suffixes, others=others
            )
        )
    return inside, left_out


def _not_a_file(file: Path) -> str | None:
    if file.is_dir():
        return _("a folder: name it by itself")
    if not file.exists():
        return _("a link to a file that is missing")
    return None if file.is_file() else _("not a regular file")


def _kind(file: Path) -> str:
    """The suffix without that of a compression, in lower case; empty without one."""
    suffixes = [suffix.casefold() for suffix in _suffixes(file)]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _suffixes(file: Path) -> Iterator[str]:
    """Suffixes that are no numbers: "cars.2026" has none."""
    return (suffix for suffix in file.suffixes if not suffix[1:].isdigit())

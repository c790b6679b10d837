"""The form of a backup: a folder, or a tar file. Both are private to their owner."""

import hashlib
import io
import os
import shutil
import tarfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, Protocol

import orjson

from cli.backups.layout import INFO, SCHEMA, BackupError
from shared.blobs.local import fsync, fsync_folder
from shared.i18n.command import gettext as _

BLOCK_BYTES = 1 << 20
MAX_FAULTS = 20
"""Files of a damaged backup that are named."""
TAR_MODES: Mapping[str, tuple[Literal["w|", "w|gz"], Literal["r|", "r|gz"]]] = {
    ".tar": ("w|", "r|"),
    ".tar.gz": ("w|gz", "r|gz"),
    ".tgz": ("w|gz", "r|gz"),
}
"""Modes of `tarfile` by suffix."""


class Target(Protocol):
    """Where files are written."""

    def add(self, name: str, file: BinaryIO, size: int) -> str:
        """Write a file of `size` bytes; return its SHA-256. A later file replaces an earlier one.

        Raises:
            FileNotFoundError: the source has become shorter.
        """
        ...


class BackupWriter:
    """Writes the files of a backup, and at last the list of them.

    Args:
        target: the folder or tar file.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._files: dict[str, dict[str, Any]] = {}

    def add(self, name: str, file: BinaryIO, size: int) -> None:
        """Add the first `size` bytes of a file, from its current position on."""
        self._files[name] = {"size": size, "sha256": self._target.add(name, file, size)}

    def retain(self, prefix: str, names: Collection[str]) -> None:
        """Leave out those files below `prefix` that are not in `names`."""
        for name in [each for each in self._files if each.startswith(prefix)]:
            if name not in names:
                del self._files[name]

    def finish(self, at: float, notes: Mapping[str, Any]) -> dict[str, Any]:
        """Write the list of the files; return its content."""
        info = {"schema": SCHEMA, "at": at, **notes, "files": self._files}
        content = orjson.dumps(info)
        self._target.add(INFO, io.BytesIO(content), len(content))
        return info


class FolderTarget:
    """Writes a backup into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, file: BinaryIO, size: int) -> str:
        """See `Target`."""
        path = self._folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("wb") as target:
            digest = _copy(file, target, size)
            fsync(target)
        return digest


class TarTarget:
    """Writes a backup into a tar file."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, file: BinaryIO, size: int) -> str:
        """See `Target`."""
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, 0o600, int(time.time())
        source = _DigestReader(file)
        self._tar.addfile(member, source)  # type: ignore[arg-type]  # it only reads
        if source.is_short:
            raise FileNotFoundError("the file has become shorter")
        return source.digest.hexdigest()


class _DigestReader:
    """Computes the digest of what is read; a file that has become shorter is filled with zeros.

    A member of a tar file must have its announced size, even if it is added again later.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.is_short = False

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self.is_short |= len(block) < size
        self.digest.update(block)
        return block.ljust(size, b"\0")


@contextmanager
def open_writer(path: Path) -> Iterator[BackupWriter]:
    """Write a backup; it appears under its name when it is complete.

    Raises:
        BackupError: there is something at `path`.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise BackupError(_("{path} exists: name a new file or folder").format(path=path))
    partial = path.with_name(f".{path.name}.partial")
    _delete(partial)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if (mode := _tar_modes(path)) is None:
            partial.mkdir(mode=0o700)
            yield BackupWriter(FolderTarget(partial))
        else:
            opener = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opener, "wb") as file:
                with tarfile.open(fileobj=file, mode=mode[0], bufsize=BLOCK_BYTES) as tar:
                    yield BackupWriter(TarTarget(tar))
                fsync(file)
        partial.replace(path)
        fsync_folder(path.resolve().parent)
    finally:
        _delete(partial)


def extract(path: Path, target: Path) -> dict[str, Any]:
    """Copy the files of a backup into an empty folder and check them.

    Returns:
        The content of `INFO`.

    Raises:
        BackupError: it is no backup, incomplete or damaged, or of a newer version; it names the
            files that are damaged or missing.
    """
    mode = None if path.is_dir() else (_tar_modes(path) or TAR_MODES[".tar"])
    writer, digests = FolderTarget(target), {}
    try:
        with _sources(path, mode[1] if mode else None) as sources:
            for name, file, size in sources:
                _check_name(name)
                digests[name] = size, writer.add(name, file, size)
    except (tarfile.TarError, EOFError) as error:
        text = _("{path}: not a whole backup ({error})").format(path=path, error=error)
        raise BackupError(text) from error
    info = _read_info(path, target)
    faults = [
        (_("{name} is damaged") if name in digests else _("{name} is missing")).format(name=name)
        for name, given in info["files"].items()
        if digests.get(name) != (given["size"], given["sha256"])
    ]
    if faults:
        more = ["..."] if len(faults) > MAX_FAULTS else []
        raise BackupError("\n".join(f"{path}: {each}" for each in faults[:MAX_FAULTS] + more))
    for name in digests.keys() - info["files"].keys():
        (target / name).unlink()
    return info


def _read_info(path: Path, target: Path) -> dict[str, Any]:
    """The content of `INFO`; raises `BackupError` if it is not that of a backup."""
    try:
        info: dict[str, Any] = orjson.loads((target / INFO).read_bytes())
    except (FileNotFoundError, ValueError):
        text = _("{path}: not a complete backup, it has no {name}")
        raise BackupError(text.format(path=path, name=INFO)) from None
    try:
        if int(info["schema"]) > SCHEMA:
            text = _("{path}: a newer version wrote it; restore it with that version")
            raise BackupError(text.format(path=path))
        files = {name: (file["size"], file["sha256"]) for name, file in info["files"].items()}
        is_valid = bool(files) and info["at"] >= 0 and all(part for part in info["parts"])
    except (AttributeError, KeyError, TypeError, ValueError):
        is_valid = False
    if not is_valid:
        text = _("{path}: {name} is not that of a backup")
        raise BackupError(text.format(path=path, name=INFO))
    return info


@contextmanager
def _sources(
    path: Path, mode: Literal["r|", "r|gz"] | None
) -> Iterator[Iterator[tuple[str, BinaryIO, int]]]:
    """The files of a backup: name, content and size in bytes."""
    if mode is None:
        yield _files_of(path)
        return
    with tarfile.open(path, mode=mode, bufsize=BLOCK_BYTES) as tar:
        yield _members_of(tar)


def _files_of(folder: Path) -> Iterator[tuple[str, BinaryIO, int]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                yield str(path.relative_to(folder)), file, path.stat().st_size


def _members_of(tar: tarfile.TarFile) -> Iterator[tuple[str, BinaryIO, int]]:
    for member in tar:
        file = tar.extractfile(member) if member.isfile() else None
        if file is not None:
            yield member.name, file, member.size  # type: ignore[misc]  # a binary file


def _check_name(name: str) -> None:
    """Raise `BackupError` if a name leads out of the folder."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise BackupError(f"{name}: not a name of a file in a backup")


def _tar_modes(path: Path) -> tuple[Literal["w|", "w|gz"], Literal["r|", "r|gz"]] | None:
    found = [modes for suffix, modes in TAR_MODES.items() if path.name.endswith(suffix)]
    return found[0] if found else None


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> str:
    digest, left = hashlib.sha256(), size
    while left:
        block = source.read(min(left, BLOCK_BYTES))
        if not block:
            raise FileNotFoundError("the file has become shorter")
        target.write(block)
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

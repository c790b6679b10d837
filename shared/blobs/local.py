"""Blob store in a local folder: one folder per batch, one file per blob."""

import os
import shutil
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from shared.blobs.direct_io import drop_from_page_cache, write_direct
from shared.domain.ids import BatchId, is_id

_BUFFER_BYTES = 1 << 20


class LocalBlobStore:
    """A `BlobStore` in a local folder.

    A blob is written under a temporary name, synced and renamed, and then its folder is synced: it
    becomes visible as a whole, and survives a power failure once `write` has returned.

    Args:
        root: the folder; created when it is missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def write(self, batch_id: BatchId, name: str) -> Iterator[BinaryIO]:
        """Write a blob, atomically."""
        path = self._path(batch_id, name)
        with temporary_file(path) as (temporary, file):
            yield file
            fsync(file)
            temporary.replace(path)
            fsync_folder(path.parent)

    def write_all(
        self,
        batch_id: BatchId,
        blobs: Mapping[str, Sequence[bytes | memoryview]],
        *,
        uncached: Collection[str] = (),
    ) -> None:
        """Write whole blobs; each folder is synced once."""
        with ExitStack() as stack:
            moves = []
            for name, pieces in blobs.items():
                path = self._path(batch_id, name)
                temporary, file = stack.enter_context(temporary_file(path))
                if name in uncached:
                    write_direct(file.fileno(), pieces)
                else:
                    file.writelines(pieces)
                moves.append((temporary, file, path))
            # The disk may write all of them during the first sync.
            for _, file, _ in moves:
                fsync(file)
            for temporary, _, path in moves:
                temporary.replace(path)
            for folder in dict.fromkeys(path.parent for _, _, path in moves):
                fsync_folder(folder)

    def read(self, batch_id: BatchId, name: str) -> BinaryIO:
        """Open a blob."""
        return self._path(batch_id, name).open("rb")

    def load(self, batch_id: BatchId, name: str, limit: int | None = None) -> bytes:
        """Read a blob, or its first bytes."""
        with self.read(batch_id, name) as blob:
            return blob.read(-1 if limit is None else limit)

    def load_all(self, batch_id: BatchId, names: Sequence[str]) -> Iterator[bytes]:
        """Read whole blobs, one after the other; the page cache need not keep them."""
        for name in names:
            with self.read(batch_id, name) as blob:
                yield blob.read()
                drop_from_page_cache(blob)

    def size(self, batch_id: BatchId, name: str) -> int | None:
        """Size in bytes; None if there is no such blob."""
        try:
            return self._path(batch_id, name).stat().st_size
        except FileNotFoundError:
            return None

    def total_size(self, batch_id: BatchId) -> int:
        """Size of all files of a batch, also of incomplete ones."""
        return _folder_size(self._path(batch_id, ""))

    def local_path(self, batch_id: BatchId, name: str) -> Path | None:
        """The file of a blob."""
        return self._path(batch_id, name)

    def download_url(self, batch_id: BatchId, name: str, **_: Any) -> None:
        """None: a file has no address."""

    def names(self, batch_id: BatchId, folder: str) -> list[str]:
        """Names of the blobs in a folder of the batch, sorted; "" is the batch itself."""
        path = self._path(batch_id, folder)
        try:
            entries = sorted(entry.name for entry in os.scandir(path) if entry.is_file())
        except FileNotFoundError:
            return []
        prefix = f"{folder}/" if folder else ""
        return [prefix + name for name in entries if not name.endswith(".tmp")]

    def remove(self, batch_id: BatchId, names: Sequence[str]) -> None:
        """Delete blobs, and folders that become empty."""
        folders = set()
        for name in names:
            path = self._path(batch_id, name)
            path.unlink(missing_ok=True)
            folders.add(path.parent)
        for folder in folders:
            _remove_if_empty(folder)

    def discard(self, batch_id: BatchId, *, keep: Sequence[str] = ()) -> None:
        """Delete the folder of a batch, including temporary files of killed writers."""
        folder = self._path(batch_id, "")
        try:
            entries = [entry for entry in os.scandir(folder) if entry.name not in keep]
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, onerror=_unless_missing)
            else:
                Path(entry.path).unlink(missing_ok=True)
        _remove_if_empty(folder)

    def batches(self) -> Iterator[BatchId]:
        """Every batch, in order of age."""
        if not self._root.is_dir():
            return
        for name in sorted(folder.name for folder in self._root.iterdir()):
            if is_id(name):
                yield BatchId(name)

    def mark_open(self, batch_id: BatchId) -> None:
        """Do nothing: `open_batches` names every batch."""

    def mark_ended(self, batch_id: BatchId) -> None:
        """Do nothing."""

    def open_batches(self) -> Iterator[BatchId]:
        """Every batch: whether it has ended is in its folder, which takes microseconds to read."""
        return self.batches()

    def _path(self, batch_id: BatchId, name: str) -> Path:
        return self._root / batch_id / name


@contextmanager
def temporary_file(path: Path, *, prefix: str = "") -> Iterator[tuple[Path, BinaryIO]]:
    """A new file in the folder of `path`, to be renamed; deleted if the context raises.

    Its name is `prefix` and the name of `path`, and ends with `.tmp`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A step that was sent twice may write the same blob twice at the same time.
    temporary = path.with_name(f"{prefix}{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb", buffering=_BUFFER_BYTES) as file:
            yield temporary, file
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def fsync(file: BinaryIO) -> None:
    """Sync a file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def _folder_size(folder: Path) -> int:
    """Bytes of the files below a folder; files may come and go meanwhile."""
    size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    size += _folder_size(Path(entry.path))
                    continue
                with suppress(FileNotFoundError):
                    size += entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return size
    return size


def _unless_missing(_: object, __: str, failure: Any) -> None:
    """Raise the error of a deletion, unless another process was faster."""
    error = failure[1]
    if not isinstance(error, FileNotFoundError):
        raise error


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder that holds nothing but temporary files of killed writers."""
    try:
        entries = list(folder.iterdir())
        if all(entry.name.endswith(".tmp") for entry in entries):
            for entry in entries:
                entry.unlink(missing_ok=True)
            folder.rmdir()
    except OSError:
        # Another process writes into it, or has removed it: both are fine.
        return


def fsync_folder(folder: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

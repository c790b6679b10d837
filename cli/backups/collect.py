"""Copies the data of a running service, in an order in which nothing accepted is missing.

The copy is like what a power failure would leave, and the service recovers from it in the same way:

1. Batches, payloads of jobs and segments of ended jobs, which hardly change: most of the time is
   spent here.
2. The append-only file of the broker, up to its present end: the moment of the backup.
3. Batches and payloads again, those that have changed or are new.
4. API keys.
5. The audit log, last: all that has ended in the copy has its records. Checkpoints come before the
   files, since a file may be longer than its checkpoint but not shorter.
6. Models: those that a batch names exist.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from cli.backups.archive import BackupWriter
from cli.backups.layout import (
    AUDIT,
    BATCHES,
    BROKER,
    CHECKPOINT_KEY,
    CHECKPOINTS,
    MODELS,
    BackupError,
    Part,
)
from shared.audit.checkpoints import CHECKPOINT_SUFFIX, INVENTORY_FILE, LOCK_FILE, is_log_file
from shared.blobs import batch_files
from shared.blobs.stores import ENDED_JOBS_FOLDER, ESTIMATES_FOLDER, JOBS_FOLDER
from shared.domain.ids import is_id
from shared.i18n.command import gettext

MAX_ATTEMPTS = 20
"""Attempts to copy something that changes meanwhile."""

LISTING_TIMEOUT_S = 10.0
"""Longest wait until a new file of the audit log is in the inventory."""

AOF_MANIFEST = "appendonly.aof.manifest"
_HASH_MEMBER = b',"hash":"'
_TAIL_BYTES = 1 << 20
_HEADS = (
    batch_files.FINAL, batch_files.SPLIT, batch_files.LAST_CORRECTION, batch_files.MANIFEST,
    batch_files.TOMBSTONE,
)  # fmt: skip
"""Records that say what else there is: copied before it."""

_FOLDERS = ("", batch_files.PARTS, batch_files.AUDIT, batch_files.CHUNKS)


class _Changed(Exception):
    """What is copied has changed meanwhile: it has to be copied again."""


class Collector:
    """Copies everything into a backup.

    Args:
        writer: of the backup.
        parts: what there is to copy; parts that do not exist are left out.
    """

    def __init__(self, writer: BackupWriter, parts: Sequence[Part]) -> None:
        self._writer = writer
        self._paths = {part.name: part.path for part in parts}
        self._copied: dict[str, tuple[int, int, int]] = {}

    def run(self) -> float:
        """Copy everything; return the Unix time of the moment to which the copy belongs.

        Raises:
            BackupError: something changes too fast.
            OSError: a disk refuses.
        """
        self._copy_blobs()
        self._repeat(self._copy_broker, "the broker's files")
        at = time.time()
        opened = [path.name for path in self._log_files() if path.stat().st_size]
        self._copy_blobs()
        for name, path in self._paths.items():
            if path.is_file() and name != CHECKPOINT_KEY:
                self._copy(name, path)
        self._repeat(partial(self._copy_audit, opened), "the audit log")
        self._copy_models()
        return at

    def _copy_blobs(self) -> None:
        root = self._paths.get(BATCHES)
        if root is None:
            return
        # Newest first: a correction is copied before the batch into which it puts its rows.
        for name in reversed(_ids_in(root)):
            self._repeat(partial(self._copy_batch, root, name), f"batch {name}")
        for kind in (JOBS_FOLDER, ENDED_JOBS_FOLDER, ESTIMATES_FOLDER):
            for name in _ids_in(root / kind):
                with contextlib.suppress(FileNotFoundError):  # it has expired or is deleted
                    for file in _files_in(root / kind / name):
                        self._copy(f"{BATCHES}/{kind}/{name}/{file}", root / kind / name / file)

    def _copy_batch(self, root: Path, batch_id: str) -> None:
        """Copy a batch; one without manifest is being uploaded, and one may be deleted."""
        folder, prefix = root / batch_id, f"{BATCHES}/{batch_id}/"
        names = {
            f"{place}/{name}".lstrip("/")
            for place in _FOLDERS
            for name in _files_in(folder / place)
        }
        if not names & {batch_files.MANIFEST, batch_files.TOMBSTONE}:
            self._writer.retain(prefix, ())
            return
        for name in _HEADS:
            if (folder / name).exists() or name in names:
                self._copy(prefix + name, folder / name)
                names.add(name)
        for place in _FOLDERS:
            # Listed anew: the records that were just copied name files that may be new.
            found = {f"{place}/{name}".lstrip("/") for name in _files_in(folder / place)}
            earlier = {name for name in names if name.rpartition("/")[0] == place}
            for name in sorted((found | earlier) - set(_HEADS)):
                self._copy(prefix + name, folder / name)
                names.add(name)
        self._writer.retain(prefix, {prefix + name for name in names})

    def _copy_broker(self) -> None:
        """Copy the append-only files up to their present end, unless they are being rewritten."""
        folder = self._paths[BROKER]
        manifest = folder / AOF_MANIFEST
        if not manifest.exists():
            if folder.is_dir() and any(folder.iterdir()):
                raise BackupError(f"{folder}: no {AOF_MANIFEST}; is it the folder of the broker?")
            return
        before = manifest.read_bytes()
        names = [line.split()[1] for line in before.decode().splitlines() if line.strip()]
        for name in names:
            self._copy(f"{BROKER}/{name}", folder / name)
        self._copy(f"{BROKER}/{AOF_MANIFEST}", manifest)
        if manifest.read_bytes() != before:
            raise _Changed
        kept = {f"{BROKER}/{name}" for name in (*names, AOF_MANIFEST)}
        self._writer.retain(f"{BROKER}/", kept)

    def _copy_audit(self, opened: Sequence[str]) -> None:
        """Copy the checkpoints, then the files that they and the inventory name.

        The segments that are not in the inventory belong to batches that have not ended in the
        copy: they are published again when those end.

        Args:
            opened: files that had records at the moment of the backup.
        """
        listed = self._copy_checkpoints(opened)
        present = {path.name: path for path in self._log_files()}
        names = present.keys() if listed is None else present.keys() & listed
        for name in sorted(names):
            with _opened(present[name]) as file:
                size = _end_of_chain(file)
                self._writer.add(f"{AUDIT}/{name}", file, size)
        self._writer.retain(f"{AUDIT}/", {f"{AUDIT}/{name}" for name in names})

    def _copy_checkpoints(self, opened: Sequence[str]) -> set[str] | None:
        """Copy inventory, checkpoints and key; the files that they name, None without them."""
        folder, key = self._paths[CHECKPOINTS], self._paths[CHECKPOINT_KEY]
        inventory = folder / INVENTORY_FILE
        if not inventory.exists() or not key.exists():
            return None
        self._copy(CHECKPOINT_KEY, key)
        writers = {name for name in opened if ".batch-" not in name}
        give_up_at = time.monotonic() + LISTING_TIMEOUT_S
        # A process lists a new file within a second.
        while not writers <= _listed(inventory.read_bytes()) and time.monotonic() < give_up_at:
            time.sleep(0.1)
        with (folder / LOCK_FILE).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            names = [path.name for path in folder.glob(f"*{CHECKPOINT_SUFFIX}")]
            for name in (INVENTORY_FILE, *names):
                with _opened(folder / name) as file:
                    content = file.read()
                    file.seek(0)
                    self._writer.add(f"{CHECKPOINTS}/{name}", file, len(content))
                if name == INVENTORY_FILE:
                    listed = _listed(content)
        kept = {f"{CHECKPOINTS}/{name}" for name in (INVENTORY_FILE, *names)}
        self._writer.retain(f"{CHECKPOINTS}/", kept)
        return listed | {name.removesuffix(CHECKPOINT_SUFFIX) for name in names}

    def _copy_models(self) -> None:
        """Copy the registry, the pointer to the active version first: that version exists."""
        root = self._paths[MODELS]
        paths = [path for path in root.rglob("*") if path.is_file()] if root.is_dir() else []
        for path in sorted(paths, key=lambda path: (path.parent != root, path)):
            if not path.name.endswith((".tmp", ".lock")):
                with contextlib.suppress(FileNotFoundError):  # a version is being deleted
                    self._copy(f"{MODELS}/{path.relative_to(root)}", path)

    def _log_files(self) -> list[Path]:
        folder = self._paths[AUDIT]
        return [path for path in sorted(folder.glob("*.jsonl")) if is_log_file(path)]

    def _copy(self, name: str, path: Path) -> None:
        """Copy a file up to its present end, unless that was done."""
        with _opened(path) as file:
            found = os.fstat(file.fileno())
            state = found.st_ino, found.st_mtime_ns, found.st_size
            if self._copied.get(name) != state:
                self._writer.add(name, file, found.st_size)
                self._copied[name] = state

    @staticmethod
    def _repeat(copy: Callable[[], None], what: str) -> None:
        missing = None
        for _ in range(MAX_ATTEMPTS):
            try:
                copy()
            except _Changed:
                missing = None
            except FileNotFoundError as error:
                missing = error.filename
            else:
                return
        if missing is not None:
            raise BackupError(gettext("{file} is missing").format(file=missing))
        raise BackupError(f"{what}: changed during each of {MAX_ATTEMPTS} attempts to copy it")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        yield file


def _ids_in(folder: Path) -> list[str]:
    """Folders of batches or jobs, oldest first; empty if there is no such folder."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in found if is_id(path.name))


def _files_in(folder: Path) -> list[str]:
    """Names of the whole files of a folder; empty if there is no such folder."""
    try:
        entries = [entry.name for entry in os.scandir(folder) if entry.is_file()]
    except FileNotFoundError:
        return []
    return [name for name in sorted(entries) if not name.endswith(".tmp")]


def _listed(inventory: bytes) -> set[str]:
    """Names of the files that an inventory lists, up to its last whole line."""
    lines = inventory[: inventory.rfind(b"\n") + 1].splitlines()
    entries: list[dict[str, Any]] = [orjson.loads(line) for line in lines]
    return {entry["file"] for entry in entries if "file" in entry}


def _end_of_chain(file: BinaryIO) -> int:
    """Where the last line with a hash ends; its position stays. Later lines are being written."""
    end = os.fstat(file.fileno()).st_size
    size = _TAIL_BYTES
    while end:
        start = max(0, end - size)
        tail = os.pread(file.fileno(), end - start, start)
        found = tail.rfind(_HASH_MEMBER)
        # A line that is being written may have its hash, and not its end.
        while found >= 0 and (line_end := tail.find(b"\n", found)) < 0:
            found = tail.rfind(_HASH_MEMBER, 0, found)
        if found >= 0:
            return start + line_end + 1
        if not start:
            return 0
        size *= 4
    return 0

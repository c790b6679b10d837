"""Copies the audit log of this host to the state store."""

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import orjson

from shared.audit.chain import OUTCOMES_PREFIX, PREDICTIONS_PREFIX, file_pattern, last_hash
from shared.audit.hosts.copied_sums import CopiedSums
from shared.audit.hosts.identity import host_id_of
from shared.audit.hosts.manifests import (
    HOSTS_DOCUMENT,
    DayManifest,
    FileCopy,
    PartCopy,
    day_document,
    days_document,
    part_name,
    read_document,
)
from shared.logging import get_logger
from shared.state.objects import StateConflict, StateObjects

PART_BYTES = 1 << 20
"""A part of this size gets no more lines; until then it is replaced by a longer one."""
MAX_PART_BYTES = 8 << 20
"""Bytes that are read and sent at once."""
ROUND_BYTES = 64 << 20
"""Bytes after which the manifests are written, while a host catches up."""
FULL_LOOK_S = 60.0
"""Time after which files of former days are looked at again, even if none was added."""
RECENT_DAYS = 2
_FILE = file_pattern(PREDICTIONS_PREFIX, OUTCOMES_PREFIX)
_AT = re.compile(rb'"at":([0-9.e+]+)')
_LINE_HEAD_BYTES = 512

log = get_logger("audit.copies")


class AuditCopier:
    """Copies what was added to the log since the last round. One process of a host has one.

    Parts are written first, then the manifest of the day, then the list of days: what a manifest
    names is there. A round that failed is repeated with the same result.

    Args:
        folder: the audit log.
        checkpoints: their folder.
        objects: the state store.
        host: id of this host.
        name: of this host, for people.
    """

    def __init__(
        self, folder: Path, checkpoints: Path, objects: StateObjects, host: str, name: str
    ) -> None:
        self._folder = folder
        self._objects = objects
        self._host = host
        self._name = name
        self._sums = CopiedSums(folder, checkpoints)
        self._days: dict[str, str] | None = None
        """Digest of the manifest of each day; None: not read yet."""
        self._days_etag: str | None = None
        self._manifests: dict[str, tuple[DayManifest, str | None]] = {}
        self._looked: tuple[int, float] = (-1, float("-inf"))

    def run(self) -> bool:
        """Copy what was added; return whether there is more to be copied at once.

        Raises:
            OSError: the store is unreachable, or a file cannot be read.
        """
        try:
            return self._run()
        except StateConflict as error:
            # Another process of this host, or another host with a copy of its folder, was faster.
            log.warning("audit_copy_conflict", host=self._host, object=str(error))
            self._days, self._manifests = None, {}
            return False
        except OSError:
            # What was sent of a file is in memory only: the manifests in the store say how far.
            self._days, self._manifests = None, {}
            raise

    def _run(self) -> bool:
        if host_id_of(self._folder) != self._host:
            # A volume that is not mounted must not look like a log whose files were deleted.
            raise OSError(f"{self._folder} is not the audit log of host {self._host}")
        if self._days is None:
            self._read_own()
        names, is_full = self._names()
        sent = 0
        for day in sorted(names, reverse=True):
            sent += self._copy_day(day, names[day], ROUND_BYTES - sent)
            if sent >= ROUND_BYTES:
                self._looked = (-1, 0.0)
                return True
        if is_full:
            self._forget_days(set(names))
        return False

    def _read_own(self) -> None:
        """Read how far this host has copied; list the host when it comes for the first time."""
        found = self._objects.read(days_document(self._host))
        days = {} if found is None else read_document(found.content)
        self._days_etag = None if found is None else found.etag
        hosts = self._objects.read(HOSTS_DOCUMENT)
        listed = {} if hosts is None else read_document(hosts.content)
        if listed.get(self._host) != self._name:
            content = orjson.dumps(listed | {self._host: self._name}, option=orjson.OPT_SORT_KEYS)
            self._objects.replace(HOSTS_DOCUMENT, content, None if hosts is None else hosts.etag)
        self._days, self._looked = days, (-1, float("-inf"))

    def _names(self) -> tuple[dict[str, list[str]], bool]:
        """The files by day, and whether of all: if the folder has changed, or a minute is over."""
        found: dict[str, list[str]] = {}
        changed, looked_at = self._looked
        now = self._folder.stat().st_mtime_ns, time.monotonic()
        is_full = now[0] != changed or now[1] - looked_at > FULL_LOOK_S
        for path in self._folder.iterdir():
            if (match := _FILE.fullmatch(path.name)) is not None:
                found.setdefault(match[1], []).append(path.name)
        if is_full:
            self._looked = now
            return found, True
        return {day: found[day] for day in sorted(found)[-RECENT_DAYS:]}, False

    def manifest(self, day: str) -> DayManifest:
        """What was copied of a day; the caller may change it.

        Raises:
            OSError: the store is unreachable.
        """
        if day not in self._manifests:
            found = self._objects.read(day_document(self._host, day))
            self._manifests[day] = (
                (DayManifest(), None)
                if found is None
                else (DayManifest.decode(found.content), found.etag)
            )
        return self._manifests[day][0]

    def _copy_day(self, day: str, names: list[str], max_bytes: int) -> int:
        """Copy the files of a day; return the number of bytes."""
        manifest, sent, is_changed = self.manifest(day), 0, False
        for name in sorted(names):
            if sent >= max_bytes:
                break
            count, changed = self._copy_file(manifest, day, name)
            sent, is_changed = sent + count, is_changed or changed
        gone = [self._drop(manifest, name) for name in set(manifest.files) - set(names)]
        if is_changed or gone:
            self.publish(day)
        self._objects.delete([name for names_of_one in gone for name in names_of_one])
        return sent

    def publish(self, day: str) -> None:
        """Write the manifest of a day and the list of days.

        Raises:
            OSError: the store is unreachable.
            StateConflict: somebody else has written them.
        """
        if self._days is None:
            self._read_own()
        manifest, etag = self._manifests[day]
        content = manifest.encode()
        self._manifests.pop(day)  # read again if anything goes wrong
        etag = self._objects.replace(day_document(self._host, day), content, etag)
        self._manifests[day] = manifest, etag
        self._write_days((self._days or {}) | {day: hashlib.sha256(content).hexdigest()})

    def _write_days(self, days: dict[str, str]) -> None:
        self._days_etag = self._objects.replace(
            days_document(self._host), orjson.dumps(days), self._days_etag
        )
        self._days = days

    def _copy_file(self, manifest: DayManifest, day: str, name: str) -> tuple[int, bool]:
        """Copy what was added to a file; the number of bytes, and whether its copy has changed."""
        path, known = self._folder / name, manifest.files.get(name)
        try:
            size = path.stat().st_size
            if known is not None and known.size == size and _ends_with(path, known):
                return 0, False
            is_new = known is None or not _ends_with(path, known)
            target = self._sums.of(path, day, 0 if known is None or is_new else known.size)
            if target is None:
                return 0, False
            copy = known if known is not None and not is_new else FileCopy(name, _next(known))
            sent = sum(self._send(path, copy, end) for end in _ends(path, copy, target.size))
        except FileNotFoundError:  # deleted meanwhile: the next round sees it
            return 0, False
        copy.size, copy.head, copy.sums = target.size, target.head, target.sums
        manifest.files[name] = copy
        if known is not None and copy is not known:
            self._objects.delete([part_name(self._host, known, part) for part in known.parts])
        return sent, True

    def _send(self, path: Path, copy: FileCopy, end: int) -> int:
        """Write the bytes of a file from the end of its copy to `end`."""
        last = copy.parts[-1] if copy.parts else None
        if last is None or last.size >= PART_BYTES:
            last = PartCopy(copy.size, 0, 0.0, 0.0)
            copy.parts.append(last)
        with path.open("rb") as file:
            file.seek(last.start)
            content = file.read(end - last.start)
        self._objects.write(part_name(self._host, copy, last), content)
        last.size = len(content)
        last.first_at = _time_of(content[:_LINE_HEAD_BYTES])
        last.last_at = _time_of(content[content.rfind(b"\n", 0, -1) + 1 :][:_LINE_HEAD_BYTES])
        added, copy.size = end - copy.size, end
        return added

    def _drop(self, manifest: DayManifest, name: str) -> list[str]:
        """Forget a file that was deleted; return the names of its objects."""
        copy = manifest.files.pop(name)
        return [part_name(self._host, copy, part) for part in copy.parts]

    def _forget_days(self, present: set[str]) -> None:
        """Forget the days that have no files any more."""
        for day in sorted(set(self._days or {}) - present):
            manifest = self.manifest(day)
            gone = [name for file in list(manifest.files) for name in self._drop(manifest, file)]
            self._write_days({one: digest for one, digest in (self._days or {}).items()
                              if one != day})  # fmt: skip
            self._objects.delete([*gone, day_document(self._host, day)])
            self._manifests.pop(day, None)


def _ends_with(path: Path, copy: FileCopy) -> bool:
    """Whether a file still has the line at which its copy ends."""
    return copy.size == 0 or last_hash(path, copy.size) == copy.head


def _next(known: FileCopy | None) -> int:
    return 0 if known is None else known.generation + 1


def _ends(path: Path, copy: FileCopy, size: int) -> Iterator[int]:
    """Where the parts of a file end that are to be sent, up to `size`."""
    while copy.size < size:
        end = min(size, copy.size + MAX_PART_BYTES)
        if end < size:
            with path.open("rb") as file:
                file.seek(copy.size)
                content = file.read(end - copy.size)
            end = copy.size + content.rfind(b"\n") + 1
        yield end


def _time_of(line: bytes) -> float:
    match = _AT.search(line)
    return float(match[1]) if match else 0.0

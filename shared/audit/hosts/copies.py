"""Copies of what other hosts have copied of their audit logs, in files of this host.

`hosts/ID/DAY.json` in the folder of the audit log is the manifest of a day of another host, and
`hosts/ID/outcomes_*.jsonl` are its sale reports. Answers of other hosts stay in the state store.
"""

import os
import shutil
from pathlib import Path

from shared.audit.chain import OUTCOMES_PREFIX, ChainVerifier
from shared.audit.hosts.identity import HOSTS_FOLDER
from shared.audit.hosts.manifests import (
    HOSTS_DOCUMENT,
    DamagedDocument,
    DayManifest,
    FileCopy,
    day_document,
    days_document,
    part_name,
    read_document,
)
from shared.audit.sales_index import empty_sales_index
from shared.blobs.local import temporary_file
from shared.state.objects import StateObjects, StoredObject

GENERATION_SUFFIX = ".generation"


class HostCopies:
    """Brings the copies up to date. One process of a host has one.

    Args:
        folder: the audit log of this host.
        objects: the state store.
        host: id of this host.
    """

    def __init__(self, folder: Path, objects: StateObjects, host: str) -> None:
        self._audit_folder = folder
        self._folder = folder / HOSTS_FOLDER
        self._objects = objects
        self._host = host
        self._documents: dict[str, StoredObject] = {}
        self._days: dict[str, dict[str, str]] = {}
        """The digests of the days of each host that are copied."""
        self._verified: set[Path] = set()
        """Copies of sale reports whose chains were verified in this process, or made by it."""
        self._damaged: DamagedDocument | None = None

    def pull(self) -> None:
        """Take what other hosts have copied since the last call.

        A document of a host that is damaged delays what it names, and nothing of other hosts.

        Raises:
            OSError: the store is unreachable, a document is damaged, or the disk refuses.
        """
        self._damaged = None
        hosts = self._read(HOSTS_DOCUMENT)
        # The own manifests, too: they say what others have recorded in place of this host.
        for host in sorted(hosts):
            try:
                self._pull_host(host)
            except DamagedDocument as error:
                self._damaged = error
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name not in hosts:
                    shutil.rmtree(path)
        if self._damaged is not None:
            raise self._damaged

    def _read(self, name: str) -> dict[str, str]:
        """A small document; it is transferred only if it has changed."""
        known = self._documents.get(name)
        if known is None:
            found = self._objects.read(name)
        else:
            found = self._objects.read_unless(name, known.etag) or known
        if found is None:
            return {}
        self._documents[name] = found
        return read_document(found.content)

    def _pull_host(self, host: str) -> None:
        folder, days = self._folder / host, self._read(days_document(host))
        # It says that there is such a host, before it has copied anything.
        folder.mkdir(parents=True, exist_ok=True)
        known = self._days.setdefault(host, {})
        for day, digest in days.items():
            if known.get(day) == digest:
                continue
            try:
                if self._pull_day(host, day):
                    known[day] = digest
            except DamagedDocument as error:
                self._damaged = error
        for path in folder.glob("*.json"):
            if path.stem not in days:
                path.unlink()
                known.pop(path.stem, None)
        self._remove_reports(folder, set(days))

    def _pull_day(self, host: str, day: str) -> bool:
        """Copy the manifest of a day, and its sale reports first; whether there is one."""
        found = self._objects.read(day_document(host, day))
        if found is None:
            return False
        manifest, path = DayManifest.decode(found.content), self._folder / host / f"{day}.json"
        if host != self._host:
            self._pull_reports(host, manifest)
        with temporary_file(path) as (temporary, file):
            file.write(found.content)
            file.flush()
            temporary.replace(path)
        return True

    def _pull_reports(self, host: str, manifest: DayManifest) -> None:
        for copy in manifest.files.values():
            if copy.name.startswith(OUTCOMES_PREFIX):
                self._pull_file(host, copy)

    def _pull_file(self, host: str, copy: FileCopy) -> None:
        """Bring the copy of a file of sale reports up to date."""
        path = self._folder / host / copy.name
        mark = path.with_name(path.name + GENERATION_SUFFIX)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and (_text(mark) != str(copy.generation) or not self._is_intact(path)):
            # Reports were deleted from it and must not be counted any more, or it is damaged.
            path.unlink()
            empty_sales_index(self._audit_folder)
        self._verified.add(path)
        mark.write_text(str(copy.generation))
        with path.open("ab") as file:
            for part in copy.parts:
                size = os.fstat(file.fileno()).st_size
                if part.start + part.size > size:
                    found = self._objects.read(part_name(host, copy, part))
                    if found is None:
                        return  # the host has replaced it: its new manifest follows
                    file.write(found.content[size - part.start : part.size])
                    file.flush()

    def _is_intact(self, path: Path) -> bool:
        """Whether a copy holds whole lines of a chain; verified once in a process.

        A copy is not flushed: after a power failure it may end with anything.
        """
        content = b"" if path in self._verified else path.read_bytes()
        return ChainVerifier().follow_all(content) == len(content)

    def _remove_reports(self, folder: Path, days: set[str]) -> None:
        """Remove copies of files of days that their host has deleted."""
        gone = [path for path in folder.glob(f"{OUTCOMES_PREFIX}_*.jsonl")
                if path.name.removeprefix(f"{OUTCOMES_PREFIX}_")[:10] not in days]  # fmt: skip
        for path in gone:
            path.unlink()
            path.with_name(path.name + GENERATION_SUFFIX).unlink(missing_ok=True)
        if gone:
            empty_sales_index(self._audit_folder)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""

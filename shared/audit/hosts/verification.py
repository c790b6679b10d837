"""Verifies what all hosts have copied of their audit logs to the state store."""

import dataclasses
import hashlib
from pathlib import Path

from shared.audit.chain import ChainVerifier, last_hash
from shared.audit.hosts.identity import host_id_of
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
from shared.i18n.command import gettext as _
from shared.state.objects import StateObjects

MAX_ATTEMPTS = 3
"""Times a day is read again that its host has copied more of meanwhile."""


@dataclasses.dataclass(slots=True)
class CopiesReport:
    """What a verification of the copies found."""

    hosts: int = 0
    files: int = 0
    records: int = 0
    """Valid records."""
    faults: list[str] = dataclasses.field(default_factory=list)


def verify_copies(objects: StateObjects, folder: Path) -> CopiesReport:
    """Verify the chains of all copied files and compare them with their manifests.

    The copies of this host are compared with its own log instead, which is verified by itself.

    Args:
        objects: the state store.
        folder: the audit log of this host.

    A damaged document of a host is a fault; the others are verified.

    Raises:
        OSError: the store is unreachable, or the list of hosts is damaged.
    """
    report = CopiesReport()
    own = host_id_of(folder)
    for host, name in sorted(_document(objects, HOSTS_DOCUMENT).items()):
        report.hosts += 1
        check = _CopyCheck(objects, host, f"{name} ({host})", report)
        for day in check.days():
            try:
                if host == own:
                    check.compare(day, folder)
                else:
                    check.verify(day)
            except DamagedDocument as error:
                check.note(f"{day}: {error}")
    return report


class _CopyCheck:
    """Verifies the copies of one host."""

    def __init__(self, objects: StateObjects, host: str, title: str, report: CopiesReport) -> None:
        self._objects = objects
        self._host = host
        self._title = title
        self._report = report

    def note(self, fault: str) -> None:
        """Add a fault of this host to the report."""
        self._report.faults.append(f"{self._title}: {fault}")

    def days(self) -> list[str]:
        """The days of which it has copies; none if their list is damaged, which is a fault."""
        try:
            return sorted(_document(self._objects, days_document(self._host)))
        except DamagedDocument as error:
            self.note(str(error))
            return []

    def verify(self, day: str) -> None:
        """Verify the files of a day."""
        listed = _document(self._objects, days_document(self._host))
        manifest, digest = self._manifest(day)
        if manifest is None:
            if day in listed:
                self._report.faults.append(f"{self._title}: the manifest of {day} was removed")
            return
        for _attempt in range(MAX_ATTEMPTS):  # it is newer than the list, or was changed
            if listed.get(day) == digest:
                break
            listed = _document(self._objects, days_document(self._host))
            manifest, digest = self._manifest(day)
        else:
            self._report.faults.append(f"{self._title}: the manifest of {day} was changed")
        for name in sorted(manifest.files if manifest else ()):
            self._verify_file(manifest.files[name] if manifest else FileCopy(name))

    def compare(self, day: str, folder: Path) -> None:
        """Compare the copies of a day of this host with its log."""
        manifest, _ = self._manifest(day)
        for name, copy in sorted(manifest.files.items() if manifest else ()):
            path = folder / name
            if path.exists() and copy.size and last_hash(path, copy.size) != copy.head:
                self._report.faults.append(
                    f"{self._title}: {name}: the copy is not that of the log of this host"
                )

    def _manifest(self, day: str) -> tuple[DayManifest | None, str]:
        found = self._objects.read(day_document(self._host, day))
        if found is None:
            return None, ""
        return DayManifest.decode(found.content), hashlib.sha256(found.content).hexdigest()

    def _verify_file(self, copy: FileCopy) -> None:
        chain, end = ChainVerifier(), 0
        self._report.files += 1
        fault = ""
        for part in copy.parts:
            found = self._objects.read(part_name(self._host, copy, part))
            if found is None or len(found.content) < part.size or part.start != end:
                fault = _("a part from byte {start} on is missing").format(start=part.start)
                break
            lines = found.content[: part.size].splitlines(keepends=True)
            changed = next((line for line in lines if not chain.follow(line)), None)
            if changed is not None:
                fault = _("a line after line {verified} was changed").format(
                    verified=chain.verified
                )
                break
            end += part.size
        if not fault and (end != copy.size or chain.open or (end and chain.head != copy.head)):
            fault = _("its end is not that of the manifest")
        self._report.records += chain.verified
        if fault:
            self._report.faults.append(f"{self._title}: {copy.name}: {fault}")


def _document(objects: StateObjects, name: str) -> dict[str, str]:
    found = objects.read(name)
    return {} if found is None else read_document(found.content)

"""The records of other hosts, read from what they have copied to the state store.

They are not kept in columns here: when a host deletes records, nothing of them must stay elsewhere.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from shared.audit.chain import PREDICTIONS_PREFIX, ChainVerifier
from shared.audit.columns.log import selected
from shared.audit.columns.schema import Lines, table_of
from shared.audit.columns.selection import Selection
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


class HostColumns:
    """The records of other hosts, for one query.

    Args:
        objects: the state store.
        folder: the audit log of this host.
        own_files: names of its files: a segment that two hosts have is counted once.
    """

    def __init__(self, objects: StateObjects, folder: Path, own_files: Collection[str]) -> None:
        self._objects = objects
        self._own = host_id_of(folder)
        self._taken = set(own_files)
        self._repeated: set[str] = set()
        self._own_days: dict[str, DayManifest] = {}
        self.faults: list[str] = []

    def read(self, selection: Selection, names: Sequence[str]) -> Iterator[pa.Table]:
        """The columns of the records that are meant, as far as they are copied.

        A damaged document of a host is a fault, and hides what it names only.

        Raises:
            OSError: the store is unreachable, or the list of hosts is damaged.
        """
        hosts = sorted(self._document(HOSTS_DOCUMENT).items())
        if any(host != self._own for host, _ in hosts):
            self._repeated = self._repeated_here(selection)
        for host, title in hosts:
            if host != self._own:
                yield from self._read_host(host, f"{title} ({host})", selection, names)

    def _repeated_here(self, selection: Selection) -> set[str]:
        """The records of this host that another one has, too: they are counted here."""
        days = self._days(self._own, self._own)
        meant = [day for day in days if selection.may_be_in_file(PREDICTIONS_PREFIX, day)]
        return {mark for day in meant for mark in self._own_manifest(day).repeated_ids}

    def _days(self, host: str, title: str) -> dict[str, str]:
        try:
            return self._document(days_document(host))
        except DamagedDocument as error:
            self.faults.append(f"{title}: {error}")
            return {}

    def _manifest(self, host: str, title: str, day: str) -> DayManifest:
        try:
            found = self._objects.read(day_document(host, day))
            return DayManifest.decode(found.content) if found else DayManifest()
        except DamagedDocument as error:
            self.faults.append(f"{title}: {day}: {error}")
            return DayManifest()

    def _read_host(
        self, host: str, title: str, selection: Selection, names: Sequence[str]
    ) -> Iterator[pa.Table]:
        for day in sorted(self._days(host, title)):
            manifest, own = self._manifest(host, title, day), self._own_manifest(day).files
            repeated = pa.array(sorted(manifest.repeated_ids | self._repeated), pa.string())
            for copy in manifest.files.values():
                known, start = own.get(copy.name), 0
                if known is not None and copy.continues(known):
                    start = known.size  # what this host restored is read here
                elif copy.name in self._taken:
                    continue
                if not selection.may_be_in_file(copy.name, day):
                    continue
                fault, tables = self._read_file(host, copy, start)
                if fault:
                    self.faults.append(f"{title}: {copy.name}: {fault}")
                    continue
                self._taken.add(copy.name)
                # What another host had to record in place of this one is counted there.
                once = (_without(table, repeated) for table in tables)
                yield from selected(once, selection, names)

    def _own_manifest(self, day: str) -> DayManifest:
        """What this host has copied; its files are read in its log."""
        if day not in self._own_days:
            own = self._own
            self._own_days[day] = self._manifest(own, own, day) if own else DayManifest()
        return self._own_days[day]

    def _read_file(self, host: str, copy: FileCopy, start: int) -> tuple[str, list[pa.Table]]:
        """Why a copy cannot be read, or its records from an offset on."""
        chain, text = ChainVerifier(), bytearray()
        for part in copy.parts:
            found = self._objects.read(part_name(host, copy, part))
            if found is None or len(found.content) < part.size or part.start != len(text):
                return _("a part from byte {start} on is missing").format(start=part.start), []
            text += found.content[: part.size]
        if chain.follow_all(bytes(text)) != len(text):
            fault = _("a line after line {verified} was changed")
            return fault.format(verified=chain.verified), []
        if len(text) != copy.size or (text and chain.head != copy.head):
            return _("its end is not that of the manifest"), []
        try:
            lines = Lines(bytes(text[start:]), f"{host}/{copy.name}", start)
            return "", [table_of(lines)] if lines.text else []
        except (ValueError, pa.ArrowException) as error:
            return str(error), []

    def _document(self, name: str) -> dict[str, str]:
        found = self._objects.read(name)
        return {} if found is None else read_document(found.content)


def _without(table: pa.Table, ids: pa.Array) -> pa.Table:
    if not len(ids):
        return table
    mask = ~np.isin(table["id"].to_numpy(zero_copy_only=False), ids.to_numpy(zero_copy_only=False))
    return table.filter(pa.array(mask))

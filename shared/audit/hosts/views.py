"""What the copies say of the logs of other hosts: sums of a day, and records by id."""

import bisect
import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from shared.audit.chain import FILE_PATTERN, day_of
from shared.audit.hosts.identity import HOSTS_FOLDER, host_id_of
from shared.audit.hosts.manifests import DayManifest, FileCopy, PartCopy, part_name
from shared.audit.sums import CallerSums
from shared.domain.clock import DAY_S
from shared.domain.ids import id_timestamp
from shared.state.objects import StateObjects

CLOCK_SLACK_S = 15.0
"""Clocks of hosts may differ by about as much."""
ANSWER_WINDOW_S = 60.0
JOB_WINDOW_S = 3600.0
MAX_CACHED_PARTS = 8
_ROW = re.compile(rb'\{"id":"[0-9a-z]+-(\d+)"')
MAX_SEARCHED_PARTS = 64
"""Most parts that are read for one valuation."""
MAX_MANIFESTS = 256


class PlacedPart(NamedTuple):
    """A part of a file of another host."""

    host: str
    file: FileCopy
    part: PartCopy


class HostManifests:
    """The copied manifests of other hosts, read again when they have changed. Safe for threads.

    Args:
        folder: the audit log of this host.
    """

    def __init__(self, folder: Path) -> None:
        self._audit_folder = folder
        self._folder = folder / HOSTS_FOLDER
        self._lock = threading.Lock()
        self._known: OrderedDict[Path, tuple[tuple[int, int], DayManifest]] = OrderedDict()

    def of_day(self, day: str) -> list[tuple[str, DayManifest]]:
        """The manifests of a day, each with the id of its host, in the order of the ids."""
        found = [
            (path.parent.name, self._read(path)) for path in self._folder.glob(f"*/{day}.json")
        ]
        own = self.own_id()
        return sorted(
            ((host, manifest) for host, manifest in found if manifest is not None and host != own),
            key=lambda each: each[0],
        )

    def sums(self, day: str, own_files: Collection[str], caller: str | None) -> CallerSums:
        """The sums of a day on other hosts.

        A file that this host has, too, is counted once: a segment of a batch, or a file that was
        restored here. Of the latter the other host may have copied records after the backup.

        Args:
            day: UTC day.
            own_files: names of files that this host has.
            caller: whose; None: of all callers.
        """
        own = self.own(day)
        total, counted, copies = CallerSums(), set(own_files), dict(own.files)
        for _, manifest in [*self.of_day(day), ("", DayManifest(repeated=own.repeated))]:
            for name, file in manifest.files.items():
                if not FILE_PATTERN.fullmatch(name):
                    continue
                known = copies.get(name)
                if name not in counted or file.continues(known):
                    total.merge(file.sums.total(caller))
                    if name in counted and known is not None:
                        total.subtract(known.sums.total(caller))
                    counted.add(name)
                    copies[name] = file
            total.subtract(manifest.repeated.total(caller))
        return total

    def own(self, day: str) -> DayManifest:
        """What this host has copied of a day."""
        path = self._folder / self.own_id() / f"{day}.json"
        return self._read(path) or DayManifest()

    def days(self) -> list[str]:
        """The days of which hosts have copied anything."""
        return sorted({path.stem for path in self._folder.glob("*/*.json")})

    def hosts(self) -> list[str]:
        """The ids of the other hosts."""
        own = self.own_id()
        return sorted(
            path.name for path in self._folder.glob("*") if path.is_dir() and path.name != own
        )

    def own_id(self) -> str:
        """The id of this host; "" if it has none yet."""
        return host_id_of(self._audit_folder)

    def _read(self, path: Path) -> DayManifest | None:
        try:
            state = path.stat()
            signature = (state.st_mtime_ns, state.st_ino)
            with self._lock:
                known = self._known.get(path)
                if known is not None and known[0] == signature:
                    self._known.move_to_end(path)
                    return known[1]
            manifest = DayManifest.decode(path.read_bytes())
        except OSError:  # it was removed, or is damaged: the next copy replaces it
            return None
        with self._lock:
            self._known[path] = signature, manifest
            if len(self._known) > MAX_MANIFESTS:
                self._known.popitem(last=False)
        return manifest


class HostRecords:
    """Finds records of other hosts by id, in the parts that can contain them.

    Args:
        manifests: the copies.
        objects: the state store.
    """

    def __init__(self, manifests: HostManifests, objects: StateObjects) -> None:
        self.manifests = manifests
        self._objects = objects
        self._lock = threading.Lock()
        self._cached: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def find(self, valuation_id: str, ended_at: float | None = None) -> dict[str, Any] | None:
        """The record of a valuation; None if no other host has copied one.

        Args:
            valuation_id: `id`, or `id-n`.
            ended_at: Unix time of the end of its job, if known.

        Raises:
            OSError: the store is unreachable.
        """
        mark = b'{"id":"' + valuation_id.encode() + b'",'
        for placed in self._candidates(valuation_id, ended_at):
            content = self._content(placed)
            begin = content.find(mark)
            if begin == 0 or (begin > 0 and content[begin - 1 : begin] == b"\n"):
                found: dict[str, Any] = orjson.loads(content[begin : content.find(b"\n", begin)])
                return found
        return None

    def recorded(self, ids: Collection[str], hosts: Collection[str]) -> set[str]:
        """Which of the ids have a record that one of these hosts has copied.

        Raises:
            OSError: the store is unreachable.
        """
        marks = {f'{{"id":"{each}",'.encode(): each for each in ids}
        since = min(id_timestamp(each.partition("-")[0]) for each in ids) - CLOCK_SLACK_S
        found: set[str] = set()
        for day in self.manifests.days():
            if day < day_of(since):
                continue
            for host, manifest in self.manifests.of_day(day):
                if host in hosts:
                    for placed in _parts(host, manifest, since, float("inf")):
                        for line in self._content(placed).split(b"\n"):
                            if (mark := line[: line.find(b",") + 1]) in marks:
                                found.add(marks[mark])
        return found

    def _candidates(self, valuation_id: str, ended_at: float | None) -> Iterator[PlacedPart]:
        """The parts that can contain a record, most likely first."""
        base = valuation_id.partition("-")[0]
        made_at = id_timestamp(base)
        spans = [
            (made_at, made_at - CLOCK_SLACK_S, made_at + ANSWER_WINDOW_S),
            (made_at, made_at - CLOCK_SLACK_S, made_at + JOB_WINDOW_S),
        ]
        if ended_at is not None:
            spans.insert(1, (ended_at, ended_at - ANSWER_WINDOW_S, ended_at + ANSWER_WINDOW_S))
        seen: set[tuple[str, int]] = set()
        days = sorted({day_of(made_at - DAY_S), day_of(made_at), day_of(made_at + DAY_S)})
        manifests = [each for day in days for each in self.manifests.of_day(day)]
        if valuation_id != base:
            yield from self._rows_near(base, int(valuation_id.partition("-")[2]), manifests)
        for at, start, end in spans:
            placed = [
                each for host, manifest in manifests for each in _parts(host, manifest, start, end)
            ]
            for each in sorted(placed, key=lambda one: _distance_s(one.part, at)):
                key = (part_name(*each), each.part.size)
                if key not in seen and len(seen) < MAX_SEARCHED_PARTS:
                    seen.add(key)
                    yield each

    def _rows_near(
        self, batch_id: str, row: int, manifests: Sequence[tuple[str, DayManifest]]
    ) -> Iterator[PlacedPart]:
        """The segment of a batch that can contain a row: the last that begins at or before it."""
        segments = [
            (int(match[1]), PlacedPart(host, file, part))
            for host, manifest in manifests
            for name, file in manifest.files.items()
            if (match := re.search(rf"\.batch-{batch_id}-(\d+)\.jsonl$", name))
            for part in file.parts
        ]
        ordered = [placed for _, placed in sorted(segments, key=lambda each: each[0])]
        place = bisect.bisect_right(ordered, row, key=self._first_row)
        yield from ordered[max(0, place - 1) : place]

    def _first_row(self, placed: PlacedPart) -> int:
        match = _ROW.match(self._content(placed))
        return int(match[1]) if match else 0

    def _content(self, placed: PlacedPart) -> bytes:
        """The bytes of a part; some are kept."""
        name = part_name(*placed)
        key = (name, placed.part.size)
        with self._lock:
            if key in self._cached:
                self._cached.move_to_end(key)
                return self._cached[key]
        found = self._objects.read(name)
        content = b"" if found is None else found.content
        with self._lock:
            self._cached[key] = content
            if len(self._cached) > MAX_CACHED_PARTS:
                self._cached.popitem(last=False)
        return content


def _distance_s(part: PartCopy, at: float) -> float:
    """How far the records of a part are from a time; 0: it may be among them."""
    return max(0.0, part.first_at - at, at - part.last_at)


def _parts(host: str, manifest: DayManifest, start: float, end: float) -> Iterator[PlacedPart]:
    """The parts of single cars and jobs with records of a time span."""
    for name, file in manifest.files.items():
        if ".batch-" not in name and FILE_PATTERN.fullmatch(name):
            for part in file.parts:
                if part.last_at + CLOCK_SLACK_S >= start and part.first_at - CLOCK_SLACK_S <= end:
                    yield PlacedPart(host, file, part)

"""Records that a host had to write because another one was dead, until that one comes back.

The document `audit/HOST/taken-over.json` lists the valuations. When the host comes back, it notes
in the manifest of the day which of them it had recorded itself: they are counted once.
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import Path

import orjson

from shared.audit.chain import FILE_PATTERN
from shared.audit.hosts.copier import AuditCopier
from shared.audit.hosts.manifests import read_document
from shared.audit.sums import FileSums
from shared.state.objects import StateConflict, StateObjects

MAX_ATTEMPTS = 20


def taken_over_document(host: str) -> str:
    """Name of the document of a host."""
    return f"audit/{host}/taken-over.json"


def note_takeover(objects: StateObjects, host: str, ids: Collection[str], by: str) -> None:
    """Note that the host `by` records these valuations, which `host` may have recorded.

    Raises:
        OSError: the store is unreachable.
    """
    _change(objects, host, lambda known: known | dict.fromkeys(ids, by))


def settle_takeovers(objects: StateObjects, folder: Path, host: str, copier: AuditCopier) -> int:
    """Note which valuations that others took over are in the log of this host; return how many.

    To be called before anything is copied.

    Raises:
        OSError: the store is unreachable, or the log cannot be read.
        StateConflict: another process of this host has written the manifest.
    """
    found = objects.read(taken_over_document(host))
    taken = {} if found is None else read_document(found.content)
    if not taken:
        return 0
    repeated = _lines_of(folder, set(taken))
    for day, lines in repeated.items():
        manifest = copier.manifest(day)
        added = {mark: line for mark, line in lines.items() if mark not in manifest.repeated_ids}
        sums = FileSums()
        for line in added.values():
            sums.add_line(line)
        manifest.repeated.merge(sums)
        manifest.repeated_ids.update(added)
        if added:
            copier.publish(day)
    _change(objects, host, lambda known: {one: by for one, by in known.items() if one not in taken})
    return sum(map(len, repeated.values()))


def _lines_of(folder: Path, ids: set[str]) -> dict[str, dict[str, bytes]]:
    """The lines of valuations in the log, by day and id."""
    marks = {f'{{"id":"{each}",'.encode(): each for each in ids}
    found: dict[str, dict[str, bytes]] = defaultdict(dict)
    for path in sorted(folder.iterdir()):
        match = FILE_PATTERN.fullmatch(path.name)
        if match is None or ".batch-" in path.name:
            continue
        with path.open("rb") as file:
            for line in file:
                if (mark := line[: line.find(b",") + 1]) in marks and line.endswith(b"\n"):
                    found[match[1]][marks[mark]] = line
    return found


def _change(
    objects: StateObjects, host: str, change: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    name = taken_over_document(host)
    for _ in range(MAX_ATTEMPTS):
        found = objects.read(name)
        known = {} if found is None else read_document(found.content)
        changed = change(known)
        if changed == known:
            return
        try:
            objects.replace(name, orjson.dumps(changed), None if found is None else found.etag)
        except StateConflict:
            continue
        return
    raise OSError(f"state store: {name} is changed by others all the time")

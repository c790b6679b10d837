"""Deletes the records of one caller from the audit log."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import orjson

from shared.audit.chain import (
    GENESIS_HASH,
    OUTCOMES_PREFIX,
    PREDICTIONS_PREFIX,
    chain,
    file_pattern,
)
from shared.audit.checkpoints import Checkpoints, complete_entry
from shared.audit.columns.places import forget_columns
from shared.audit.file_state import CheckpointError
from shared.audit.inventory import Entry, Kind
from shared.audit.sales_index import empty_sales_index
from shared.audit.sums import forget_sums
from shared.audit.verification import verify_files
from shared.blobs.local import fsync, fsync_folder, temporary_file

_FILE = file_pattern(PREDICTIONS_PREFIX, OUTCOMES_PREFIX)


def erase_caller(folder: Path, caller: str, before: str, checkpoints: Checkpoints) -> int:
    """Delete the records of a caller from all files of days before `before`; return how many.

    Each file is written again without them, with a new chain, and listed as such. Files of today
    are left out, because processes write them.

    Raises:
        OSError: the disk refuses.
        CheckpointError: a file is damaged or was changed, which a new chain would hide, or the
            inventory is; nothing was deleted.
    """
    mark = b'"caller":' + orjson.dumps(caller)
    paths = [
        path
        for path in sorted(folder.glob("*.jsonl"))
        if _day_of(path) < before and mark in path.read_bytes()
    ]
    if not paths:
        return 0
    report = verify_files(paths, checkpoints.folder, checkpoints.key_file)
    if report.faults:
        raise CheckpointError("; ".join(report.faults))
    count = 0
    for path in paths:
        forget_columns(folder, _day_of(path))  # if it is killed now, no columns have the records
        if erased := _erase(path, caller, checkpoints):
            count += erased
            forget_sums(folder, _day_of(path), path.name)
            forget_columns(folder, _day_of(path))  # a query may have made some meanwhile
            if path.name.startswith(OUTCOMES_PREFIX):
                empty_sales_index(folder)
    fsync_folder(folder)
    return count


def _day_of(path: Path) -> str:
    """The day of a file of the log; of other files one that is never over."""
    match = _FILE.fullmatch(path.name)
    return match[1] if match else "9999"


def _erase(path: Path, caller: str, checkpoints: Checkpoints) -> int:
    text = path.read_bytes()
    # What stands after the last line feed is no record: its writer died.
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    kept = list(_without(lines, caller))
    if len(kept) == len(lines):
        return 0
    with checkpoints.locked() as inventory, temporary_file(path, prefix=".") as (temporary, file):
        text, _, _ = chain(kept, GENESIS_HASH)
        file.write(text)
        fsync(file)
        entry = dataclasses.replace(complete_entry(temporary), name=path.name)
        inventory.append([Entry(Kind.ERASED, time.time(), entry)])
        checkpoints.forget(path.name)
        temporary.replace(path)
    return len(lines) - len(kept)


def _without(lines: list[bytes], caller: str) -> Iterator[bytes]:
    """The records of other callers, without their hashes."""
    for line in lines:
        record = orjson.loads(line)
        if record.get("caller") != caller:
            yield orjson.dumps({k: v for k, v in record.items() if k not in {"prev", "hash"}})

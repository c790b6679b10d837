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
from shared.audit.inventory import Entry, Kind
from shared.audit.state import CheckpointError
from shared.audit.verification import check_file
from shared.blobs.local import fsync, fsync_folder, temporary_file

SALES_INDEX = "outcomes.sqlite3"
"""Index over the sale reports; it is built again from the files at its next use."""
_FILE = file_pattern(PREDICTIONS_PREFIX, OUTCOMES_PREFIX)


def erase_caller(folder: Path, caller: str, before: str, checkpoints: Checkpoints) -> int:
    """Delete the records of a caller from all files of days before `before`; return how many.

    Each file is written again without them, with a new chain, and listed as such. Files of today
    are left out, because processes write them.

    Raises:
        OSError: the disk refuses.
        CheckpointError: a file is damaged, which a new chain would hide; or the inventory is.
    """
    count = 0
    mark = b'"caller":' + orjson.dumps(caller)
    for path in sorted(folder.glob("*.jsonl")):
        match = _FILE.fullmatch(path.name)
        if match is None or match[1] >= before or mark not in path.read_bytes():
            continue
        erased = _erase(path, caller, checkpoints)
        count += erased
        if erased and path.name.startswith(OUTCOMES_PREFIX):
            (folder / SALES_INDEX).unlink(missing_ok=True)
    fsync_folder(folder)
    return count


def _erase(path: Path, caller: str, checkpoints: Checkpoints) -> int:
    _, fault = check_file(path)
    if fault:
        raise CheckpointError(f"{path.name}: {fault}")
    lines = path.read_bytes().splitlines()
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

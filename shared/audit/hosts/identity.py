"""The identity of the audit log of a host: it outlasts a new name, and no other host has it."""

import contextlib
import re
from pathlib import Path

from shared.blobs.local import fsync, temporary_file
from shared.domain.ids import new_id

IDENTITY_FILE = "host-id"
HOSTS_FOLDER = "hosts"
"""Folder of the audit log with what other hosts have copied to the state store."""
_ID = re.compile(r"[0-9a-z]{26}")


def host_id(folder: Path) -> str:
    """The id of the host whose audit log this folder is; made by the first call.

    Raises:
        OSError: the disk refuses, or the file holds something else.
    """
    path = folder / IDENTITY_FILE
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    with temporary_file(path) as (temporary, file):
        file.write(new_id().encode())
        fsync(file)
        # Of several processes that begin at the same time, one makes the file.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
        temporary.unlink()
    return _read(path)


def host_id_of(folder: Path) -> str:
    """The id of the host whose audit log this folder is; "" if it has none yet.

    Raises:
        OSError: the file holds something else.
    """
    try:
        return _read(folder / IDENTITY_FILE)
    except FileNotFoundError:
        return ""


def _read(path: Path) -> str:
    found = path.read_text().strip()
    if not _ID.fullmatch(found):
        raise OSError(f"{path} holds no id of a host")
    return found

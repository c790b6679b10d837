"""Checks that a folder accepts new data."""

import contextlib
import os
import threading
from pathlib import Path

PROBE_BYTES = 4096


def check_folder(folder: Path) -> None:
    """Write a small file in a folder and remove it.

    The folder is created if it is missing, as its writers do.

    Args:
        folder: readers of it must ignore names that begin with a dot.

    Raises:
        OSError: the folder cannot be written, or its disk is full.
    """
    probe = folder / f".probe-{os.getpid()}-{threading.get_ident()}"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if os.write(descriptor, bytes(PROBE_BYTES)) < PROBE_BYTES:
            raise OSError(f"{folder} has less than {PROBE_BYTES} bytes left")
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            probe.unlink()

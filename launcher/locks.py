"""Lock files that name their holder."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

POLL_S = 0.05


class LockHeldError(RuntimeError):
    """Another process holds the lock; `holder` is its process id, or empty if unknown."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def lock_file(path: Path, timeout_s: float, *, waits_for_live_holder: bool = True) -> int:
    """Lock a file while the returned descriptor is open in any process.

    The kernel releases the lock of a killed process, so a file that was left behind is harmless.

    Args:
        path: created if it does not exist; its content becomes the process id of the holder.
        timeout_s: longest wait for the lock.
        waits_for_live_holder: False: wait only if the process that wrote its id has exited, for
            the processes that have inherited its descriptor.

    Raises:
        LockHeldError: the lock is still held.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
            is_alive = holder.isdecimal() and Path("/proc", holder).exists()
            if time.monotonic() > deadline or (is_alive and not waits_for_live_holder):
                os.close(handle)
                raise LockHeldError(holder) from None
            time.sleep(POLL_S)
    os.ftruncate(handle, 0)
    with contextlib.suppress(OSError):  # on a full disk the holder stays unknown
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def processes_with(path: Path) -> list[int]:
    """The processes of this user that have a file open."""
    wanted, found = path.resolve(), []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended, or is of another user
            if process.name.isdecimal() and any(
                descriptor.readlink() == wanted for descriptor in (process / "fd").iterdir()
            ):
                found.append(int(process.name))
    return sorted(found)

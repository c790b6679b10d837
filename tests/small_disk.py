"""A small file system for one command, in a mount namespace of its own, that a test can fill."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

BLOCK_BYTES = 65_536
BALLAST = "ballast"


@cache
def unshare_command() -> tuple[str, ...] | None:
    """The command that makes a mount namespace here; None if this machine permits none."""
    for command in (("unshare", "-m"), ("unshare", "-rm")):
        with contextlib.suppress(OSError):
            trial = subprocess.run(
                [*command, "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/proc"],
                capture_output=True,
                check=False,
            )
            if trial.returncode == 0:
                return command
    return None


NO_NAMESPACES = "neither root nor user namespaces: no file system can be mounted (unshare -rm)"


def mounting(folder: Path, size_mb: int, *others: tuple[Path, int]) -> Sequence[str]:
    """A command prefix that mounts small file systems, then executes its arguments.

    Args:
        folder: where the first one is mounted.
        size_mb: its size.
        others: further folders with their sizes.
    """
    command = unshare_command()
    assert command is not None, NO_NAMESPACES
    mounts = " && ".join(
        f"mount -t tmpfs -o size={size}m,mode=1777 carprice-test {place}"
        for place, size in ((folder, size_mb), *others)
    )
    return (*command, "sh", "-c", f'{mounts} && exec "$@"', "sh")


class SmallDisk:
    """The file system of a running command, seen from outside of its namespace.

    Args:
        pid: of a process in the namespace.
        folder: where the file system is mounted.
    """

    def __init__(self, pid: int, folder: Path) -> None:
        self.path = Path(f"/proc/{pid}/root") / folder.relative_to("/")

    def fill(self) -> None:
        """Take the whole space that is left."""
        handle = os.open(self.path / BALLAST, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (BLOCK_BYTES, 4096, 512, 1):
                with contextlib.suppress(OSError):
                    while os.write(handle, bytes(size)):
                        pass
        finally:
            os.close(handle)

    def free(self) -> None:
        """Give the space back."""
        (self.path / BALLAST).unlink(missing_ok=True)

    def is_full(self) -> bool:
        """Whether not a single byte can be written."""
        place = self.path / "probe"
        try:
            place.write_bytes(b"x")
        except OSError as error:
            return error.errno == errno.ENOSPC
        finally:
            with contextlib.suppress(OSError):
                place.unlink()
        return False


@contextlib.contextmanager
def kept_full(disk: SmallDisk) -> Iterator[None]:
    """Keep a file system full; its space is given back at the end."""
    disk.fill()
    try:
        yield
    finally:
        disk.free()

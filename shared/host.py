"""Which host this is, and which of its processes live."""

import contextlib
import hashlib
from pathlib import Path


def host_identity(home: Path) -> str:
    """Tell a host from others that may have the same name.

    By its kernel, the namespace of its process numbers, and the folder of its home.

    Two homes on one machine are two hosts, and so are two containers with one home: a process of
    one does not see whether one of the other lives. After a restart of the machine or container
    the identity is another one; nothing of before is alive then.
    """
    boot = namespace = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    try:
        found = home.stat()
        folder = f"{found.st_dev}:{found.st_ino}"
    except OSError:
        folder = str(home)
    text = f"{boot}|{namespace}|{folder}"
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def process_start(pid: int) -> int | None:
    """The time at which a process of this host began, in ticks of its kernel; None: it is dead.

    0 on systems that do not say.
    """
    stat = Path(f"/proc/{pid}/stat")
    try:
        # The name of the program, in parentheses, may contain anything.
        fields = stat.read_text("utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else 0
    return None if fields[0] in "ZX" else int(fields[19])


def is_running(pid: int) -> bool:
    """Whether a process of this host has the number."""
    return process_start(pid) is not None

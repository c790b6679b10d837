"""Checks before the service starts; each failure is one line that says what to do."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from launcher.embedded import FULL_DISK_ERRORS
from launcher.environment import SHARED_MEMORY
from launcher.locks import LockHeldError, lock_file, processes_with
from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason
from shared.keys.shared_store import open_key_store
from shared.keys.store import close_folder
from shared.metric_files import is_in_use
from shared.redis.connections import connect
from shared.settings import Settings

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
MIN_FREE_BYTES = 50_000_000
"""For the append-only file, the compiled kernels, logs and the first uploads."""

PROBE_BYTES = 1_000_000
"""A disk that cannot reserve this is full."""

SHARED_MEMORY_PROBE_BYTES = 65_536
"""Shared memory that cannot reserve this is full: the pool of a worker has its locks there."""

RUNS_LOCK = "runs.lock"
"""File in a folder of metrics that every run which uses it has locked."""

HEARTBEATS_FOLDER = "heartbeats"
"""In the folder of the metrics."""

SPACE_POLL_S = 0.5
HOME_LOCK_TIMEOUT_S = 10.0
"""Longest wait for the last processes of a killed run to exit."""


class CannotStartError(RuntimeError):
    """The service cannot start; the message is one line that says what to change."""


class NoSpaceError(CannotStartError):
    """The disk of the home is almost full; the service can start once there is space."""


def check_keys(settings: Settings) -> None:
    """Require API keys if the API can be reached from other machines and is no demonstration.

    Raises:
        CannotStartError: the address is not loopback, there are no keys, and `DEMO` is off.
        SettingsError: the file of keys cannot be read, or is missing although there were keys.
    """
    are_needed = not (settings.is_loopback or settings.is_demo)
    if not open_key_store(settings).load() and are_needed:
        raise CannotStartError(
            _(
                "HOST={host} can be reached from other machines, but there are no API keys in "
                "{keys_file}: create one with `make key`, leave HOST at 127.0.0.1, or set "
                "DEMO=1 for a public demonstration of single cars"
            ).format(host=settings.host, keys_file=settings.keys_file)
        )


def check_flower(settings: Settings) -> None:
    """Require a password if Flower can be reached from other machines.

    Raises:
        CannotStartError: Flower's address is not loopback and there is no password.
    """
    if settings.flower_address not in LOOPBACK and not settings.flower_basic_auth:
        raise CannotStartError(
            _(
                "FLOWER_ADDRESS={flower_address} can be reached from other machines: set "
                "FLOWER_BASIC_AUTH=user:password, or leave it at 127.0.0.1"
            ).format(flower_address=settings.flower_address)
        )


def check_addresses(settings: Settings) -> None:
    """Check the syntax of the server URLs without connecting.

    Raises:
        CannotStartError: a URL is invalid; the message does not show it.
    """
    for variable, url in (("REDIS_URL", settings.redis_url), ("CACHE_URL", settings.cache_url)):
        try:
            connect(url or "unix:///none").close()
        except ValueError:
            text = _(
                "{variable} is not the address of a server: expected is one like"
                " redis://:password@host:6379/0"
            )
            raise CannotStartError(text.format(variable=variable)) from None


def prepare_home(settings: Settings) -> None:
    """Create the private folder of all runtime data.

    Raises:
        NoSpaceError: its disk is almost full.
        CannotStartError: it cannot be created or written.
    """
    home = settings.home
    try:
        for folder in (home, home / "run", home / "logs"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        close_folder(home)
    except OSError as error:
        if error.errno in FULL_DISK_ERRORS:
            raise NoSpaceError(f"CARPRICE_HOME={home}: {os_reason(error)}") from None
        raise CannotStartError(
            _("CARPRICE_HOME={home} cannot be used ({reason}): name another folder").format(
                home=home, reason=os_reason(error)
            )
        ) from None
    if not os.access(home, os.W_OK | os.X_OK):
        raise CannotStartError(
            _("CARPRICE_HOME={home} cannot be written: name another folder").format(home=home)
        )
    free = shutil.disk_usage(home).free
    if free < MIN_FREE_BYTES:
        raise NoSpaceError(
            _(
                "CARPRICE_HOME={home} has {free} MB of disk left, at least {needed} are"
                " needed: free some, or name another folder"
            ).format(home=home, free=free // 1_000_000, needed=MIN_FREE_BYTES // 1_000_000)
        )


def await_home(settings: Settings, say: Callable[[str], None]) -> None:
    """Prepare the home as `prepare_home` does, and wait while its disk is almost full.

    A service that a full disk keeps from starting then starts without help when there is space.

    Args:
        settings: with the home.
        say: called with the reason once.

    Raises:
        CannotStartError: it cannot be created or written.
    """
    is_said = False
    while True:
        try:
            return prepare_home(settings)
        except NoSpaceError as error:
            if not is_said:
                say(_("{error}; waiting for space (Ctrl-C stops)").format(error=error))
                is_said = True
        time.sleep(SPACE_POLL_S)


def lacks_space(settings: Settings) -> bool:
    """Whether the disk of the home or the shared memory of the machine is full."""
    return is_disk_full(settings.home / "run") or is_disk_full(
        SHARED_MEMORY, SHARED_MEMORY_PROBE_BYTES
    )


def is_disk_full(folder: Path, size: int = PROBE_BYTES) -> bool:
    """Whether the disk of a folder, or its user's quota, has no space for `size` bytes."""
    probe = folder / f"carprice-space-{os.getpid()}"
    try:
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(handle, 0, size)
        finally:
            os.close(handle)
    except OSError as error:
        return error.errno in FULL_DISK_ERRORS
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return False


def hold_metrics(folder: Path) -> int | None:
    """Remove the metrics of the last run, which would be added to the new ones, and use the folder.

    Nothing is removed while another run, even one that only begins, uses the folder. A folder that
    cannot be made is no reason not to start.

    Returns:
        A descriptor by which this run holds the folder while it is open in any process; None
        without a folder.
    """
    with contextlib.suppress(OSError):
        while True:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / RUNS_LOCK
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                wipe_metrics(folder)
            fcntl.flock(handle, fcntl.LOCK_SH)
            # The last user of the folder may have removed it meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(handle).st_ino:
                    return handle
            os.close(handle)
    return None


def remove_metrics(folder: Path, handle: int | None) -> None:
    """Remove a folder of metrics at the end of a run that holds it, unless others do."""
    if handle is not None:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def wipe_metrics(folder: Path) -> None:
    """Remove the metrics of the last run; files of processes that still run stay."""
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_in_use(folder):
            for file in (*folder.glob("*.db"), *folder.glob("*.new")):
                file.unlink(missing_ok=True)
            # Those of a `carprice run` that was killed.
            for left in folder.glob(f"{HEARTBEATS_FOLDER}/*/"):
                shutil.rmtree(left, ignore_errors=True)


def lock_home(home: Path) -> int:
    """Lock the home while the returned file descriptor is open in any process.

    Raises:
        CannotStartError: another run uses this home, or processes that such a run left behind.
    """
    path = home / "run" / "up.lock"
    try:
        return lock_file(path, HOME_LOCK_TIMEOUT_S, waits_for_live_holder=False)
    except LockHeldError as error:
        if not Path("/proc", error.holder or "-").exists() and (left := processes_with(path)):
            raise CannotStartError(
                _(
                    "{home} is in use by processes that an earlier run left behind: kill {left}, "
                    "then start again"
                ).format(home=home, left=" ".join(map(str, left)))
            ) from None
        raise CannotStartError(
            _(
                "{home} is in use by process {holder}: stop that one, or choose another folder "
                "with CARPRICE_HOME (and PORT and FLOWER_PORT)"
            ).format(home=home, holder=error.holder or "?")
        ) from None

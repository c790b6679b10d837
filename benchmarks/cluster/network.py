"""Places for hosts: network namespaces with an address each, or loopback addresses.

In namespaces a host has its own address, host name and mounts, and others can be cut off from it.
The run itself is in namespaces of its own as well: nothing of it is visible outside, and the kernel
kills all its processes when it ends.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.processes import ROOT
from tests.small_disk import unshare_command

INSIDE = "CARPRICE_CLUSTER_INSIDE"
"""Set for a run that is in its own namespaces."""
BRIDGE, PREFIX = "cluster0", "10.77.0"
MY_NUMBER, FIRST_NUMBER = 1, 11
START_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Place:
    """Where the processes of a host run.

    Args:
        address: IP address of the host.
        prefix: command prefix that puts a process there.
        pid: a process that keeps the namespaces; 0: there are none.
    """

    address: str
    prefix: Sequence[str] = ()
    pid: int = 0

    def seen(self, path: Path) -> Path:
        """A path of the host as this process sees it."""
        return Path(f"/proc/{self.pid}/root") / path.relative_to("/") if self.pid else path


@cache
def entering() -> tuple[str, ...]:
    """The command that runs another one in its own namespaces; empty if they are not permitted."""
    unshare = unshare_command()
    if unshare is None:
        return ()
    own = ("-n", "-p", "--fork", "--kill-child", "--mount-proc")
    # The shell is the first process of the namespace: it collects those whose parents have ended.
    command = (*unshare, *own, "sh", "-c", '"$@"; exit $?', "sh")
    trial = (
        "ip link add br0 type bridge && ip link add veth0 type veth peer name veth1 && "
        "unshare -n -u -m true"
    )
    done = subprocess.run([*command, "sh", "-c", trial], capture_output=True, check=False)
    return () if done.returncode else command


def enter(arguments: Sequence[str]) -> None:
    """Start this module's package again in namespaces of its own; return if it is, or cannot be."""
    if os.environ.get(INSIDE) or not entering():
        return
    os.environ[INSIDE] = "1"
    command = [*entering(), sys.executable, "-m", "benchmarks.cluster", *arguments]
    os.execvp(command[0], command)


class Network:
    """The places of a run.

    `are_isolated` says whether hosts have namespaces: only then can they be cut off from each
    other, and have small disks.
    """

    def __init__(self) -> None:
        self.are_isolated = bool(os.environ.get(INSIDE))
        self._number = FIRST_NUMBER - 1
        self._holders: list[subprocess.Popen[bytes]] = []
        if self.are_isolated:
            _ip("link", "set", "lo", "up")
            _ip("link", "add", BRIDGE, "type", "bridge")
            _ip("address", "add", f"{PREFIX}.{MY_NUMBER}/24", "dev", BRIDGE)
            _ip("link", "set", BRIDGE, "up")

    def add(self, name: str, disk: tuple[Path, int] | None = None) -> Place:
        """Make a place.

        Args:
            name: host name; several hosts may have the same.
            disk: a folder with the megabytes of the small file system that is mounted there.
        """
        self._number += 1
        if not self.are_isolated:
            return Place(f"127.0.0.{self._number}")
        mount = f"mount -t tmpfs -o size={disk[1]}m none {disk[0]} && " if disk else ""
        script = f"hostname {name} && {mount} echo ready && exec sleep infinity"
        holder = subprocess.Popen(
            ["unshare", "-n", "-u", "-m", "sh", "-c", script], stdout=subprocess.PIPE
        )
        self._holders.append(holder)
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            raise RuntimeError(f"no namespaces for {name}")
        place = Place(
            f"{PREFIX}.{self._number}",
            ("nsenter", "-t", str(holder.pid), "-n", "-u", "-m", f"--wd={ROOT}"),
            holder.pid,
        )
        self._connect(place, f"host{self._number}")
        return place

    def _connect(self, place: Place, interface: str) -> None:
        _ip(
            *("link", "add", interface, "type", "veth"),
            *("peer", "name", "eth0", "netns", str(place.pid)),
        )
        _ip("link", "set", interface, "master", BRIDGE, "up")
        _ip("address", "add", f"{place.address}/24", "dev", "eth0", place=place)
        _ip("link", "set", "eth0", "up", place=place)
        _ip("link", "set", "lo", "up", place=place)

    @staticmethod
    def cut(server: Place, clients: Sequence[Place]) -> None:
        """Let nothing that a server sends reach these clients: they see silence."""
        for client in clients:
            _ip("route", "add", "blackhole", f"{client.address}/32", place=server)

    @staticmethod
    def heal(server: Place, clients: Sequence[Place]) -> None:
        """End a cut."""
        for client in clients:
            _ip("route", "delete", "blackhole", f"{client.address}/32", place=server)

    def close(self) -> None:
        """Remove all places; their processes must have ended."""
        for holder in self._holders:
            holder.kill()
            holder.wait()


def _ip(*arguments: str, place: Place | None = None) -> None:
    """Run `ip`; links of a new namespace may need a moment to appear."""
    until = time.monotonic() + START_TIMEOUT_S
    command = [*(place.prefix if place else ()), "ip", *arguments]
    while True:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            return
        if time.monotonic() > until:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        time.sleep(0.1)

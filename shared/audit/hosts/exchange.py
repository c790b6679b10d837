"""What one process of each host does for the shared audit logs: copy, take copies, answer."""

import socket
import threading
import time
from pathlib import Path

from shared.audit.hosts.copier import AuditCopier
from shared.audit.hosts.copies import HostCopies
from shared.audit.hosts.identity import host_id
from shared.audit.hosts.questions import AnswerThread, Contents
from shared.audit.hosts.takeovers import settle_takeovers
from shared.audit.log import recorded_recently
from shared.redis.connections import connect
from shared.settings import Settings
from shared.state.objects import StateObjects
from shared.state.refresher import CopyRefresher

INTERVAL_S = 1.0
SETTLE_INTERVAL_S = 10.0
AUDIT_LOCK = "state-audit"
"""Files in the folder `run` of the home: `.lock` and `.current`, as those of the other copies."""


class AuditExchange:
    """Copies the log of this host to the state store, and takes the manifests of other hosts.

    Args:
        folder: the audit log; it exists.
        checkpoints: their folder.
        objects: the state store.
        name: of this host, for people.
    """

    def __init__(self, folder: Path, checkpoints: Path, objects: StateObjects, name: str) -> None:
        self.host = host_id(folder)
        self._folder = folder
        self._objects = objects
        self._copier = AuditCopier(folder, checkpoints, objects, self.host, name)
        self._copies = HostCopies(folder, objects, self.host)
        self._settled_at = float("-inf")
        self._lock = threading.Lock()

    def copy(self) -> None:
        """Copy what was added to the log.

        Raises:
            OSError: the store is unreachable, or the disk refuses.
        """
        with self._lock:
            if time.monotonic() - self._settled_at >= SETTLE_INTERVAL_S:
                settle_takeovers(self._objects, self._folder, self.host, self._copier)
                self._settled_at = time.monotonic()
            while self._copier.run():
                pass

    def pull(self) -> None:
        """Take what other hosts have copied.

        Raises:
            OSError: the store is unreachable, or the disk refuses.
        """
        self._copies.pull()

    def look(self, wanted: Contents) -> Contents:
        """What the log of this host contains of what another host asks for."""
        ids = recorded_recently(self._folder, wanted.ids, time.time()) if wanted.ids else set()
        files = {name for name in wanted.files if (self._folder / name).exists()}
        return Contents(frozenset(ids), frozenset(files))


class AuditSharing:
    """The threads of a process that shares the audit log of its host.

    Of the processes of a host, the one that holds a lock works; a copy that takes long delays
    neither the manifests of others nor an answer.

    Args:
        settings: with `redis_url` filled in.
        objects: the state store.
    """

    def __init__(self, settings: Settings, objects: StateObjects) -> None:
        folder, run = settings.audit_folder, settings.home / "run"
        folder.mkdir(parents=True, exist_ok=True)
        exchange = AuditExchange(folder, settings.checkpoints_folder, objects, socket.gethostname())
        self._copying = CopyRefresher(
            run / f"{AUDIT_LOCK}.lock",
            (exchange.copy,),
            interval_s=INTERVAL_S,
            on_current=(run / f"{AUDIT_LOCK}.current").touch,
        )
        self._pulling = CopyRefresher(
            run / f"{AUDIT_LOCK}-others.lock", (exchange.pull,), interval_s=INTERVAL_S
        )
        self._answers = AnswerThread(
            connect(settings.redis_url),
            exchange.host,
            exchange.look,
            lambda: self._copying.is_holder,
        )

    def start(self) -> None:
        """Start the threads, in this process."""
        for each in (self._copying, self._pulling, self._answers):
            each.start()

    def stop(self) -> None:
        """End the threads within a second or two."""
        for each in (self._copying, self._pulling, self._answers):
            each.stop()


def share_audit(settings: Settings) -> AuditSharing | None:
    """Start the threads of this process if several hosts share state; else do nothing.

    Args:
        settings: with `redis_url` filled in.
    """
    objects = StateObjects.of(settings)
    if objects is None:
        return None
    sharing = AuditSharing(settings, objects)
    sharing.start()
    return sharing

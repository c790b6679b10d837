"""Finds the audit record of a valuation that any host has answered."""

import threading
import time
from typing import Any

from api.sales.audit_search import AuditSearch
from shared.audit.hosts.views import CLOCK_SLACK_S, HostManifests, HostRecords
from shared.domain.clock import Clock
from shared.domain.errors import AuditUnavailable
from shared.domain.ids import id_timestamp
from shared.settings import Settings
from shared.state.objects import StateObjects

COPIED_AFTER_S = 8.0
"""The record of an answer is copied within this time, unless its host is cut off."""
POLL_S = 0.25
MAX_WAITING = 4
"""Threads that may wait for copies together."""


class SharedAuditSearch(AuditSearch):
    """Looks in the log of this host, then in the copies of others.

    A valuation that was answered just now may not be copied yet: it is looked for until it must be.

    Args:
        records: of the other hosts.
        own: settings of this host.
        clock: Unix time, seconds.
    """

    def __init__(self, records: HostRecords, own: Settings, clock: Clock) -> None:
        super().__init__(own.audit_folder, CLOCK_SLACK_S)
        self._records = records
        self._clock = clock
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)

    def find(self, valuation_id: str, ended_at: float | None = None) -> dict[str, Any] | None:
        """The record of a valuation; see `AuditSearch.find`.

        Raises:
            AuditUnavailable: a file cannot be read, or the state store is unreachable.
        """
        found = self._find_anywhere(valuation_id, ended_at)
        made_at = id_timestamp(valuation_id.partition("-")[0])
        wait_s = max(made_at, ended_at or 0.0) + COPIED_AFTER_S - self._clock()
        if found is not None or wait_s <= 0 or not self._waiting.acquire(blocking=False):
            return found
        try:
            until = time.monotonic() + min(wait_s, COPIED_AFTER_S)
            while found is None and time.monotonic() < until:
                time.sleep(POLL_S)
                found = self._find_anywhere(valuation_id, ended_at)
        finally:
            self._waiting.release()
        return found

    def _find_anywhere(self, valuation_id: str, ended_at: float | None) -> dict[str, Any] | None:
        found = super().find(valuation_id, ended_at)
        if found is not None:
            return found
        try:
            return self._records.find(valuation_id, ended_at)
        except OSError as error:
            raise AuditUnavailable(reason=error.strerror or str(error)) from error


def open_search(settings: Settings, manifests: HostManifests, clock: Clock) -> AuditSearch:
    """The search of a service: in the log of this host, or of all hosts that share state."""
    objects = StateObjects.of(settings)
    if objects is None:
        return AuditSearch(settings.audit_folder)
    return SharedAuditSearch(HostRecords(manifests, objects), settings, clock)

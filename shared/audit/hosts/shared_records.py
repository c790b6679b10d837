"""Whether another host has recorded what is to be recorded here."""

from collections.abc import Collection
from pathlib import Path
from typing import Self

from shared.audit.chain import FILE_PATTERN
from shared.audit.hosts.identity import host_id
from shared.audit.hosts.questions import Answers, Contents, HostQuestions
from shared.audit.hosts.takeovers import note_takeover
from shared.audit.hosts.views import HostManifests, HostRecords
from shared.domain.errors import AuditUnavailable
from shared.logging import get_logger
from shared.redis.connections import RedisClient
from shared.settings import Settings
from shared.state.objects import StateObjects

log = get_logger("audit.shared")


class SharedRecords:
    """Says what other hosts have recorded. Made once in a process that records.

    Args:
        folder: the audit log of this host.
        objects: the state store.
        client: of the broker.
    """

    @classmethod
    def of(cls, settings: Settings, client: RedisClient) -> Self | None:
        """Those of a service; None: no other host shares its state."""
        objects = StateObjects.of(settings)
        return None if objects is None else cls(settings.audit_folder, objects, client)

    def __init__(self, folder: Path, objects: StateObjects, client: RedisClient) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host = host_id(folder)
        self._objects = objects
        self._manifests = HostManifests(folder)
        self._records = HostRecords(self._manifests, objects)
        self._questions = HostQuestions(client, self.host)

    def recorded(self, ids: Collection[str]) -> set[str]:
        """Which of these valuations another host has recorded.

        Hosts that are alive are asked. Of a dead host the copies count; what they lack is noted, so
        that it is counted once when the host comes back with it.

        Raises:
            AuditUnavailable: a host that is alive has not answered, or the store is unreachable:
                it is not known, and must be asked again later.
            BrokerUnavailable: the broker does not answer.
        """
        answers = self._ask(Contents(ids=frozenset(ids)))
        found, missing = set(answers.found.ids), set(ids) - answers.found.ids
        if missing and answers.dead:
            try:
                copied = self._records.recorded(missing, answers.dead)
                found |= copied
                missing -= copied
                for host in answers.dead if missing else ():
                    note_takeover(self._objects, host, missing, self.host)
            except OSError as error:
                raise AuditUnavailable(reason=error.strerror or str(error)) from error
            if missing:
                log.warning("records_taken_over", ids=len(missing), hosts=sorted(answers.dead))
        return found

    def with_files(self, names: Collection[str]) -> set[str]:
        """Which of these files, segments of batches, are in the log of another host.

        Raises:
            AuditUnavailable, BrokerUnavailable: as of `recorded`.
        """
        answers = self._ask(Contents(files=frozenset(names)))
        found = set(answers.found.files)
        for day in {match[1] for name in names if (match := FILE_PATTERN.fullmatch(name))}:
            for _, manifest in self._manifests.of_day(day):
                found |= manifest.files.keys() & set(names)
        return found

    def _ask(self, wanted: Contents) -> Answers:
        answers = self._questions.ask(wanted, self._manifests.hosts())
        if answers.waited_for:
            names = ", ".join(sorted(answers.waited_for))
            raise AuditUnavailable(reason=f"the audit log of host {names} does not answer")
        return answers

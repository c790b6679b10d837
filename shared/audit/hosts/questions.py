"""Questions that hosts ask each other about what their audit logs contain, by the broker.

A host knows at once what its log contains; the copies in the state store follow a few seconds
later. Questions are rare: only what a worker that died may have recorded is asked for.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import msgpack

from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import new_id
from shared.logging import get_logger
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

SILENT_AFTER_S = 30
"""A host that has given no sign of life for this time is taken for dead. The broker measures it."""
SIGN_INTERVAL_S = 1.0
POLL_S = 1
"""Shorter than the time after which a connection without a reply is given up."""
ANSWER_WAIT_S = 15.0
"""A host reads the files of two days for an answer."""
QUESTION_TTL_S = 60

log = get_logger("audit.questions")


class Contents(NamedTuple):
    """What is asked for, or what was found: valuations by id, files by name."""

    ids: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()


class Answers(NamedTuple):
    """What the other hosts say."""

    found: Contents
    waited_for: frozenset[str]
    """Hosts that are alive and have not answered."""
    dead: frozenset[str]
    """Hosts that are known and have given no sign of life."""


class HostQuestions:
    """Asks all other hosts.

    Args:
        client: of the broker.
        host: id of this host.
    """

    def __init__(self, client: RedisClient, host: str) -> None:
        self._client = client
        self._host = host

    def ask(
        self, wanted: Contents, known: Collection[str], wait_s: float = ANSWER_WAIT_S
    ) -> Answers:
        """Ask which of these ids and files are in the logs of others.

        Args:
            wanted: ids and names.
            known: the hosts that the state store lists.
            wait_s: longest wait for those that are alive.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            listed = {each.decode() for each in self._client.smembers(keys.AUDIT_HOSTS)}
            others = sorted((listed | set(known)) - {self._host})
            if not others:
                return Answers(Contents(), frozenset(), frozenset())
            signs = self._client.mget([keys.audit_host(other) for other in others])
            alive = {other for other, sign in zip(others, signs, strict=True) if sign is not None}
            dead = frozenset(set(others) - alive)
            question = new_id()
            packed = msgpack.packb([question, sorted(wanted.ids), sorted(wanted.files)])
            for other in alive:
                pipeline = self._client.pipeline(transaction=False)
                pipeline.rpush(keys.audit_questions(other), packed)
                pipeline.expire(keys.audit_questions(other), QUESTION_TTL_S)
                pipeline.execute()
            found = self._collect(question, alive, time.monotonic() + wait_s)
        return Answers(found, frozenset(alive), dead)

    def _collect(self, question: str, alive: set[str], until: float) -> Contents:
        """Take the answers; removes from `alive` the hosts that have given theirs."""
        ids: set[str] = set()
        files: set[str] = set()
        while alive and time.monotonic() < until:
            taken = self._client.blpop([keys.audit_answers(question)], timeout=POLL_S)
            if taken is not None:
                host, found_ids, found_files = msgpack.unpackb(taken[1])
                ids.update(found_ids)
                files.update(found_files)
                alive.discard(host)
        return Contents(frozenset(ids), frozenset(files))


class AnswerThread:
    """Answers the questions of others, in a thread of one process of this host.

    Args:
        client: of the broker.
        host: id of this host.
        look: finds what this host's log contains.
        is_active: whether this process is the one that answers.
    """

    def __init__(
        self,
        client: RedisClient,
        host: str,
        look: Callable[[Contents], Contents],
        is_active: Callable[[], bool],
    ) -> None:
        self._client = client
        self._host = host
        self._look = look
        self._is_active = is_active
        self._signed_at = float("-inf")
        self._stop = threading.Event()

    def start(self) -> None:
        """Start the thread, in this process."""
        threading.Thread(target=self._run, name="audit-answers", daemon=True).start()

    def stop(self) -> None:
        """End the thread within `POLL_S`."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._is_active():
                self._stop.wait(POLL_S / 2)
                continue
            try:
                self.run_once()
            except BrokerUnavailable:
                self._stop.wait(POLL_S)  # others report the outage
            except Exception:
                log.exception("audit_question_not_answered")
                self._stop.wait(POLL_S)

    def run_once(self) -> bool:
        """Give a sign of life and answer the next question; whether there was one.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            if time.monotonic() - self._signed_at >= SIGN_INTERVAL_S:
                pipeline = self._client.pipeline(transaction=False)
                pipeline.sadd(keys.AUDIT_HOSTS, self._host)
                pipeline.set(keys.audit_host(self._host), 1, ex=SILENT_AFTER_S)
                pipeline.execute()
                self._signed_at = time.monotonic()
            taken = self._client.blpop([keys.audit_questions(self._host)], timeout=POLL_S)
        if taken is None:
            return False
        question, ids, files = msgpack.unpackb(taken[1])
        found = self._look(Contents(frozenset(ids), frozenset(files)))
        self._answer(question, sorted(found.ids), sorted(found.files))
        return True

    def _answer(self, question: str, ids: Sequence[str], files: Sequence[str]) -> None:
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.rpush(
                keys.audit_answers(question), msgpack.packb([self._host, list(ids), list(files)])
            )
            pipeline.expire(keys.audit_answers(question), QUESTION_TTL_S)
            pipeline.execute()

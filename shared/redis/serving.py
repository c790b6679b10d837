"""Which model version each process serves, while several hosts share their models."""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from shared.domain.errors import BrokerUnavailable
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

REPORT_INTERVAL_S = 0.5
CHANGE_INTERVAL_S = 0.1
"""How often a process looks whether it serves another version: that is reported at once."""
LIVE_FOR_S = 5
"""A process without a report for this time has ended. The broker measures it, so the clocks of
hosts may differ."""
NO_VERSION = ""
LOADED = ""
"""Result of the trial of a version that can be used."""
TRYING = "trying"
"""Result of the trial of a version that a worker is loading. Also the member of its report that
names this version: earlier releases look for members that are versions."""
ASKED_FOR_S = 5
"""Workers are asked to load a version for this time."""

logger = logging.getLogger(__name__)


class ServingVersions:
    """The model versions of the live API processes and workers."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def report(
        self, process: str, version: str | None, trials: Mapping[str, str] | None = None
    ) -> str | None:
        """Record that a process serves a version.

        Args:
            process: its name.
            version: what it serves; None: nothing yet.
            trials: of a worker: the versions that it has tried, `LOADED` or why it refuses them;
                and, as `TRYING`, the version that it is loading.

        Returns:
            The version that workers are asked to load; None: none.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.sadd(keys.SERVING_PROCESSES, process)
            pipeline.set(keys.serving(process), version or NO_VERSION, ex=LIVE_FOR_S)
            if trials is not None:
                pipeline.set(keys.model_trials(process), json.dumps(dict(trials)), ex=LIVE_FOR_S)
            pipeline.get(keys.MODEL_TRIAL)
            asked = pipeline.execute()[-1]
        return None if asked is None else str(asked.decode())

    def ask_for_trial(self, version: str) -> None:
        """Ask all workers to load a version.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            self._client.set(keys.MODEL_TRIAL, version, ex=ASKED_FOR_S)

    def trials(self, version: str) -> Mapping[str, str | None]:
        """The result of each live worker for a version: `LOADED`, why it is refused, or `TRYING`.

        None: it has none, and is not about to.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            names = sorted(name.decode() for name in self._client.smembers(keys.SERVING_PROCESSES))
            found = self._client.mget([keys.model_trials(name) for name in names]) if names else []
        return {
            name: _result(json.loads(results), version)
            for name, results in zip(names, found, strict=True)
            if results is not None
        }

    def live(self) -> Mapping[str, str | None]:
        """The version of each live process; None: it has none.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            names = sorted(name.decode() for name in self._client.smembers(keys.SERVING_PROCESSES))
            if not names:
                return {}
            found = self._client.mget([keys.serving(name) for name in names])
            ended = [name for name, version in zip(names, found, strict=True) if version is None]
            if ended:
                self._client.srem(keys.SERVING_PROCESSES, *ended)
        return {
            name: version.decode() or None
            for name, version in zip(names, found, strict=True)
            if version is not None
        }


def _result(trials: Mapping[str, str], version: str) -> str | None:
    return trials.get(version, TRYING if trials.get(TRYING) == version else None)


class Trials(Protocol):
    """What tries versions in a worker process, see `model_store.registry.trials`."""

    def results(self) -> Mapping[str, str]:
        """The versions that were tried, and as `TRYING` the one that is being tried."""

    def ask(self, version: str) -> None:
        """Try a version, without waiting."""


class ServingReporter:
    """Reports the version of this process at an interval and when it changes, in a thread.

    Args:
        serving: where it is reported.
        process: a name that no other process has.
        version: returns what the process serves; None: nothing yet.
        trials: of a worker: tries the versions that are asked for.
    """

    def __init__(
        self,
        serving: ServingVersions,
        process: str,
        version: Callable[[], str | None],
        trials: Trials | None = None,
    ) -> None:
        self._serving = serving
        self._process = process
        self._version = version
        self._trials = trials
        self._reported: object = None
        self._due_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serving-version", daemon=True)

    def start(self) -> None:
        """Start the thread, in this process."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for its end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(CHANGE_INTERVAL_S):
            try:
                self._report_if_due()
            except BrokerUnavailable:
                continue  # others report the outage
            except Exception:
                logger.exception("serving_version_not_reported")

    def _report_if_due(self) -> None:
        trials = None if self._trials is None else self._trials.results()
        state, now = (self._version(), trials), time.monotonic()
        if state == self._reported and now < self._due_at:
            return
        self._due_at = now + REPORT_INTERVAL_S
        asked = self._serving.report(self._process, *state)
        self._reported = state
        if asked is not None and self._trials is not None:
            self._trials.ask(asked)

"""Which model version each process serves, while several hosts share their models."""

import logging
import threading
from collections.abc import Callable, Mapping

from shared.domain.errors import BrokerUnavailable
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors

REPORT_INTERVAL_S = 0.5
LIVE_FOR_S = 5
"""A process without a report for this time has ended. The broker measures it, so the clocks of
hosts may differ."""
NO_VERSION = ""

logger = logging.getLogger(__name__)


class ServingVersions:
    """The model versions of the live API processes and workers."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def report(self, process: str, version: str | None) -> None:
        """Record that a process serves a version.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.sadd(keys.SERVING_PROCESSES, process)
            pipeline.set(keys.serving(process), version or NO_VERSION, ex=LIVE_FOR_S)
            pipeline.execute()

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


class ServingReporter:
    """Reports the version of this process at an interval, in a thread.

    Args:
        serving: where it is reported.
        process: a name that no other process has.
        version: returns what the process serves; None: nothing yet.
    """

    def __init__(
        self, serving: ServingVersions, process: str, version: Callable[[], str | None]
    ) -> None:
        self._serving = serving
        self._process = process
        self._version = version

    def start(self) -> None:
        """Start the thread, in this process."""
        threading.Thread(target=self._run, name="serving-version", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(REPORT_INTERVAL_S):
            try:
                self._serving.report(self._process, self._version())
            except BrokerUnavailable:
                continue  # others report the outage
            except Exception:
                logger.exception("serving_version_not_reported")

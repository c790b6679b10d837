"""Trials of versions that are about to be activated: workers load them, which runs the self-test.

A worker that has loaded a version serves it as soon as it is activated. A process that has no
libraries of the model, as an API may be, learns from the workers whether a version can be used.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping

from shared.domain.errors import BrokerUnavailable, DomainError, ModelRefused
from shared.redis.serving import LOADED, ServingVersions

TRIAL_WAIT_S = 10.0
"""Longest wait for the workers."""
KEPT_FOR_S = 30.0
"""A refusal is remembered for this time: meanwhile the version is not loaded again."""
POLL_S = 0.1

logger = logging.getLogger(__name__)


class VersionTrials:
    """Loads the versions that are asked for in this process, each in a thread.

    Args:
        load: loads a version and keeps it.
        loaded: the versions that are kept.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        load: Callable[[str], object],
        loaded: Callable[[], Collection[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._loaded = loaded
        self._clock = clock
        self._refused: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def results(self) -> Mapping[str, str]:
        """The versions that were tried: `LOADED`, or why they were refused."""
        now = self._clock()
        refused = {name: why for name, (at, why) in self._refused.items() if now - at < KEPT_FOR_S}
        return refused | dict.fromkeys(self._loaded(), LOADED)

    def ask(self, version: str) -> None:
        """Try a version, unless its result is known or another one is being tried."""
        if version not in self.results() and self._lock.acquire(blocking=False):
            threading.Thread(
                target=self._try, args=(version,), name="version-trial", daemon=True
            ).start()

    def _try(self, version: str) -> None:
        try:
            self._load(version)
        except ModelRefused as error:
            self._refused = {version: (self._clock(), str(error.params["reason"]))}
            logger.warning("model_trial_refused: %s: %s", version, error.params["reason"])
        except (DomainError, OSError) as error:
            # It could not be fetched, which says nothing about the version.
            logger.warning("model_not_tried: %s: %s", version, error)
        finally:
            self._lock.release()


def tried_by_workers(serving: ServingVersions, version: str, wait_s: float = TRIAL_WAIT_S) -> bool:
    """Let all workers load a version; return whether one of them has, and none is still loading.

    Workers that refuse what others have loaded are named by the activation.

    Args:
        serving: what the processes report.
        version: which every host can fetch.
        wait_s: longest wait; what has loaded by then counts.

    Returns:
        False: there is no worker, none has a result, or the broker does not answer.

    Raises:
        ModelRefused: a worker has refused it, and none has loaded it.
    """
    with contextlib.suppress(BrokerUnavailable):
        until = time.monotonic() + wait_s
        results = serving.trials(version)
        while None in results.values() and time.monotonic() < until:
            serving.ask_for_trial(version)
            time.sleep(POLL_S)
            results = serving.trials(version)
        known = [result for result in results.values() if result is not None]
        if known and LOADED not in known:
            raise ModelRefused(version=version, reason=known[0])
        return bool(known)
    return False

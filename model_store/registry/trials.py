"""Trials of versions that are about to be activated: workers load them, which runs the self-test.

A worker that has loaded a version serves it as soon as it is activated. A process that has no
libraries of the model, as an API may be, learns from the workers whether a version can be used.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping

from shared.domain.errors import BrokerUnavailable, DomainError, ModelNotTried, ModelRefused
from shared.redis.serving import LOADED, TRYING, ServingVersions

TRIAL_WAIT_S = 10.0
"""Longest wait for workers that do not say that they are loading a version, and for others after
one has loaded it."""
UNSETTLED = frozenset({None, TRYING})
"""What is known of a trial that has no result."""
LOADING_WAIT_S = 30.0
"""Longest wait for workers that say so. A host that has not compiled the kernels takes 15 s."""
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
        self._trying = ""
        self._lock = threading.Lock()

    def results(self) -> Mapping[str, str]:
        """The versions that were tried: `LOADED`, or why they were refused.

        The one that is being tried is the value of `TRYING`.
        """
        now = self._clock()
        trying = {TRYING: self._trying} if self._trying else {}
        refused = {name: why for name, (at, why) in self._refused.items() if now - at < KEPT_FOR_S}
        return trying | refused | dict.fromkeys(self._loaded(), LOADED)

    def ask(self, version: str) -> None:
        """Try a version, unless its result is known or another one is being tried."""
        if version not in self.results() and self._lock.acquire(blocking=False):
            threading.Thread(
                target=self._try, args=(version,), name="version-trial", daemon=True
            ).start()

    def _try(self, version: str) -> None:
        self._trying = version
        try:
            self._load(version)
        except ModelRefused as error:
            self._refused = {version: (self._clock(), str(error.params["reason"]))}
            logger.warning("model_trial_refused: %s: %s", version, error.params["reason"])
        except (DomainError, OSError) as error:
            # It could not be fetched, which says nothing about the version.
            logger.warning("model_not_tried: %s: %s", version, error)
        finally:
            self._trying = ""
            self._lock.release()


def tried_by_workers(
    serving: ServingVersions,
    version: str,
    wait_s: float = TRIAL_WAIT_S,
    loading_wait_s: float = LOADING_WAIT_S,
) -> bool:
    """Let all workers load a version; return whether one of them has, and none is still loading.

    Workers that refuse what others have loaded are named by the activation.

    Args:
        serving: what the processes report.
        version: which every host can fetch.
        wait_s: longest wait; what has loaded by then counts.
        loading_wait_s: longest wait while a worker says that it is loading, and none has loaded.

    Returns:
        False: there is no worker, or the broker does not answer.

    Raises:
        ModelRefused: a worker has refused it, and none has loaded it.
        ModelNotTried: there are workers, and none has a result.
    """
    try:
        results = _awaited_results(serving, version, wait_s, loading_wait_s)
    except BrokerUnavailable:
        return False
    if LOADED in results.values():
        return True
    reasons = [result for result in results.values() if result not in UNSETTLED]
    if reasons:
        raise ModelRefused(version=version, reason=reasons[0])
    if results:
        raise ModelNotTried(version=version, workers=", ".join(sorted(results)))
    return False


def _awaited_results(
    serving: ServingVersions, version: str, wait_s: float, loading_wait_s: float
) -> Mapping[str, str | None]:
    """The result of each worker that was seen, as of `ServingVersions.trials`."""
    began = time.monotonic()
    results = serving.trials(version)
    while not UNSETTLED.isdisjoint(results.values()):
        is_loading = TRYING in results.values() and LOADED not in results.values()
        if time.monotonic() - began >= (loading_wait_s if is_loading else wait_s):
            break
        serving.ask_for_trial(version)
        time.sleep(POLL_S)
        # A worker that is too busy to report has not answered; what it said before counts.
        given = serving.trials(version)
        ended = {
            name: result
            for name, result in results.items()
            if result not in UNSETTLED and given.get(name) in UNSETTLED
        }
        results = {**dict.fromkeys(results), **given, **ended}
    return results

"""Probes: whether a server answers."""

import http.client
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

import redis

from shared.redis.connections import connect

PROBE_INTERVAL_S = 1.0
PROBE_TIMEOUT_S = 5.0

Probe: TypeAlias = Callable[[], bool]
"""Whether a server answers; it may take as long as `PROBE_TIMEOUT_S`."""


class Prober:
    """Probes a server on a thread of its own.

    Args:
        probe: called at an interval.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.answers = 0
        """Number of answers so far."""
        self.is_answering = True
        self.is_needed = True
        """Whether to probe now."""
        threading.Thread(target=self._run, name="probe", daemon=True).start()

    def _run(self) -> None:
        while True:
            if self.is_needed:
                self.is_answering = self._probe()
                self.answers += self.is_answering
            time.sleep(PROBE_INTERVAL_S)


def redis_probe(url: str) -> Probe:
    """A probe that pings a Redis server; one that loads its data or refuses commands is alive."""

    def probe() -> bool:
        client = connect(url)
        try:
            client.ping()
        except redis.BusyLoadingError:
            return True
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            return isinstance(error, redis.AuthenticationError)
        except redis.RedisError:
            return True
        finally:
            client.close()
        return True

    return probe


def http_probe(address: str, path: str) -> Probe:
    """A probe that sends a GET request; any answer counts."""

    def probe() -> bool:
        connection = http.client.HTTPConnection(address, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request("GET", path)
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    return probe

"""Alerts that fire, asked from Prometheus or Alertmanager, if a setting names one of them."""

import dataclasses
import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 1.0
"""Longest wait for a connection, for the beginning of an answer, and for the whole of it."""

MAX_BYTES = 1_000_000
BLOCK_BYTES = 65_536
MAX_ALERTS = 50
REFRESH_S = 10.0
"""Time between two questions."""

ALERTMANAGER, PROMETHEUS = "/api/v2/alerts?silenced=false&inhibited=false", "/api/v1/alerts"


class AlertSource(StrEnum):
    """Whether alerts can be told."""

    OFF = "not-configured"
    """`ALERTS_URL` is empty."""
    SILENT = "not-reachable"
    READ = "read"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """An alert that fires."""

    name: str
    severity: str
    summary: str
    since: str
    """ISO 8601, as its source writes it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Alerts:
    """The alerts that fire, or why they are unknown."""

    source: AlertSource
    firing: Sequence[Alert] = ()
    reason: str = ""
    """Why the source does not answer, in English."""


def read_alerts(url: str) -> Alerts:
    """Ask for the alerts; a source that does not answer in time is not asked a second time.

    Args:
        url: of Prometheus or Alertmanager; empty: none.
    """
    if not url:
        return Alerts(source=AlertSource.OFF)
    reason = ""
    for path, read in ((ALERTMANAGER, _of_alertmanager), (PROMETHEUS, _of_prometheus)):
        try:
            firing = read(_get(url, path))
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            break
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            reason = "neither Prometheus nor Alertmanager answers at this address"
        else:
            ordered = sorted(firing, key=lambda one: (one.severity, one.name))
            return Alerts(source=AlertSource.READ, firing=ordered[:MAX_ALERTS])
    return Alerts(source=AlertSource.SILENT, reason=reason)


class AlertWatch:
    """Asks for the alerts on a thread of its own, so that a slow source delays nothing.

    Args:
        url: as of `read_alerts`.
        clock: monotonic, seconds.
    """

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self._url = url
        self._clock = clock
        self._asked_at = float("-inf")
        self._thread: threading.Thread | None = None
        self._found = Alerts(source=AlertSource.SILENT if url else AlertSource.OFF)

    def latest(self) -> Alerts:
        """The last answer, while the next one is asked for; the first call waits for it."""
        if not self._url:
            return self._found
        is_asking = self._thread is not None and self._thread.is_alive()
        if not is_asking and self._clock() - self._asked_at >= REFRESH_S:
            is_first = self._thread is None
            self._asked_at = self._clock()
            self._thread = threading.Thread(target=self._ask, name="alerts", daemon=True)
            self._thread.start()
            if is_first:
                self._thread.join(TIMEOUT_S)
        return self._found

    def _ask(self) -> None:
        self._found = read_alerts(self._url)


def _get(url: str, path: str) -> Any:
    """The JSON of a response.

    Raises:
        OSError, HTTPException: no answer, or too slow or large a one.
        ValueError: another answer than 200 with JSON.
    """
    address = urlsplit(url)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = _body(answer)
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise ValueError(f"HTTP {answer.status}")
    return json.loads(body)


def _body(answer: http.client.HTTPResponse) -> bytes:
    """All of an answer: the time-out of a socket begins again with every byte."""
    body, until = bytearray(), time.monotonic() + TIMEOUT_S
    while block := answer.read1(BLOCK_BYTES):
        body += block
        if len(body) > MAX_BYTES:
            raise http.client.HTTPException(f"the answer is larger than {MAX_BYTES} bytes")
        if time.monotonic() > until:
            raise TimeoutError("timed out")
    return bytes(body)


def _of_alertmanager(answer: Any) -> list[Alert]:
    if not isinstance(answer, list):
        raise TypeError("no list of alerts")
    return [_alert(each["labels"], each["annotations"], each["startsAt"]) for each in answer]


def _of_prometheus(answer: Any) -> list[Alert]:
    return [
        _alert(each["labels"], each["annotations"], each["activeAt"])
        for each in answer["data"]["alerts"]
        if each["state"] == "firing"
    ]


def _alert(labels: Mapping[str, str], annotations: Mapping[str, str], since: str) -> Alert:
    return Alert(
        name=str(labels.get("alertname", "")),  # Alertmanager takes alerts without one
        severity=str(labels.get("severity", "")),
        summary=str(annotations.get("summary") or annotations.get("description", "")),
        since=str(since),
    )

"""Why there is no answer: the failures of network and HTTP library, by kind."""

import errno
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import httpx

Outage: TypeAlias = Literal[
    "refused", "no-host", "no-route", "no-answer", "lost", "certificate", "address", "other"
]
"""What failed: nothing listens at the address; no host has the name; no way leads to it; it did not
answer in time; the connection broke; TLS failed; the address has no usable form; something else."""

TEXTS: Mapping[Outage, str] = {
    "refused": "the service does not answer: nothing listens at this address",
    "no-host": "the service does not answer: no host has this name",
    "no-route": "the service does not answer: the network does not lead to it",
    "no-answer": "the service does not answer in time",
    "lost": "the connection broke before the answer was complete",
    "certificate": "no secure connection can be made",
    "address": "this is no address of a service",
    "other": "the service cannot be reached",
}
DETAILED = frozenset({"certificate", "address", "other"})
"""Outages whose text is followed by that of the library, which says more."""
_MARKS = re.compile(r"\[[^\]]*\] ?| ?\(_ssl\.c:\d+\)|\.$")
"""Numbers of errors and places in sources, which say nothing to people."""
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})


def outage_of(error: BaseException) -> Outage:
    """The kind of a failure, by the exception and those that it was made from."""
    found = map(_of_system, _causes(error))
    known = next((outage for outage in found if outage is not None), None)
    if known is not None:
        return known
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return "no-answer"
    if isinstance(error, httpx.UnsupportedProtocol):
        return "address"
    is_broken = isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError)
    return "lost" if is_broken else "other"


def _of_system(error: BaseException) -> Outage | None:
    """The kind of an error of the operating system; None if it says nothing."""
    if isinstance(error, socket.gaierror):
        return "no-host"
    if isinstance(error, ssl.SSLError):
        return "certificate"
    if isinstance(error, ConnectionRefusedError | FileNotFoundError):
        return "refused"
    return "no-route" if isinstance(error, OSError) and error.errno in _NO_ROUTE else None


def reason_of(outage: Outage, error: BaseException) -> str:
    """What the library says of a failure; empty where its kind says enough."""
    return _MARKS.sub("", str(error)) if outage in DETAILED else ""


def outage_text(outage: Outage, reason: str) -> str:
    """A failure in English."""
    return f"{TEXTS[outage]} ({reason})" if reason else TEXTS[outage]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that it was raised from or while."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [other for other in (each.__cause__, each.__context__) if other is not None]
        if isinstance(each, BaseExceptionGroup):  # of the addresses of a host that were tried
            waiting += each.exceptions

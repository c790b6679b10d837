"""Readiness probes of the API, the embedded servers and an external broker."""

import http.client
import json
import re
import socket

import redis

from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.redis.connections import connect

PROBE_TIMEOUT_S = 1.0
WORKERS_CHECK = "workers"
"""Check of `/readyz` that is not required there: the API accepts work before workers run."""

_NUMBERS = re.compile(r"\[Errno -?\d+\] |Error -?\d+ (connecting to \S+\. )?")

_FORBIDDEN = mark("this user may not open it")
_TROUBLES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (redis.BusyLoadingError, mark("it still loads its data")),
    (redis.AuthenticationError, mark("it refuses the user or the password")),
    (socket.gaierror, mark("no host has this name")),
    ((ConnectionRefusedError, FileNotFoundError), mark("nothing listens there")),
    (PermissionError, _FORBIDDEN),
    ((TimeoutError, redis.TimeoutError), mark("no answer in time")),
)

UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound
"""Loopback addresses of servers that listen on all addresses."""


def local_address(host: str, port: int) -> str:
    """`host:port` at which this machine reaches the API."""
    reachable = UNSPECIFIED.get(host, host)
    return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"


def trouble(error: Exception) -> str:
    """Why a server does not answer, in the language of the command, without numbers of errors."""
    causes = [each for each in (error, error.__cause__, error.__context__) if each is not None]
    for types, text in _TROUBLES:
        if any(isinstance(each, types) for each in causes):
            return _(text)
    return _NUMBERS.sub("", str(error)) or type(error).__name__


def forbidden() -> str:
    """What `trouble` says of a socket or file of another user."""
    return _(_FORBIDDEN)


def server_error(url: str) -> str | None:
    """The error of a PING to a Redis server; None if it answers, that is, has loaded its data."""
    client = connect(url)
    try:
        client.ping()
    except redis.RedisError as error:
        return trouble(error)
    finally:
        client.close()
    return None


def api_state(address: str) -> tuple[bool, str]:
    """Whether the API accepts work and workers carry it out; if not, the reason."""
    connection = http.client.HTTPConnection(address, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        text = _("no answer from {address} ({reason})")
        return False, text.format(address=f"http://{address}/readyz", reason=trouble(error))
    else:
        failed = failed_checks(text)
        is_ready = answer.status == http.HTTPStatus.OK and f"{WORKERS_CHECK} (" not in failed
        return is_ready, failed
    finally:
        connection.close()


def failed_checks(answer: str) -> str:
    """The failed checks in a body of `/readyz`; a body of another form is returned unchanged.

    >>> failed_checks('{"checks": [{"name": "workers", "ok": false, "detail": "none"}]}')
    'workers (none)'
    """
    try:
        checks = json.loads(answer)["checks"]
        return ", ".join(f"{one['name']} ({one['detail']})" for one in checks if not one["ok"])
    except (ValueError, KeyError, TypeError):
        return answer

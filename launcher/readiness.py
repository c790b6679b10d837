"""Readiness probes of the API, the embedded servers and an external broker."""

import http.client
import json

import redis

from shared.redis.connections import connect

PROBE_TIMEOUT_S = 1.0
WORKERS_CHECK = "workers"
"""Check of `/readyz` that is not required there: the API accepts work before workers run."""

UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound
"""Loopback addresses of servers that listen on all addresses."""


def local_address(host: str, port: int) -> str:
    """`host:port` at which this machine reaches the API."""
    reachable = UNSPECIFIED.get(host, host)
    return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"


def server_error(url: str) -> str | None:
    """The error of a PING to a Redis server; None if it answers, that is, has loaded its data."""
    client = connect(url)
    try:
        client.ping()
    except redis.RedisError as error:
        return str(error)
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
        return False, f"no answer from http://{address}/readyz ({error})"
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

"""Visitors of a public demonstration: callers without a key, limited by their network address."""

import hashlib
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from api.middleware.key_directory import Caller
from shared.keys.entries import KeyLimits, Scope

VISITOR = "visitor"
"""The caller that all visitors are: whoever has the address of an estimate may read it."""

LIMITS = KeyLimits(requests_per_s=0.5, burst=30)
"""Of one address: a person who fills in the form, and not a program that values a stock."""

IPV6_PREFIX = 64
"""Bits of an IPv6 address that name a connection: its owner chooses the others freely."""

DIGEST_CHARS = 24


def visitor(environ: Mapping[str, Any], proxies: int) -> Caller:
    """The visitor that sends a request.

    Args:
        environ: of WSGI.
        proxies: how many proxies in front of the service append to `X-Forwarded-For`.
    """
    return Caller(
        id=VISITOR,
        scopes=frozenset({Scope.ESTIMATE}),
        key_id=VISITOR,
        limits=LIMITS,
        is_anonymous=True,
        bucket=f"{VISITOR}-{network_digest(environ, proxies)}",
    )


def network_digest(environ: Mapping[str, Any], proxies: int) -> str:
    """A digest of the network from which a request comes; arguments as of `visitor`."""
    network = _network(_client_address(environ, proxies))
    # Addresses are data of persons: the broker has a digest, for two minutes.
    return hashlib.blake2b(network.encode(), digest_size=DIGEST_CHARS // 2).hexdigest()


def _client_address(environ: Mapping[str, Any], proxies: int) -> str:
    """The address that the outermost of the trusted proxies saw; others may be forged."""
    forwarded = str(environ.get("HTTP_X_FORWARDED_FOR", ""))
    seen = [each.strip() for each in forwarded.split(",")]
    if proxies and len(seen) >= proxies and seen[-proxies]:
        return seen[-proxies]
    return str(environ.get("REMOTE_ADDR", ""))


def _network(address: str) -> str:
    """The network that shares one limit; what is no address is one by itself.

    >>> _network("2001:db8::1:2"), _network("::ffff:192.0.2.1"), _network("192.0.2.1")
    ('2001:db8::/64', '192.0.2.1', '192.0.2.1')
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, IPV6_PREFIX), strict=False))

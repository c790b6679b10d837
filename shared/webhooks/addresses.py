"""Which callback addresses are accepted, and which IP addresses a webhook may be sent to.

The service calls addresses that its callers name. Without these rules a caller could reach hosts
that only the service can reach (server-side request forgery). `AddressPolicy` is asked twice: when
a job is submitted, by the text of the address, and before each connection, by the IP address that
its host has at that moment.
"""

import re
import socket
from collections.abc import Iterator, Sequence
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple, TypeAlias

from shared.settings import parse_networks

IpAddress: TypeAlias = IPv4Address | IPv6Address
IpNetwork: TypeAlias = IPv4Network | IPv6Network

IPV4 = 4
URL_MAX_CHARS = 1_000
DEFAULT_PORTS = {"http": 80, "https": 443}
FIRST_FREE_PORT, LAST_PORT = 1024, 65_535
"""Below the first only the ports of HTTP are accepted: the others are those of other protocols."""

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:/[!-\"$-\[\]-~]*)?(?:\?[!-\"$-\[\]-~]*)?)",
    re.IGNORECASE,
)
"""An absolute URL of printable ASCII characters, without user name, fragment and backslash."""

_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*\.?", re.IGNORECASE)
"""A host that resolvers read as an IPv4 address: `127.1`, `2130706433`, `0x7f.0.0.1`."""

_LOCAL_NAMES = ("localhost", "local", "internal", "home.arpa", "localdomain")
"""Last labels of names that no public DNS server resolves."""

METADATA_ADDRESSES = frozenset(
    map(
        ip_address,
        (
            *("169.254.169.254", "169.254.170.2", "169.254.170.23"),
            *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
            *("168.63.129.16", "100.100.100.200"),
        ),
    )
)
"""Where cloud providers give credentials to their machines; never called, whatever is allowed."""

GLOBAL_IPV6 = ip_network("2000::/3")
"""All public IPv6 addresses. IPv4-mapped ones and those of NAT64 stand for other addresses, and lie
outside of it, as do private, local and multicast ones."""

_SPECIAL = tuple(
    map(
        ip_network,
        (
            "192.0.0.0/24",  # protocol assignments
            "192.88.99.0/24",  # relays of 6to4
            "224.0.0.0/4",  # multicast
            "2001::/23",  # protocol assignments, Teredo among them
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)
"""What is not public although `is_global` of some Python releases says so."""


class CallbackRefusal(StrEnum):
    """Why a callback address is refused: codes of `shared.messages.callbacks`."""

    NOT_A_URL = "callback-not-a-url"
    PORT = "callback-port"
    NOT_PUBLIC = "callback-not-public"


class CallbackRefusedError(ValueError):
    """The address breaks a rule."""

    def __init__(self, reason: CallbackRefusal) -> None:
        super().__init__(str(reason))
        self.reason = reason


class CallbackAddress(NamedTuple):
    """A callback address, in its parts."""

    scheme: str
    host: str
    """In lower case, an IPv6 address without brackets."""
    port: int
    target: str
    """Path and query, as the caller wrote them; begins with a slash."""

    @property
    def authority(self) -> str:
        """Host and port, as in the header `Host`: without the default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: what may be logged of an address."""
        return f"{self.scheme}://{self.authority}"


def parse_address(url: str) -> CallbackAddress:
    """The parts of a callback address.

    Raises:
        CallbackRefusedError: it is no absolute http or https URL, has a user name, password or
            fragment, is too long, or names a port that is not one of HTTP.

    >>> parse_address("https://Hooks.Example:8443/cars?shop=7")
    CallbackAddress(scheme='https', host='hooks.example', port=8443, target='/cars?shop=7')
    """
    found = _URL.fullmatch(url) if len(url) <= URL_MAX_CHARS else None
    if found is None:
        raise CallbackRefusedError(CallbackRefusal.NOT_A_URL)
    scheme, host = found["scheme"].lower(), found["host"].lower()
    if host.startswith("["):
        host = host[1:-1]
        try:
            IPv6Address(host)
        except ValueError:
            raise CallbackRefusedError(CallbackRefusal.NOT_A_URL) from None
    port = int(found["port"] or DEFAULT_PORTS[scheme])
    if port not in DEFAULT_PORTS.values() and not FIRST_FREE_PORT <= port <= LAST_PORT:
        raise CallbackRefusedError(CallbackRefusal.PORT)
    target = found["target"]
    return CallbackAddress(scheme, host, port, target if target.startswith("/") else f"/{target}")


class AddressPolicy:
    """Decides which hosts and IP addresses webhooks may be sent to.

    Args:
        allowed: networks whose addresses are accepted although they are not public.
    """

    def __init__(self, allowed: Sequence[IpNetwork] = ()) -> None:
        self._allowed = tuple(allowed)

    @classmethod
    def of(cls, networks: str) -> "AddressPolicy":
        """The policy of a list of networks, separated by commas.

        Raises:
            ValueError: one of them is no network; `Settings.from_env` has checked it.
        """
        return cls(parse_networks(networks))

    def check_url(self, url: str) -> CallbackAddress:
        """The parts of an address that is accepted as far as its text tells.

        Raises:
            CallbackRefusedError: see `parse_address`, or its host is certainly not public.
        """
        address = parse_address(url)
        literals = _literal_addresses(address.host)
        if literals and not all(map(self.permits, literals)):
            raise CallbackRefusedError(CallbackRefusal.NOT_PUBLIC)
        if not literals and not self._allowed and _is_local_name(address.host):
            raise CallbackRefusedError(CallbackRefusal.NOT_PUBLIC)
        return address

    def permits(self, address: IpAddress) -> bool:
        """Whether a webhook may be sent to an IP address.

        >>> [AddressPolicy().permits(ip_address(text)) for text in ("8.8.8.8", "10.0.0.1")]
        [True, False]
        """
        if METADATA_ADDRESSES.intersection(_meanings(address)):
            return False
        if any(address in network for network in self._allowed):
            return True
        if any(address in network for network in _SPECIAL):
            return False
        return address.is_global and (address.version == IPV4 or address in GLOBAL_IPV6)


def _meanings(address: IpAddress) -> Iterator[IpAddress]:
    """An address, and the IPv4 addresses that it stands for."""
    yield address
    if isinstance(address, IPv6Address):
        last = IPv4Address(int(address) & 0xFFFF_FFFF)  # of mapped, compatible and NAT64 ones
        yield from (found for found in (last, address.sixtofour) if found is not None)


def _literal_addresses(host: str) -> list[IpAddress]:
    """The IP addresses of a host that is written as one; empty if it is a name."""
    if ":" not in host and not _NUMERIC_HOST.fullmatch(host):
        return []
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        # No resolver reads it as an address; nor is it a name, whose last label is not a number.
        raise CallbackRefusedError(CallbackRefusal.NOT_A_URL) from None
    return [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]


def _is_local_name(host: str) -> bool:
    """Whether a name is one of this machine or of a local network."""
    labels = host.rstrip(".").split(".")
    name = ".".join(labels)
    return len(labels) == 1 or any(
        name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES
    )

"""Which proxy a service is reached through."""

import dataclasses
import urllib.request
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

SCHEMES = ("http", "https")


@dataclasses.dataclass(frozen=True, slots=True)
class NamedProxy:
    """A proxy, and the setting or environment variable that names it."""

    url: str = dataclasses.field(repr=False)
    variable: str
    """Like `http_proxy`, in lower case; `proxy` if it is an argument of the client."""

    def __str__(self) -> str:
        """The variable and the address, without the password."""
        return f"{self.variable}={without_password(self.url)}"


def without_password(url: str) -> str:
    """An address without the name and password before its host.

    >>> without_password("http://me:word@shop.example:81/x")
    'http://…@shop.example:81/x'
    """
    scheme, separator, rest = url.partition("://")
    _, at, address = rest.rpartition("@")
    return f"{scheme}{separator}{'…@' if at else ''}{address}"


def proxy_of(base_url: str) -> NamedProxy | None:
    """The proxy that the environment names for a service.

    It is None for this machine and for hosts of `no_proxy`.

    Args:
        base_url: of the service.
    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if not host or is_this_machine(host):
        return None
    proxies = urllib.request.getproxies_environment()
    place = host if port is None else f"{host}:{port}"
    if parts.scheme not in SCHEMES or _is_exempt(place, proxies):
        return None
    for name in (parts.scheme, "all"):
        if url := proxies.get(name):
            return NamedProxy(url if "://" in url else f"http://{url}", f"{name}_proxy")
    return None


def _is_exempt(place: str, proxies: Mapping[str, str]) -> bool:
    """Whether `no_proxy` names a host; `*` in it is every host."""
    if "*" in (name.strip() for name in proxies.get("no", "").split(",")):
        return True
    return bool(urllib.request.proxy_bypass_environment(place, proxies))  # type: ignore[attr-defined] # missing in typeshed


def is_this_machine(host: str) -> bool:
    """Whether a host name or address is one of the loopback interface.

    >>> is_this_machine("localhost"), is_this_machine("127.8.0.1"), is_this_machine("10.0.0.1")
    (True, True, False)
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)

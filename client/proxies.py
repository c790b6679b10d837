"""Which proxy of the environment a service is reached through."""

import dataclasses
import urllib.request
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

SCHEMES = ("http", "https")


@dataclasses.dataclass(frozen=True, slots=True)
class EnvironmentProxy:
    """A proxy that an environment variable names."""

    url: str
    variable: str
    """Like `http_proxy`, in lower case."""

    def __str__(self) -> str:
        """The variable and the address, without the password."""
        scheme, _, rest = self.url.partition("://")
        _, at, address = rest.rpartition("@")
        return f"{self.variable}={scheme}://{'…@' if at else ''}{address}"


def proxy_of(base_url: str) -> EnvironmentProxy | None:
    """The proxy for a service; None for this machine and for hosts of `no_proxy`.

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
            return EnvironmentProxy(url if "://" in url else f"http://{url}", f"{name}_proxy")
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

"""Addresses of Redis servers: one server, or a service that sentinels name."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.connection import parse_url

SENTINEL_PORT = 26_379
REDIS_PORT = 6379
SENTINEL_SCHEMES = {"sentinel": "redis", "sentinels": "rediss"}
"""Scheme of the servers that sentinels name: with `sentinels://` both use TLS."""

TLS_SCHEMES = {"rediss", "sentinels"}
_SENTINEL_LOGIN = {"sentinel_username": "username", "sentinel_password": "password"}

VERIFIED = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
"""Certificates are verified unless the query of a URL says otherwise."""


class ServerAddress(NamedTuple):
    """What a URL says about a server.

    Attributes:
        scheme: of the URL.
        options: arguments of its connections, as redis-py names them; without host and port if
            sentinels name the server.
        sentinels: host and port of each; empty if the URL names the server itself.
        service: what the sentinels call the server; "" without sentinels.
        sentinel_options: arguments of the connections to the sentinels.
    """

    scheme: str
    options: dict[str, Any]
    sentinels: Sequence[tuple[str, int]] = ()
    service: str = ""
    sentinel_options: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @property
    def places(self) -> list[tuple[str, int]]:
        """Host and port of what is connected to first: the server, or each sentinel."""
        if self.sentinels:
            return list(self.sentinels)
        return [(self.options.get("host", "localhost"), self.options.get("port", REDIS_PORT))]


def parse_address(url: str) -> ServerAddress:
    """Parse `redis://`, `rediss://`, `unix://`, `sentinel://` or `sentinels://`.

    `sentinel://user:password@host:port,host:port/service?db=0`: user and password are those of the
    server; `sentinel_username` and `sentinel_password` in the query are those of the sentinels.

    Raises:
        ValueError: it is none of these; the message shows no password.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SENTINEL_SCHEMES:
        options = _options_of(url)
        return ServerAddress(scheme, {**_verification(scheme), **_with_flags(options)})
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    service = unquote(parts.path.strip("/"))
    sentinels = [_place(host) for host in hosts.split(",") if host.strip()]
    if not sentinels or not service or "/" in service:
        raise ValueError(f"expected {scheme}://host:port,host:port/service")
    query = dict(parse_qsl(parts.query))
    own = {name: query.pop(key) for key, name in _SENTINEL_LOGIN.items() if key in query}
    server = f"{SENTINEL_SCHEMES[scheme]}://{login}@-/?{urlencode(query)}"
    options = _options_of(server)
    options.pop("host")
    options = {**_verification(scheme), **_with_flags(options)}
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    if scheme in TLS_SCHEMES:
        tls["ssl"] = True
    return ServerAddress(scheme, options, sentinels, service, {**tls, **own})


def with_ca_file(url: str, ca_file: str) -> str:
    """The URL of a server whose certificate is to be signed by the authorities in a file.

    Args:
        url: returned unchanged if it uses no TLS or names a file already.
        ca_file: PEM file; "": the authorities that the system trusts.
    """
    if not ca_file or urlsplit(url).scheme not in TLS_SCHEMES or "ssl_ca_certs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'ssl_ca_certs': ca_file})}"


def server_location(url: str) -> str:
    """`host:port`, socket path, or service and sentinels of a server URL, without its password.

    >>> server_location("rediss://:secret@queue.example/0")
    'queue.example:6379'
    >>> server_location("sentinel://:secret@a.example,b.example:5000/queue")
    'queue of the sentinels a.example:26379, b.example:5000'
    """
    address = parse_address(url)
    if "path" in address.options:
        return str(address.options["path"])
    places = ", ".join(f"{host}:{port}" for host, port in address.places)
    return f"{address.service} of the sentinels {places}" if address.sentinels else places


def _options_of(url: str) -> dict[str, Any]:
    """Arguments of the connections to one server."""
    options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    options.pop("connection_class", None)
    return options


def _verification(scheme: str) -> dict[str, Any]:
    return VERIFIED if scheme in TLS_SCHEMES else {}


def _with_flags(options: dict[str, Any]) -> dict[str, Any]:
    """The options with `ssl_check_hostname` as a truth value: redis-py keeps the text."""
    flag = options.get("ssl_check_hostname")
    if not isinstance(flag, str):
        return options
    return {**options, "ssl_check_hostname": flag.lower() not in {"", "0", "f", "false", "n", "no"}}


def _place(text: str) -> tuple[str, int]:
    """Host and port of a sentinel."""
    parts = urlsplit(f"//{text.strip()}")
    if not parts.hostname:
        raise ValueError("a sentinel has no host name")
    return parts.hostname, parts.port or SENTINEL_PORT

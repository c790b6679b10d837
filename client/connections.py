"""Connections to a service: address, headers, certificates, proxy, time limits."""

import dataclasses
import ssl
from collections.abc import Callable
from typing import Any

import httpx

from .errors import CarPriceError
from .protocol.exchange import Exchange
from .proxies import NamedProxy, proxy_of, without_password
from .version import VERSION

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0
MAX_PORT = 65_535
# httpx needs another package for them, which this project does not require.
SOCKS_HINT = "a SOCKS proxy needs the package socksio: pip install 'httpx[socks]'"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How one service is called. No text of it contains the API key or a password.

    Args:
        base_url: of the service.
        api_key: sent as bearer token, if given.
        language: `fr`, `ar` or `en`: of problems, warnings and error reports.
        timeout: longest silence of the service in a call without a deadline, seconds.
        retries: how often an idempotent call is repeated.
        proxy: address of a proxy; if None, that of the environment.
        ssl_context: certificates; if None, those of httpx, or of `SSL_CERT_FILE`.
        transport: of `httpx`, to use instead of the network.
    """

    base_url: str
    api_key: str | None = dataclasses.field(default=None, repr=False)
    language: str = "en"
    timeout: float = 60.0
    retries: int = 3
    proxy: str | None = dataclasses.field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = dataclasses.field(default=None, repr=False)
    transport: Any = dataclasses.field(default=None, repr=False)

    @property
    def used_proxy(self) -> NamedProxy | None:
        """The proxy that is used."""
        if self.transport is not None:
            return None
        if self.proxy is not None:
            return NamedProxy(self.proxy, "proxy")
        return proxy_of(self.base_url)

    @property
    def exchange(self) -> Exchange:
        """The protocol's view of the service."""
        proxy = self.used_proxy
        return Exchange(
            base_url=without_password(self.base_url),
            retries=self.retries,
            proxy=None if proxy is None else str(proxy),
        )

    def headers(self) -> dict[str, str]:
        """Headers of all requests.

        Raises:
            CarPriceError: the key or the language cannot be a header.
        """
        headers = {
            "Accept-Language": self.language,
            "User-Agent": f"carprice-client/{VERSION}",
        }
        if self.api_key:
            if not (self.api_key.isascii() and self.api_key.isprintable()):
                # The library's message would contain it.
                raise CarPriceError("the API key has characters that no key has")
            headers["Authorization"] = f"Bearer {self.api_key}"
        return headers

    def open(self, client: Callable[..., Any], transport: Callable[..., Any]) -> Any:
        """Open a client of httpx.

        Args:
            client: `httpx.Client` or `httpx.AsyncClient`.
            transport: makes its transport from `verify` and `proxy`.

        Raises:
            ServiceUnreachableError: address or proxy have no usable form.
        """
        exchange, proxy = self.exchange, self.used_proxy
        try:
            used = self.transport or transport(
                verify=self.ssl_context or self._certificates(),
                proxy=None if proxy is None else httpx.Proxy(proxy.url),
            )
            url = self._address()
            return client(
                # httpx logs the addresses of requests, so that they must have no password.
                base_url=url.copy_with(userinfo=b""),
                auth=None if self.api_key or not url.userinfo else (url.username, url.password),
                headers=self.headers(),
                transport=used,
                # httpx would read the proxies of the environment itself, for this machine too.
                trust_env=False,
            )
        except ImportError as error:
            raise exchange.unreachable(SOCKS_HINT) from error
        except (ValueError, httpx.InvalidURL) as error:
            raise exchange.unreachable(str(error), "address") from error

    def _address(self) -> httpx.URL:
        url = httpx.URL(self.base_url)
        if (url.port or 0) > MAX_PORT:
            raise ValueError(f"ports end at {MAX_PORT}")
        return url

    def _certificates(self) -> ssl.SSLContext:
        """The trusted authorities; none for an address without TLS, as loading them takes long."""
        if self.base_url.lower().startswith("http:"):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx.create_ssl_context()

    def timeouts(self, wait_s: float, remaining_s: float) -> httpx.Timeout:
        """Time limits of single steps of an exchange.

        Args:
            wait_s: how long the service waits before it answers.
            remaining_s: until the deadline.
        """
        silence_s = min(self.timeout + wait_s, remaining_s)
        return httpx.Timeout(silence_s, connect=min(CONNECT_TIMEOUT_S, remaining_s))

"""Who may call: callers by their API keys; open on loopback while there have never been keys."""

from collections.abc import Callable
from functools import lru_cache, wraps
from ipaddress import ip_address
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, request

from api.http.responses import rate_headers
from api.middleware.key_directory import Caller, KeyDirectory, KeyUpkeep
from api.middleware.key_limits import RequestLimits
from api.middleware.visitors import visitor
from shared.domain.errors import DemoOnly, DomainError, NotPermitted, RateLimited
from shared.keys.entries import Scope
from shared.keys.shared_store import open_key_store
from shared.redis.connections import CACHE_TIMEOUT_S, connect
from shared.redis.fair_queues.weights import WeightPublisher
from shared.redis.rate_limits import RateLimits, RateState
from shared.settings import Settings, SettingsError

__all__ = [
    "Authenticator",
    "Scope",
    "accept_basic_auth",
    "has_public_address",
    "key_checker",
    "require_scope",
    "scope_rechecker",
]

P = ParamSpec("P")
R = TypeVar("R")
CACHED_HOST_MAX_CHARS = 64
EXTENSION = "carprice-authenticator"

NO_SERVER = "unix:///nonexistent/broker.sock"
"""Address while the settings name no broker: no request gets as far as to ask it."""

LOCAL_CALLER = Caller(id="local", scopes=frozenset(Scope), is_anonymous=True)
"""Every caller on a loopback address without keys."""


class Authenticator:
    """Finds the caller of a request.

    Args:
        settings: with the file of keys and the address the service listens on.

    Raises:
        SettingsError: the address can be reached from other machines, there have never been keys,
            and it is no demonstration.
    """

    def __init__(self, settings: Settings) -> None:
        store = open_key_store(settings)
        broker = connect(settings.redis_url or NO_SERVER, reply_timeout_s=CACHE_TIMEOUT_S)
        self.limits = RequestLimits(RateLimits(broker))
        weights = WeightPublisher(broker)
        upkeep = KeyUpkeep(store, lambda: weights.publish(self._keys.weights))
        self._keys = KeyDirectory(store, on_refresh=upkeep.start)
        self.require_readable = self._keys.require_readable
        self._note_use = upkeep.note
        self._is_demo, self._proxies = settings.is_demo, settings.trusted_proxies
        self._is_loopback = settings.is_loopback and not self._is_demo
        if not (self._keys.exist() or self._is_loopback or self._is_demo):
            raise SettingsError(
                f"HOST={settings.host} can be reached from other machines and there are no API "
                "keys: run `make key` first, or listen on 127.0.0.1"
            )

    def register(self, app: Flask) -> None:
        """Find the caller before each request."""
        app.extensions[EXTENSION] = self

        @app.before_request
        def set_caller() -> None:
            _set_caller(self, request.headers.get("Authorization", ""))
            if self._is_demo and not g.authorization:
                g.caller = visitor(request.environ, self._proxies)

        @app.after_request
        def add_rate_headers(response: Response) -> Response:
            if g.get("rate_state") is not None:
                response.headers.extend(rate_headers(g.caller.limits, g.rate_state))
            return response

    @property
    def allows_anonymous(self) -> bool:
        """Whether requests need no key."""
        # On any address, because this is what takes notice of changed keys.
        return not self._keys.exist() and self._is_loopback

    def accepts_host(self, host: str) -> bool:
        """Whether a `Host` header may be answered: without keys only this machine's names are.

        Otherwise a page of another site could reach the service by a name of its own that leads
        to this machine (DNS rebinding).
        """
        return not self.allows_anonymous or is_loopback(host)

    def caller(self, authorization: str) -> Caller | None:
        """The caller behind an `Authorization` header; None if there is no valid key."""
        if self.allows_anonymous:
            return LOCAL_CALLER
        return self._keys.find(_bearer(authorization))

    def holder(self, key_id: str) -> Caller | None:
        """The caller of a key by its public id, for who has shown the key before; None: revoked."""
        return self._keys.holder(key_id) if self._keys.exist() else None

    def refusal(self, authorization: str) -> DomainError:
        """Why a header has no caller: no valid key, an expired one, or the keys are missing."""
        return self._keys.refusal(_bearer(authorization))

    def count_use(self, caller: Caller) -> None:
        """Count a request of a caller by its key."""
        if caller.key_id and not caller.is_anonymous:
            self._note_use(caller.key_id)


def _bearer(authorization: str) -> str:
    """The key in an `Authorization` header; empty if there is none."""
    scheme, _, key = authorization.partition(" ")
    return key.strip() if scheme.casefold() == "bearer" else ""


def is_loopback(host: str) -> bool:
    """Whether a `Host` header names this machine.

    >>> is_loopback("localhost:8000"), is_loopback("[::1]:8000"), is_loopback("127.0.0.1.nip.io")
    (True, True, False)
    """
    return _is_loopback_cached(host) if len(host) <= CACHED_HOST_MAX_CHARS else _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


_is_loopback_cached = lru_cache(maxsize=256)(_is_loopback)


def has_public_address(settings: Settings) -> bool:
    """Whether `PUBLIC_URL` says that readers of other machines reach the service."""
    url = settings.public_url
    return bool(url) and not is_loopback(urlsplit(url).netloc)


def accept_basic_auth() -> None:
    """Accept the key as the password of HTTP Basic (RFC 7617); for pages only.

    A browser adds a password by itself, to forms of other sites too: it must not authorise any
    request that changes something.
    """
    given = request.authorization
    if g.caller is None and given is not None and given.type == "basic":
        _set_caller(_authenticator(), f"Bearer {given.password}")


def _set_caller(authenticator: Authenticator, authorization: str) -> None:
    """Set the caller of the current request by its key."""
    g.authorization = authorization
    g.caller = authenticator.caller(authorization)


def _authenticator() -> Authenticator:
    found: Authenticator = current_app.extensions[EXTENSION]
    return found


def require_scope(*scopes: Scope, cars: int = 0) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A view decorator that requires a key with one of `scopes`, within its limits.

    Args:
        scopes: any of them is enough.
        cars: how many the view values; they do not count if it raises.
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            authenticator = _authenticator()
            caller = _permitted(g.caller, scopes, authenticator, g.authorization)
            if not caller.key_id:
                return view(*args, **kwargs)
            are_counted = _count(authenticator, caller, cars)
            try:
                return view(*args, **kwargs)
            except BaseException:
                if are_counted:
                    authenticator.limits.refund(caller, cars)
                    _note_refund(cars)
                raise

        checked.required_scopes = scopes  # type: ignore[attr-defined] # read by `ApiBlueprint.problems`
        return checked

    return decorate


def is_admin() -> bool:
    """Whether the caller of the current request may see what others did."""
    return g.caller is not None and Scope.ADMIN in g.caller.scopes


def _count(authenticator: Authenticator, caller: Caller, cars: int) -> bool:
    """Count the current request once, though a view may call another one, and its cars.

    Returns:
        Whether cars were counted: not without such a limit, nor while the broker is down.
    """
    is_first = "is_counted" not in g
    if is_first:
        g.is_counted = True
        authenticator.count_use(caller)
    if is_first or cars:
        try:
            state = authenticator.limits.admit(caller, requests=int(is_first), cars=cars)
        except RateLimited as error:
            g.rate_state = error.params.get("state")
            raise
        g.rate_state = state or g.get("rate_state")
        return cars > 0 and state is not None and state.cars is not None
    return False


def _note_refund(cars: int) -> None:
    """Have the response say that cars were given back."""
    state: RateState = g.rate_state
    g.rate_state = state._replace(cars=(state.cars or 0.0) + cars)


def scope_rechecker(*scopes: Scope) -> Callable[[], None]:
    """`key_checker` for the key of the current request."""
    return key_checker(_authenticator(), g.authorization, *scopes)


def key_checker(
    authenticator: Authenticator, authorization: str, *scopes: Scope
) -> Callable[[], None]:
    """Return a function that checks a key again; it raises as `require_scope`.

    A key can be revoked while its request waits, or while a long response is sent.
    """

    def recheck() -> None:
        _permitted(authenticator.caller(authorization), scopes, authenticator, authorization)

    return recheck


def _permitted(
    caller: Caller | None,
    scopes: tuple[Scope, ...],
    authenticator: Authenticator,
    authorization: str,
) -> Caller:
    """The caller, if its key has one of `scopes`.

    Raises:
        NotAuthenticated, KeysUnavailable: there is no valid key.
        NotPermitted: it has none of them.
        DemoOnly: a visitor of a demonstration asks for more than the value of a car.
    """
    if caller is None:
        raise authenticator.refusal(authorization)
    if caller.scopes.isdisjoint(scopes) and caller.is_anonymous:
        raise DemoOnly
    if caller.scopes.isdisjoint(scopes):
        raise NotPermitted(scope=str(scopes[0]))
    return caller

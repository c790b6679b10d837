"""Sessions of those who have shown an admin key: a signed cookie that names the key.

Browsers send no bearer keys. Nothing is stored: the secret that signs is derived from the key of
the audit log's checkpoints, which the APIs of one home share. The key itself is looked up at every
request, so that a revoked one opens nothing any more.
"""

import hashlib
import hmac
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from shared.domain.clock import Clock

SESSION_S = 3600
"""How long a session lasts without a page being loaded."""

MAX_SESSION_S = 12 * 3600
"""How long a session lasts at most, however often pages are loaded: then the key is shown again."""

ATTEMPTS, ALL_ATTEMPTS = 5, 100
"""Wrong keys that one network, and all together, may show within a minute."""

ATTEMPTS_S = 60.0
_PURPOSE = b"carprice operations session 2"
"""Keeps signatures of sessions apart from those of checkpoints."""


class Session(NamedTuple):
    """What a cookie says of who has it."""

    key_id: str
    """Of the key that was shown."""
    began: int
    """When it was shown: Unix time, seconds."""


class Sessions:
    """Makes and reads the cookies.

    Args:
        clock: Unix time, seconds.
        read_secret: reads the key from which the secret is derived; None: there is none yet.
    """

    def __init__(self, clock: Clock, read_secret: Callable[[], bytes | None]) -> None:
        self._clock = clock
        self._read_secret = read_secret
        self._own_secret = secrets.token_bytes(32)

    @property
    def cookie(self) -> str:
        """Its name: hosts behind one address do not overwrite the cookie of another one."""
        return f"carprice-ops-{self._sign('name')[:8]}"

    def begin(self, key_id: str) -> Session:
        """A session of one who has just shown a key."""
        return Session(key_id, int(self._clock()))

    def issue(self, session: Session) -> tuple[str, int]:
        """The cookie that continues a session, and how many seconds it is valid."""
        now = int(self._clock())
        until = min(now + SESSION_S, session.began + MAX_SESSION_S)
        said = f"{session.key_id}.{session.began}.{until}"
        return f"{said}.{self._sign(said)}", max(0, until - now)

    def read(self, cookie: str) -> Session | None:
        """The session of the one with this cookie; None: invalid, or too old."""
        said, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(said).encode()):
            return None
        key_id, began, until = said.split(".")
        return Session(key_id, int(began)) if int(until) > self._clock() else None

    def _sign(self, said: str) -> str:
        secret = self._read_secret() or self._own_secret
        key = hmac.digest(secret, _PURPOSE, "sha256")
        return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()


class SignInLimit:
    """Bounds attempts to sign in with wrong keys, without a server.

    Args:
        clock: monotonic, seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._attempts: Counter[str] = Counter()

    def admits(self, network: str) -> bool:
        """Count an attempt from a network; False if it had too many in this minute.

        Those that are refused do not count: one network cannot use up what is left to others.
        """
        with self._lock:
            now = self._clock()
            if now - self._since >= ATTEMPTS_S:
                self._since = now
                self._attempts.clear()
            if self._attempts[network] >= ATTEMPTS or self._attempts.total() >= ALL_ATTEMPTS:
                return False
            self._attempts[network] += 1
            return True

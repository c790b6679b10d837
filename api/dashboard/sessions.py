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

from shared.domain.clock import Clock

SESSION_S = 3600
"""How long a session lasts without a page being loaded."""

ATTEMPTS, ALL_ATTEMPTS = 5, 100
"""Wrong keys that one network, and all together, may show within a minute."""

ATTEMPTS_S = 60.0
_PURPOSE = b"carprice operations session 1"
"""Keeps signatures of sessions apart from those of checkpoints."""


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

    def issue(self, key_id: str) -> str:
        """The cookie of one who has shown a key."""
        said = f"{key_id}.{int(self._clock()) + SESSION_S}"
        return f"{said}.{self._sign(said)}"

    def key_id(self, cookie: str) -> str | None:
        """The id of the key that the one with this cookie has shown; None: invalid, or too old."""
        said, _, signature = cookie.rpartition(".")
        key_id, _, until = said.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(said).encode()):
            return None
        return key_id if int(until) > self._clock() else None

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

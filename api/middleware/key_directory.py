"""The keys of the service in memory: who calls, until when, and how often each key is used."""

import dataclasses
import hmac
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

from shared.domain.errors import DomainError, KeyExpired, KeysUnavailable, NotAuthenticated
from shared.keys.entries import ID_LENGTH, UNLIMITED, KeyEntry, KeyLimits, Scope, hash_key
from shared.keys.store import FileKeyStore, KeysMissingError, KeyStoreError
from shared.logging import get_logger
from shared.metrics import count_key_requests

REFRESH_INTERVAL_S = 1.0
UPKEEP_INTERVAL_S = 5.0
MAX_UNCOUNTED_USES = 1_000_000

log = get_logger("auth")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who makes the current request."""

    id: str
    scopes: frozenset[Scope]
    key_id: str = ""
    """Of the key that was sent; empty without keys."""
    limits: KeyLimits = UNLIMITED
    is_anonymous: bool = False
    """Whether no key was sent: everybody is this caller."""
    bucket: str = ""
    """Name of the token bucket that counts its requests; empty: that of the key."""

    @property
    def bucket_id(self) -> str:
        """Name of the token bucket that counts its requests."""
        return self.bucket or self.key_id


class _Key:
    """A loaded key."""

    __slots__ = ("caller", "expires_at", "hash")

    def __init__(self, entry: KeyEntry) -> None:
        self.hash = entry.hash
        self.expires_at = None if entry.expires_at is None else entry.expires_at.timestamp()
        self.caller = Caller(
            id=entry.caller, scopes=entry.scopes, key_id=entry.id, limits=entry.limits
        )


class KeyDirectory:
    """The keys of a store, which is asked for changes at most once a second.

    Once there have been keys, nobody calls without one. If the store loses all of them, all calls
    are refused; if its content is damaged, the keys that were valid before stay valid.

    Args:
        store: keeps the keys.
        clock: monotonic time in seconds.
        on_refresh: called at most once a second while there are keys.
    """

    def __init__(
        self,
        store: FileKeyStore,
        clock: Callable[[], float] = time.monotonic,
        on_refresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_refresh = on_refresh
        self._refreshed_at = clock()
        self._stamp: object = None
        self._keys: Mapping[str, _Key] = {}
        self._weights: Mapping[str, int] = {}
        self._trouble: KeyStoreError | None = None
        self._exist = False
        self._is_writable_by_others = False
        self._reload()

    def exist(self) -> bool:
        """Whether keys are needed. If all have been revoked, nobody may call."""
        now = self._clock()
        if now - self._refreshed_at >= REFRESH_INTERVAL_S:
            self._refresh(now)
        return self._exist

    @property
    def trouble(self) -> KeyStoreError | None:
        """Why the store could not be read; None if it could."""
        return self._trouble

    def require_readable(self) -> None:
        """Return if callers can be recognised.

        Raises:
            KeysUnavailable: there were keys, and none can be read: every call is refused.
        """
        if self.exist() and self._trouble is not None and not self._keys:
            raise KeysUnavailable(reason=str(self._trouble))

    @property
    def weights(self) -> Mapping[str, int]:
        """The weights of callers that are not 1: the largest of their keys."""
        return self._weights

    def find(self, key: str) -> Caller | None:
        """The caller of a key, by the keys as of the last `exist`; None: unknown or expired."""
        found = self._lookup(key)
        if found is None or (found.expires_at is not None and found.expires_at <= time.time()):
            return None
        return found.caller

    def holder(self, key_id: str) -> Caller | None:
        """The caller of a key by its public id, as of the last `exist`; None: unknown or expired.

        To know an id proves nothing: the one who asks has proven to know the key before.
        """
        found = self._keys.get(key_id)
        if found is None or (found.expires_at is not None and found.expires_at <= time.time()):
            return None
        return found.caller

    def refusal(self, key: str) -> DomainError:
        """Why a key that was not found does not open anything."""
        found = self._lookup(key)
        if found is not None and found.expires_at is not None:
            return KeyExpired(id=found.caller.key_id)
        # With a damaged file the key may be one that could not be read.
        if self._trouble is not None and (key or not self._keys):
            return KeysUnavailable(reason=str(self._trouble))
        return NotAuthenticated()

    def _lookup(self, key: str) -> _Key | None:
        digest = hash_key(key)
        found = self._keys.get(digest[:ID_LENGTH])
        return found if found is not None and hmac.compare_digest(found.hash, digest) else None

    def _refresh(self, now: float) -> None:
        self._refreshed_at = now
        if self._exist:
            self._on_refresh()
        if self._trouble is not None or self._store.stamp() != self._stamp:
            self._reload()

    def _reload(self) -> None:
        stamp = self._store.stamp()
        try:
            entries = self._load()
        except KeysMissingError as error:
            self._set((), error)
        except KeyStoreError as error:
            # A mistake in the file must not lock everybody out.
            self._exist = True
            self._report(error)
        else:
            self._exist = entries is not None
            self._set(entries or (), None)
            self._mark()
            self._warn_of_writers()
        self._stamp = stamp

    def _load(self) -> Sequence[KeyEntry] | None:
        entries = self._store.load()
        if entries is None and self._exist:
            raise KeysMissingError("all API keys were removed; restart to run without keys")
        return entries

    def _set(self, entries: Sequence[KeyEntry], trouble: KeyStoreError | None) -> None:
        self._keys = {entry.id: _Key(entry) for entry in entries}
        weights: dict[str, int] = {}
        for entry in entries:
            weights[entry.caller] = max(entry.limits.weight, weights.get(entry.caller, 1))
        self._weights = {caller: weight for caller, weight in weights.items() if weight > 1}
        self._exist = self._exist or trouble is not None
        self._report(trouble)

    def _report(self, trouble: KeyStoreError | None) -> None:
        if trouble is not None and str(trouble) != str(self._trouble):
            log.error("api_keys_unreadable", error=str(trouble))
        self._trouble = trouble

    def _warn_of_writers(self) -> None:
        """Log once if other users may change the keys."""
        is_writable = self._exist and self._store.is_writable_by_others()
        if is_writable and not self._is_writable_by_others:
            log.warning(
                "api_keys_writable_by_others", file=str(self._store.path), advice="chmod 600"
            )
        self._is_writable_by_others = is_writable

    def _mark(self) -> None:
        """Record that there are keys; those that another release wrote have no marker yet."""
        if self._exist:
            try:
                self._store.mark()
            except OSError as error:
                log.warning("api_keys_not_marked", error=str(error))


class KeyUpkeep:
    """Counts the uses of keys, and keeps their times, on a thread of its own.

    Args:
        store: keeps the times.
        publish_weights: called every few seconds.
    """

    def __init__(self, store: FileKeyStore, publish_weights: Callable[[], None]) -> None:
        self._store = store
        self._publish_weights = publish_weights
        self._uses: deque[str] = deque(maxlen=MAX_UNCOUNTED_USES)
        self._used_at: dict[str, float] = {}
        self._pid = 0
        self._reported = ""
        self.note = self._uses.append
        """Count a use by the id of its key."""

    def start(self) -> None:
        """Start the thread of this process if it does not run yet."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            threading.Thread(target=self._run, name="key-upkeep", daemon=True).start()

    def run_once(self) -> None:
        """Count the uses so far, and keep their times; what cannot be kept is tried again."""
        now = time.time()
        uses: Counter[str] = Counter()
        while self._uses:
            uses[self._uses.popleft()] += 1
        for key_id, count in uses.items():
            count_key_requests(key_id, count)
            self._used_at[key_id] = now
        if self._used_at:
            try:
                self._store.record_use(self._used_at)
                self._used_at = {}
                self._reported = ""
            except (OSError, KeyStoreError) as error:
                if str(error) != self._reported:
                    log.warning("api_key_use_not_kept", error=str(error))
                self._reported = str(error)
        self._publish_weights()

    def _run(self) -> None:
        while True:
            try:
                self.run_once()
            except Exception as error:  # the thread must live
                log.exception("key_upkeep_failed", error=str(error))
            time.sleep(UPKEEP_INTERVAL_S)

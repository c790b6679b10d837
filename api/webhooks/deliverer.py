"""Delivers webhooks: takes ends in, sends what is due, has failures sent again with back-off."""

import asyncio
import contextlib
import dataclasses
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from api.webhooks.bodies import WebhookBodies
from api.webhooks.sender import Attempt, AttemptOutcome
from shared.domain.clock import Clock
from shared.domain.errors import BrokerUnavailable
from shared.logging import get_logger
from shared.metrics import WEBHOOK_ATTEMPTS, WEBHOOK_SECONDS, WEBHOOKS
from shared.redis.webhooks.records import Delivery, RecordedEnd
from shared.redis.webhooks.store import EXPIRED, TAKE_IN_MAX, Claimed, Places, WebhookStore
from shared.tracing.context import Span, SpanKind
from shared.tracing.current import as_current, child_span, trace_members, tracer
from shared.webhooks.addresses import CallbackAddress, parse_address
from shared.webhooks.secret_store import SecretStoreError, WebhookSecrets
from shared.webhooks.signing import signature_headers

if TYPE_CHECKING:
    from shared.tracing.tracer import Tracer

T = TypeVar("T")

PLACES, PLACES_OF_CALLER, PLACES_OF_RECEIVER = 64, 16, 4
"""Webhooks that are sent at once: in all, of one caller, to one receiver of one caller."""

POLL_INTERVAL_S = 0.2
BROKER_RETRY_S = 1.0
EXPIRY_INTERVAL_S, EXPIRY_MAX = 5.0, 500
PUT_BACK_INTERVAL_S = 60.0
"""Senders of an earlier release may still set aside what this one can read."""

FIRST_DELAY_S, DELAY_FACTOR, LONGEST_DELAY_S = 5.0, 3.0, 7200.0
LONGEST_WISH = 0.5
"""A `Retry-After` is respected up to this part of the time that a webhook has left: the next
attempt must not come after its end."""

LONGEST_PAUSE_S = 3600.0
"""Longest time for which a `Retry-After` stops all webhooks to a receiver."""

SETTLE_ATTEMPTS = 5
"""How often the end of an attempt is written while the broker is down, a second apart."""

USER_AGENT = "CarPricePredictor-MA/1"

Send = Callable[[CallbackAddress, Sequence[tuple[str, str]], bytes], Awaitable[Attempt]]
"""`WebhookSender.send`."""

log = get_logger("webhooks")


def retry_delay_s(attempts: int, retry_after_s: float = 0.0, left_s: float = math.inf) -> float:
    """Time until the next attempt, seconds, with a jitter of a fifth.

    Args:
        attempts: made so far.
        retry_after_s: what the receiver asks for: a minimum, up to a part of `left_s`.
        left_s: the time after which the webhook is given up.
    """
    delay_s = min(FIRST_DELAY_S * DELAY_FACTOR ** min(attempts - 1, 20), LONGEST_DELAY_S)
    jitter = random.uniform(0.8, 1.2)  # noqa: S311 - spreads attempts, protects nothing
    return max(delay_s * jitter, min(retry_after_s, LONGEST_WISH * left_s))


class WebhookDeliverer:
    """Delivers webhooks until it is told to stop.

    Calls of the broker, and the making of bodies, run in threads, so that the event loop serves
    all receivers meanwhile.

    Args:
        store: the webhooks.
        bodies: makes their bodies.
        secrets: sign them.
        send: sends one.
        clock: Unix time, seconds.
        beat: called in each round.
    """

    def __init__(
        self,
        store: WebhookStore,
        bodies: WebhookBodies,
        secrets: WebhookSecrets,
        send: Send,
        *,
        clock: Clock,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._bodies = bodies
        self._secrets = secrets
        self._send = send
        self._clock = clock
        self._beat = beat
        self._under_way: dict[asyncio.Task[None], Claimed] = {}
        self._wake = asyncio.Event()
        self._expire_at = 0.0
        self._put_back_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; what is under way then is finished."""
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            self._beat()
            self._wake.clear()
            pause_s = POLL_INTERVAL_S
            try:
                await self._round()
            except BrokerUnavailable:
                pause_s = BROKER_RETRY_S  # others report the outage
            except Exception:
                log.exception("webhook_round_failed")
                pause_s = BROKER_RETRY_S
            woken = asyncio.create_task(self._wake.wait())
            await asyncio.wait(
                {stopping, woken}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED
            )
            woken.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _round(self) -> None:
        if time.monotonic() >= self._put_back_at:
            await _in_thread(self._store.aside.put_back)
            self._put_back_at = time.monotonic() + PUT_BACK_INTERVAL_S
        while await _in_thread(self._store.take_in) >= TAKE_IN_MAX:
            self._beat()
        if time.monotonic() >= self._expire_at and await self._expire() < EXPIRY_MAX:
            self._expire_at = time.monotonic() + EXPIRY_INTERVAL_S
        for _ in range(PLACES):  # the next round takes in what has ended meanwhile
            places = self._places()
            if places.free <= 0:
                return
            claimed = await _in_thread(partial(self._store.claim, places))
            for each in claimed:
                task = asyncio.create_task(self._deliver(each))
                self._under_way[task] = each
                task.add_done_callback(self._on_done)
            if not claimed:
                return

    def _places(self) -> Places:
        under_way = self._under_way.values()
        taken = Counter(each.receiver for each in under_way)
        taken.update(each.caller for each in under_way)
        free = PLACES - len(self._under_way)
        return Places(free, PLACES_OF_RECEIVER, PLACES_OF_CALLER, taken)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        del self._under_way[task]
        self._wake.set()
        error = None if task.cancelled() else task.exception()
        # In either case its lease ends, and it is sent again; others report an outage.
        if error is not None and not isinstance(error, BrokerUnavailable):
            log.error("webhook_not_sent", error=type(error).__name__, exc_info=error)

    async def _deliver(self, claimed: Claimed) -> None:
        """Make one attempt, and write how it ended."""
        delivery, now = claimed.delivery, self._clock()
        end = delivery.end
        if delivery.give_up_at <= now:
            await self._settle(partial(self._give_up, claimed, delivery))
            return
        started = time.monotonic()
        attempt = await self._attempt(claimed, end)
        WEBHOOK_SECONDS.observe(time.monotonic() - started)
        WEBHOOK_ATTEMPTS.labels(outcome=str(attempt.outcome)).inc()
        delivery = dataclasses.replace(
            delivery,
            attempts=delivery.attempts + 1,
            last_attempt_at=now,
            last_outcome=str(attempt.outcome),
            last_status=attempt.status,
        )
        await self._settle(partial(self._record, claimed, delivery, end, attempt))

    async def _attempt(self, claimed: Claimed, end: RecordedEnd) -> Attempt:
        body = await _in_thread(partial(self._bodies.body, end))
        try:
            keys = self._secrets.signing(end.callback.key_id)
        except SecretStoreError as error:
            log.error("webhook_secrets_unreadable", error=str(error))  # noqa: TRY400 - says it all
            keys = []
        if not keys:
            return Attempt(AttemptOutcome.NO_SECRET)
        headers = signature_headers(claimed.id, int(self._clock()), body, keys)
        address = parse_address(end.callback.url)
        headers = [("User-Agent", USER_AGENT), *headers]
        own, span = tracer(), child_span("webhook", SpanKind.CLIENT, end.callback.trace)
        if own is None or span is None:
            return await self._send(address, headers, body)
        return await self._send_traced(own, span, claimed, (address, headers, body))

    async def _send_traced(
        self,
        own: "Tracer",
        span: Span,
        claimed: Claimed,
        sent: tuple[CallbackAddress, Sequence[tuple[str, str]], bytes],
    ) -> Attempt:
        """Send a webhook within a span, which its receiver can continue."""
        address, headers, body = sent
        span.attributes["carprice.id"] = claimed.id
        span.attributes["server.address"] = address.host
        span.attributes["carprice.attempt"] = claimed.delivery.attempts + 1
        headers = [*headers, ("traceparent", span.context.traceparent)]
        with as_current(span):
            attempt = await self._send(address, headers, body)
        span.attributes["carprice.outcome"] = str(attempt.outcome)
        if attempt.status is not None:
            span.attributes["http.response.status_code"] = attempt.status
        span.is_error = attempt.outcome is not AttemptOutcome.DELIVERED
        own.end(span)
        took_s = (span.end_ns - span.start_ns) / 1e9
        own.observe(WEBHOOK_SECONDS, took_s, {}, span.trace_id)
        return attempt

    def _record(
        self, claimed: Claimed, delivery: Delivery, end: RecordedEnd, attempt: Attempt
    ) -> None:
        """Write how an attempt ended; called in a thread."""
        if attempt.outcome in {AttemptOutcome.DELIVERED, AttemptOutcome.GONE}:
            if self._store.end(claimed, is_receiver_well=True):
                WEBHOOKS.labels(result=str(attempt.outcome)).inc()
            return
        now = self._clock()
        left_s = delivery.give_up_at - now
        due = now + retry_delay_s(delivery.attempts, attempt.retry_after_s, left_s)
        log.warning(
            "webhook_attempt_failed",
            webhook_id=claimed.id,
            # The whole address may hold what authorises its calls.
            receiver=parse_address(end.callback.url).origin,
            outcome=str(attempt.outcome),
            status=attempt.status,
            attempts=delivery.attempts,
            **trace_members(end.callback.trace),
        )
        if due >= delivery.give_up_at:
            self._give_up(claimed, delivery)
            return
        is_down = attempt.outcome.is_down
        # A longer pause of the receiver would outlast the next attempt.
        longest_s = min(LONGEST_PAUSE_S, LONGEST_WISH * left_s)
        pause_s = min(attempt.retry_after_s, longest_s) if is_down else 0.0
        self._store.retry(claimed, delivery, due, is_down=is_down, pause_s=pause_s)

    def _give_up(self, claimed: Claimed, delivery: Delivery) -> None:
        if not delivery.last_outcome:
            delivery = dataclasses.replace(delivery, last_outcome=EXPIRED)
        if self._store.give_up(claimed, delivery):
            WEBHOOKS.labels(result="given-up").inc()
            log.warning(
                "webhook_given_up",
                webhook_id=claimed.id,
                outcome=delivery.last_outcome,
                attempts=delivery.attempts,
            )

    async def _settle(self, write: Callable[[], None]) -> None:
        """Write the end of an attempt, also if the broker is down for a moment.

        If it stays down, the lease ends and the webhook is sent again.
        """
        for _ in range(SETTLE_ATTEMPTS):
            with contextlib.suppress(BrokerUnavailable):
                await _in_thread(write)
                return
            await asyncio.sleep(BROKER_RETRY_S)

    async def _expire(self) -> int:
        """Give up the webhooks whose time is over; return how many were found."""
        found = await _in_thread(partial(self._store.expired, EXPIRY_MAX))
        leased = {each.id for each in self._under_way.values()}
        for each in found:
            if each.id not in leased:
                await _in_thread(partial(self._give_up, each, each.delivery))
        return len(found)


async def _in_thread(call: Callable[[], T]) -> T:
    return await asyncio.to_thread(call)

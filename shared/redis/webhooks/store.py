"""Store of webhooks: takes recorded ends in, hands out what is due, keeps what was given up."""

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shared.domain.clock import Clock
from shared.domain.errors import UnreadableRecord
from shared.logging import get_logger
from shared.metrics import RECORDS_UNREADABLE
from shared.redis import keys
from shared.redis.connections import RedisClient, broker_errors
from shared.redis.webhooks import scripts
from shared.redis.webhooks.records import Delivery, RecordedEnd
from shared.redis.webhooks.set_aside import KEPT_MAX, KEPT_TTL_S, WebhooksSetAside, note_dropped
from shared.webhooks.addresses import CallbackRefusedError, parse_address

TAKE_IN_MAX = 100
"""Ends that one call takes in."""

RECEIVERS_MAX = 300
"""Receivers that one call of `claim` looks at."""

EXPIRED = "expired"
"""Last outcome of a webhook that was never tried: its receiver was paused all the time."""

log = get_logger("webhooks")


class Claimed(NamedTuple):
    """A webhook that this process sends now."""

    receiver: str
    id: str
    delivery: Delivery

    @property
    def caller(self) -> str:
        """Whose webhook it is."""
        return self.receiver.rpartition(":")[0]


class Places(NamedTuple):
    """How many webhooks may be sent at once, and by whom places are taken."""

    free: int
    of_receiver: int
    of_caller: int
    taken: Mapping[str, int]
    """By receivers and by callers."""


class WebhookFigures(NamedTuple):
    """Gauges of `/metrics`."""

    pending: int
    failed: int
    oldest_pending_s: float
    """Age of the oldest pending webhook."""
    intake_delay_s: float
    """Age of the oldest end that no sender has taken in."""


class WebhookStore:
    """Webhooks in the broker's Redis.

    While the broker is down, every method raises `BrokerUnavailable` within two seconds.

    Args:
        client: connection to the broker instance.
        clock: Unix time, seconds.
        retry_s: how long a webhook is tried.
        lease_s: after this time a claimed webhook is due again.
    """

    def __init__(
        self, client: RedisClient, clock: Clock, *, retry_s: float, lease_s: float = 60.0
    ) -> None:
        self._client = client
        self._clock = clock
        self._retry_s = retry_s
        self._lease_s = lease_s
        self._take_in = client.register_script(scripts.TAKE_IN)
        self._claim = client.register_script(scripts.CLAIM)
        self._end = client.register_script(scripts.END)
        self._retry = client.register_script(scripts.RETRY)
        self._give_up = client.register_script(scripts.GIVE_UP)
        self._replay = client.register_script(scripts.REPLAY)
        self.aside = WebhooksSetAside(client, clock)

    def take_in(self) -> int:
        """Make the recorded ends pending webhooks; return how many were taken from the list.

        An end that cannot be read is counted, logged and set aside for a newer release.
        """
        with broker_errors():
            entries = self._client.lrange(keys.ENDED_WITH_CALLBACK, 0, TAKE_IN_MAX - 1)
        arguments: list[object] = []
        for entry in entries:
            try:
                arguments += self._new_delivery(entry)
            except (UnreadableRecord, CallbackRefusedError) as error:
                RECORDS_UNREADABLE.labels(record="webhook").inc()
                # A stack could quote the address.
                log.error("webhook_unreadable", error=type(error).__name__)  # noqa: TRY400
                self.aside.keep(entry)
        if arguments:
            with broker_errors():
                self._take_in(args=arguments)
        return len(entries)

    def _new_delivery(self, entry: bytes) -> list[object]:
        end, now = RecordedEnd.from_entry(entry), self._clock()
        # A sender that was down for long still has some time to try.
        finished_at = end.summary.finished_at or now
        give_up_at = max(finished_at + self._retry_s, now + min(self._retry_s, 3600.0))
        delivery = Delivery(entry=entry, due_from=finished_at, give_up_at=give_up_at)
        times = [now, give_up_at, self._keep_s(give_up_at)]
        return [entry, end.webhook_id, delivery.receiver, delivery.pack(), *times]

    def _keep_s(self, give_up_at: float) -> int:
        """Time to live of a pending webhook: longer than it takes to give it up."""
        return int(give_up_at - self._clock()) + KEPT_TTL_S

    def claim(self, places: Places) -> list[Claimed]:
        """Lease webhooks that are due to this process, at most one of each receiver.

        Those that this version cannot read are left to a newer one.
        """
        now = self._clock()
        limits = [places.free, places.of_receiver, places.of_caller, RECEIVERS_MAX]
        taken = [part for pair in places.taken.items() for part in pair]
        with broker_errors():
            found = self._claim(args=[now, now + self._lease_s, *limits, *taken])
        claimed = []
        for receiver, webhook_id, record in zip(*[iter(found)] * 3, strict=True):
            delivery = _read_delivery(record)
            if delivery is not None:
                claimed.append(Claimed(receiver.decode(), webhook_id.decode(), delivery))
        return claimed

    def end(self, claimed: Claimed, *, is_receiver_well: bool) -> bool:
        """Forget a webhook that needs no further attempt; False if another process did so before.

        Args:
            claimed: the webhook.
            is_receiver_well: whether the receiver has answered.
        """
        arguments = [claimed.receiver, claimed.id, self._clock(), int(is_receiver_well)]
        with broker_errors():
            return bool(self._end(args=arguments))

    def retry(
        self, claimed: Claimed, delivery: Delivery, due: float, *, is_down: bool, pause_s: float
    ) -> None:
        """Have a webhook sent again.

        Args:
            claimed: the webhook.
            delivery: its record, with the last attempt.
            due: Unix time of the next attempt.
            is_down: whether the receiver as a whole has failed; False: it has answered.
            pause_s: how long the receiver asks not to be called at all.
        """
        jitter = random.uniform(0.8, 1.2)  # noqa: S311 - spreads attempts, protects nothing
        arguments = [claimed.receiver, claimed.id, self._clock(), due, delivery.pack()]
        with broker_errors():
            self._retry(
                args=[*arguments, int(is_down), pause_s, jitter, delivery.last_attempt_at or 0]
            )

    def give_up(self, claimed: Claimed, delivery: Delivery) -> bool:
        """List a webhook as given up; False if another process ended it before."""
        arguments = [claimed.receiver, claimed.id, self._clock(), delivery.pack()]
        with broker_errors():
            dropped = self._give_up(args=[*arguments, KEPT_TTL_S, KEPT_MAX])
        note_dropped(dropped or 0)
        return dropped is not None

    def expired(self, limit: int) -> list[Claimed]:
        """Pending webhooks whose time is over; those of paused receivers are never claimed."""
        with broker_errors():
            ids = self._client.zrange(
                keys.WEBHOOK_DEADLINES, "-inf", self._clock(), byscore=True, offset=0, num=limit
            )
        found = self._read(ids)
        others = [name for each in ids if (name := each.decode()) not in found]
        if others:  # their records are gone, or of a newer release
            self.aside.give_up(others)
        return [Claimed(each.receiver, webhook_id, each) for webhook_id, each in found.items()]

    def pending(self, limit: int) -> dict[str, Delivery]:
        """The pending webhooks by id, those that are given up first before the others."""
        with broker_errors():
            return self._read(self._client.zrange(keys.WEBHOOK_DEADLINES, 0, limit - 1))

    def failed(self, limit: int) -> dict[str, Delivery]:
        """The webhooks that were given up, by id, newest first."""
        with broker_errors():
            return self._read(self._client.zrange(keys.WEBHOOKS_FAILED, 0, limit - 1, desc=True))

    def unreadable(self, limit: int) -> list[str]:
        """Ids of webhooks, and of the work of ends, that only a newer release can read."""
        with broker_errors():
            ids = [
                *self._client.zrange(keys.WEBHOOK_DEADLINES, 0, limit - 1),
                *self._client.zrange(keys.WEBHOOKS_FAILED, 0, limit - 1, desc=True),
            ]
            names = [each.decode() for each in ids]
            records = self._client.mget([keys.webhook(each) for each in names]) if names else []
        stored = [name for name, record in zip(names, records, strict=True) if record is not None]
        known = self._read([name.encode() for name in stored])
        return [name for name in stored if name not in known] + self.aside.ids(limit)

    def replay(self, webhook_id: str) -> bool:
        """Have a webhook sent now, with all its time; False if there is none with this id.

        It keeps its id: a receiver that has it already recognises it.
        """
        found = self._read([webhook_id.encode()])
        if not found:
            return False
        now = self._clock()
        give_up_at = now + self._retry_s
        delivery = dataclasses.replace(
            found[webhook_id], due_from=now, give_up_at=give_up_at, attempts=0
        )
        arguments = [delivery.receiver, webhook_id, now, delivery.pack(), give_up_at]
        with broker_errors():
            return bool(self._replay(args=[*arguments, self._keep_s(give_up_at)]))

    def figures(self) -> WebhookFigures:
        """The gauges of `/metrics`."""
        now = self._clock()
        with broker_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zcard(keys.WEBHOOK_DEADLINES)
            pipeline.zcount(keys.WEBHOOKS_FAILED, now - KEPT_TTL_S, "+inf")
            pipeline.zrange(keys.WEBHOOK_DEADLINES, 0, 0)
            pipeline.llen(keys.ENDED_WITH_CALLBACK)
            pipeline.lindex(keys.ENDED_WITH_CALLBACK, 0)
            pipeline.zcard(keys.WEBHOOKS_SET_ASIDE)
            pending, failed, first, untaken, entry, aside = pipeline.execute()
        oldest = next(iter(self._read(first).values()), None)
        delay_s = 0.0
        if entry is not None:
            try:
                delay_s = now - (RecordedEnd.from_entry(entry).summary.finished_at or now)
            except UnreadableRecord:
                delay_s = 0.0  # the sender sets it aside
        return WebhookFigures(
            pending=pending + untaken + aside,
            failed=failed,
            oldest_pending_s=max(0.0, now - oldest.due_from if oldest else delay_s),
            intake_delay_s=max(0.0, delay_s),
        )

    def _read(self, ids: Sequence[bytes]) -> dict[str, Delivery]:
        """The records of webhooks that exist and that this version can read."""
        if not ids:
            return {}
        names = [each.decode() for each in ids]
        with broker_errors():
            records = self._client.mget([keys.webhook(each) for each in names])
        deliveries = {
            webhook_id: _read_delivery(record)
            for webhook_id, record in zip(names, records, strict=True)
        }
        return {name: found for name, found in deliveries.items() if found is not None}


def _read_delivery(record: bytes | None) -> Delivery | None:
    """A record of which this version can read all; None for others, which are counted."""
    if record is None:
        return None
    try:
        delivery = Delivery.unpack(record)
        parse_address(delivery.end.callback.url)
    except (UnreadableRecord, CallbackRefusedError):
        RECORDS_UNREADABLE.labels(record="webhook").inc()
        return None
    return delivery

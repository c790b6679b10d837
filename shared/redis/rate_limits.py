"""Token buckets of API keys in Redis: requests per second and cars per day."""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from shared.domain.clock import DAY_S
from shared.domain.errors import BrokerUnavailable, CarLimitReached, RateLimited
from shared.keys.entries import KeyLimits
from shared.logging import get_logger
from shared.metrics import count_key_refusal
from shared.redis import keys
from shared.redis.connections import ALLOW_OOM, RedisClient, broker_errors

CIRCUIT_OPEN_S = 1.0
"""After a failure of the broker, limits are not enforced for this time."""
MAX_KEPT_REFUSALS = 10_000

log = get_logger("limits")

# A bucket that is not stored is full. The server's clock is the same for all processes; if it is
# set back, nothing is added until it has caught up with the new time.
_HEAD = (
    ALLOW_OOM
    + """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function tokens(name, capacity, rate)
  local found = redis.call('HMGET', KEYS[1], name, name .. '_at')
  if not found[1] then return capacity end
  local elapsed = math.max(0, now - tonumber(found[2]))
  return math.min(capacity, tonumber(found[1]) + elapsed * rate)
end
local function keep(name, number)
  redis.call('HSET', KEYS[1], name, string.format('%.6f', number),
             name .. '_at', string.format('%.6f', now))
end
"""
)

# KEYS: bucket.  ARGV: capacity and rate of requests, of cars (rate 0: not limited), requests, cars,
# time to live.  Both are taken or none.  Returns whether they were, requests left, cars left.
_SPEND = (
    _HEAD
    + """
local capacity, rate, cars_capacity, cars_rate, requests, cars =
  unpack({tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]),
          tonumber(ARGV[5]), tonumber(ARGV[6])})
local left = rate > 0 and tokens('requests', capacity, rate) or requests
local cars_left = cars_rate > 0 and tokens('cars', cars_capacity, cars_rate) or cars
local is_allowed = left >= requests and cars_left >= cars
if is_allowed then
  left, cars_left = left - requests, cars_left - cars
  if rate > 0 then keep('requests', left) end
  if cars_rate > 0 and cars ~= 0 then keep('cars', cars_left) end
  redis.call('EXPIRE', KEYS[1], ARGV[7])
end
return {is_allowed and 1 or 0, tostring(left), tostring(cars_left)}
"""
)

# KEYS: bucket, quota of a batch.  ARGV: rows so far.  Rows beyond those that were paid are taken
# from the bucket.  Returns 1: paid, 0: the bucket does not hold them.
_PAY_ROWS = (
    _HEAD
    + """
local quota = redis.call('HMGET', KEYS[2], 'paid', 'per_day')
if not quota[1] then return 1 end
local due, per_day = tonumber(ARGV[1]) - tonumber(quota[1]), tonumber(quota[2])
if due <= 0 then return 1 end
local left = tokens('cars', per_day, per_day / 86400)
if due > left then return 0 end
keep('cars', left - due)
redis.call('EXPIRE', KEYS[1], 90000)
redis.call('HSET', KEYS[2], 'paid', ARGV[1])
return 1
"""
)


class RateState(NamedTuple):
    """What is left of the limits of a key after a request; None: not limited."""

    requests: float | None
    cars: float | None


class RateLimits:
    """Counts the requests and cars of keys that have limits.

    One script call per request decides. While the broker does not answer, limits are not enforced:
    what can be answered without it still is, and new work is refused anyway.

    Args:
        client: connection to the broker instance, with a short reply timeout.
        clock: monotonic seconds.
    """

    def __init__(self, client: RedisClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._spend = client.register_script(_SPEND)
        self._pay_rows = client.register_script(_PAY_ROWS)
        self._circuit_open_until = float("-inf")
        self._refused_until: dict[tuple[str, KeyLimits], float] = {}

    def spend(
        self, key_id: str, limits: KeyLimits, *, requests: int = 1, cars: int = 0
    ) -> RateState | None:
        """Take a request and its cars from the buckets of a key; None if they cannot be counted.

        Raises:
            RateLimited: too many requests; its parameter `state` says what is left.
            CarLimitReached: not so many cars are left.
        """
        cars = cars if limits.cars_per_day is not None else 0
        if requests:
            self.check(key_id, limits)
        counts_requests = requests > 0 and limits.requests_per_s is not None
        if not counts_requests and limits.cars_per_day is None:
            return None
        if self._clock() < self._circuit_open_until:
            return None
        try:
            is_allowed, *left = self._call(key_id, limits, requests, cars)
        except BrokerUnavailable as error:
            self._circuit_open_until = self._clock() + CIRCUIT_OPEN_S
            log.warning("limits_not_enforced", error=str(error))
            return None
        state = RateState(
            requests=None if limits.requests_per_s is None else float(left[0]),
            cars=None if limits.cars_per_day is None else float(left[1]),
        )
        if not is_allowed:
            self._refuse(key_id, limits, state, requests, cars)
        return state

    def check(self, key_id: str, limits: KeyLimits) -> None:
        """Return unless the bucket of a key was found empty and has no new token yet.

        Raises:
            RateLimited: see `spend`; the broker is not asked.
        """
        until = self._refused_until.get((key_id, limits))
        if until is None:
            return
        wait_s = until - self._clock()
        if wait_s > 0:
            raise _too_many_requests(limits, wait_s, RateState(requests=0.0, cars=None))
        self._refused_until.pop((key_id, limits), None)

    def refund(self, key_id: str, limits: KeyLimits, cars: int) -> None:
        """Give cars back that were not valued."""
        if limits.cars_per_day is not None and cars:
            try:
                self._call(key_id, limits, 0, -cars)
            except BrokerUnavailable as error:
                log.warning("cars_not_refunded", key=key_id, cars=cars, error=str(error))

    def open_quota(self, key_id: str, limits: KeyLimits, batch_id: str, keep_s: int) -> None:
        """Let the workers count the rows of a batch against the cars of a key.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        name = keys.batch_quota(batch_id)
        quota = {"key": key_id, "per_day": limits.cars_per_day, "paid": 0}
        with broker_errors():
            pipeline = self._client.pipeline(transaction=True)
            pipeline.hset(name, mapping=quota)
            pipeline.expire(name, keep_s)
            pipeline.execute()

    def pay_rows(self, batch_id: str, rows: int) -> bool:
        """Count the rows of a batch; False if its key may not have so many cars valued.

        Args:
            batch_id: of a batch; one without quota is not limited.
            rows: those that have been read so far, from the first one on.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        name = keys.batch_quota(batch_id)
        with broker_errors():
            key_id = self._client.hget(name, "key")
            if key_id is None:
                return True
            bucket = keys.rate_bucket(key_id.decode())
            is_paid = bool(self._pay_rows(keys=[bucket, name], args=[rows]))
        if not is_paid:
            count_key_refusal(key_id.decode(), CarLimitReached.code)
        return is_paid

    def _call(self, key_id: str, limits: KeyLimits, requests: int, cars: int) -> Any:
        per_day, rate = limits.cars_per_day or 0, limits.requests_per_s or 0
        ttl_s = DAY_S + 60 if per_day else math.ceil(limits.capacity / rate) + 60 if rate else 60
        arguments = [limits.capacity, rate, per_day, per_day / DAY_S, requests, cars, ttl_s]
        with broker_errors():
            return self._spend(keys=[keys.rate_bucket(key_id)], args=arguments)

    def _refuse(
        self, key_id: str, limits: KeyLimits, state: RateState, requests: int, cars: int
    ) -> None:
        """Raise the error of a refused request.

        Requests that come before the next token are refused without asking the broker again.
        """
        rate = limits.requests_per_s
        if rate is not None and state.requests is not None and state.requests < requests:
            wait_s = (requests - state.requests) / rate
            if len(self._refused_until) >= MAX_KEPT_REFUSALS:
                self._refused_until.clear()
            self._refused_until[key_id, limits] = self._clock() + wait_s
            raise _too_many_requests(limits, wait_s, state)
        per_day, left = limits.cars_per_day or 1, state.cars or 0.0
        # More cars than in a full bucket are refused however long the caller waits.
        wait_s = DAY_S if cars > per_day else (cars - left) * DAY_S / per_day
        raise CarLimitReached(
            limit=per_day,
            left=max(0, int(left)),
            cars=cars,
            retry_after_s=max(1, wait_s),
            state=state,
        )


def _too_many_requests(limits: KeyLimits, wait_s: float, state: RateState) -> RateLimited:
    return RateLimited(limit=f"{limits.requests_per_s:g}", retry_after_s=wait_s, state=state)

"""`RateLimit` headers: what is left of the limits of a key."""

import math

from shared.keys.entries import KeyLimits
from shared.redis.rate_limits import DAY_S, RateState


def rate_headers(limits: KeyLimits, state: RateState | None) -> list[tuple[str, str]]:
    """`RateLimit-Policy` and `RateLimit` of a response (draft-ietf-httpapi-ratelimit-headers-10).

    `r` is what is left of the quota `q`; it is whole again after `t` seconds.
    """
    if state is None:
        return []
    policies, items = [], []
    if limits.requests_per_s is not None and state.requests is not None:
        quota, rate = limits.capacity, limits.requests_per_s
        policies.append(f'"requests";q={quota};w={math.ceil(quota / rate)}')
        items.append(f'"requests";{_left(state.requests, quota, rate)}')
    if limits.cars_per_day is not None and state.cars is not None:
        quota = limits.cars_per_day
        policies.append(f'"cars";q={quota};qu="cars";w={DAY_S}')
        items.append(f'"cars";{_left(state.cars, quota, quota / DAY_S)}')
    return [("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(items))]


def _left(tokens: float, quota: int, rate: float) -> str:
    return f"r={max(0, math.floor(tokens))};t={max(0, math.ceil((quota - tokens) / rate))}"

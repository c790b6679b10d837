"""Limits of keys in a real Redis: token buckets, quotas of batches, weights."""

import threading
import time
from functools import partial

import pytest
from prometheus_client import REGISTRY

from shared.domain.errors import BrokerUnavailable, CarLimitReached, RateLimited
from shared.keys.entries import KeyLimits
from shared.redis import keys
from shared.redis.connections import connect
from shared.redis.fair_queues.weights import REPEAT_S, WeightPublisher
from shared.redis.rate_limits import RateLimits

SLOW = KeyLimits(requests_per_s=0.001, burst=3)
TEN_CARS = KeyLimits(cars_per_day=10)


@pytest.fixture
def rates(servers):
    return RateLimits(servers.broker)


def spent(rates, key_id, limits, **cost):
    """Whether a request is allowed."""
    try:
        rates.spend(key_id, limits, **cost)
    except RateLimited:
        return False
    return True


def set_bucket(servers, key_id, name, tokens, age_s):
    """Store a bucket as it was some seconds ago."""
    bucket = {name: tokens, f"{name}_at": time.time() - age_s}
    servers.broker.hset(keys.rate_bucket(key_id), mapping=bucket)


def test_requests_beyond_the_burst_are_refused_until_a_token_is_there(rates, servers):
    states = [rates.spend("a", SLOW) for _ in range(3)]
    assert [int(state.requests) for state in states] == [2, 1, 0]
    with pytest.raises(RateLimited) as refusal:
        rates.spend("a", SLOW)
    assert type(refusal.value) is RateLimited
    assert 990 < refusal.value.params["retry_after_s"] <= 1000
    assert spent(rates, "b", SLOW), "another key has its own bucket"
    set_bucket(servers, "a", "requests", 0, age_s=1500)
    assert spent(RateLimits(servers.broker), "a", SLOW)
    assert not spent(RateLimits(servers.broker), "a", SLOW)


def test_an_empty_bucket_is_refused_without_asking_the_broker_until_the_limit_changes(
    rates, servers
):
    assert [spent(rates, "a", SLOW) for _ in range(5)] == [True] * 3 + [False] * 2
    servers.broker.delete(keys.rate_bucket("a"))
    assert not spent(rates, "a", SLOW)
    assert spent(rates, "a", KeyLimits(requests_per_s=0.001, burst=4))


def test_the_burst_of_a_fast_key_is_one_second(rates):
    limits = KeyLimits(requests_per_s=2.5)
    assert limits.capacity == 3
    assert [spent(rates, "a", limits) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_is_set_back_neither_adds_nor_takes_tokens(rates, servers):
    set_bucket(servers, "a", "requests", 1, age_s=-3600)
    assert [spent(rates, "a", SLOW) for _ in range(2)] == [True, False]


def test_cars_are_taken_all_or_not_at_all_and_can_be_given_back(rates):
    assert spent(rates, "a", TEN_CARS, cars=8)
    with pytest.raises(CarLimitReached) as refusal:
        rates.spend("a", TEN_CARS, cars=3)
    told = refusal.value.params
    assert (told["limit"], told["left"], told["cars"]) == (10, 2, 3)
    assert 8000 < told["retry_after_s"] <= 8640
    assert spent(rates, "a", TEN_CARS, cars=2)
    rates.refund("a", TEN_CARS, 5)
    assert [spent(rates, "a", TEN_CARS, cars=n) for n in (6, 5)] == [False, True]


def test_more_cars_than_a_day_has_are_not_promised_for_later_today(rates):
    with pytest.raises(CarLimitReached) as refusal:
        rates.spend("a", TEN_CARS, cars=11)
    assert refusal.value.params["retry_after_s"] == 86_400


def test_a_refused_car_costs_no_request_and_a_request_without_cars_no_car(rates):
    limits = KeyLimits(requests_per_s=0.001, burst=3, cars_per_day=1)
    assert spent(rates, "a", limits, cars=1)
    assert not spent(rates, "a", limits, cars=1)
    assert [spent(rates, "a", limits) for _ in range(3)] == [True, True, False]


def test_a_lower_limit_holds_at_once(rates):
    assert spent(rates, "a", KeyLimits(cars_per_day=1000), cars=1)
    assert not spent(rates, "a", TEN_CARS, cars=11)


def test_concurrent_requests_share_one_bucket(servers):
    limits = KeyLimits(requests_per_s=0.001, burst=50)
    allowed = []

    def ask():
        own = RateLimits(connect(servers.settings.redis_url))
        allowed.extend(spent(own, "a", limits) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == 50


def test_buckets_do_not_stay_in_redis(rates, servers):
    rates.spend("a", SLOW)
    rates.spend("b", TEN_CARS, cars=1)
    assert 0 < servers.broker.ttl(keys.rate_bucket("a")) < 4000
    assert 86_400 <= servers.broker.ttl(keys.rate_bucket("b")) <= 90_000


def test_without_the_broker_limits_are_not_enforced_but_quotas_cannot_be_opened(tmp_path):
    rates = RateLimits(connect(f"unix://{tmp_path}/none.sock"))
    assert all(spent(rates, "a", SLOW, cars=1) for _ in range(5))
    assert all(spent(rates, "a", TEN_CARS, cars=11) for _ in range(2))
    rates.refund("a", TEN_CARS, 1)
    with pytest.raises(BrokerUnavailable):
        rates.open_quota("a", TEN_CARS, "batch", 60)


def test_rows_of_a_batch_are_paid_once_as_they_are_read(rates):
    rates.open_quota("a", TEN_CARS, "batch", 60)
    assert all(rates.pay_rows("batch", rows) for rows in (4, 4, 9, 2))
    refused = partial(
        REGISTRY.get_sample_value,
        "key_limited_requests_total",
        {"key": "a", "limit": "car-limit-reached"},
    )
    before = refused() or 0
    assert not rates.pay_rows("batch", 11)
    assert refused() == before + 1
    assert rates.pay_rows("batch", 9), "what was paid stays paid"
    assert [spent(rates, "a", TEN_CARS, cars=1) for _ in range(2)] == [True, False]


def test_a_batch_without_quota_pays_nothing(rates):
    assert rates.pay_rows("batch", 10**9)


def test_weights_replace_those_of_before_and_come_back_when_they_are_lost(servers):
    now = [0.0]
    publisher = WeightPublisher(servers.broker, lambda: now[0])

    def stored():
        return servers.broker.hgetall(keys.CALLER_WEIGHTS)

    publisher.publish({"shop": 3, "garage": 2})
    publisher.publish({"shop": 4})
    assert stored() == {b"shop": b"4"}
    servers.broker.flushall()
    publisher.publish({"shop": 4})
    assert stored() == {}
    now[0] += REPEAT_S
    publisher.publish({"shop": 4})
    assert stored() == {b"shop": b"4"}
    publisher.publish({})
    assert stored() == {}

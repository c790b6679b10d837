"""The result cache in a real Redis, and without one."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import msgpack
import pytest
import redis

from shared.domain.clock import month_number
from shared.domain.valuation import Estimate, Extra
from shared.fields.requests import load_car_request
from shared.redis.cache import CIRCUIT_OPEN_S, EstimateCache
from shared.redis.connections import connect

ESTIMATE = Estimate(
    price_mad=150_000.0, quantiles_mad=(1.0,) * 9, model_version="v1", model_known=True
)


@pytest.fixture
def now():
    return [1_790_000_000.0]


@pytest.fixture
def cache(servers, now):
    return EstimateCache(servers.cache, 3600, lambda: now[0])


@pytest.fixture
def features(car):
    return load_car_request(car).car


def test_an_estimate_is_found_again_with_its_time_to_live(cache, features, now):
    cache.put([(features, (), ESTIMATE)])
    now[0] += 600
    hit = cache.get("v1", features, ())
    assert (hit.estimate, hit.ttl_s) == (ESTIMATE, 3000)


def test_another_version_car_or_extra_is_a_miss(cache, features, car):
    cache.put([(features, (), ESTIMATE)])
    assert cache.get("v2", features, ()) is None
    assert cache.get("v1", load_car_request(car | {"km_driven": 25001}).car, ()) is None
    assert cache.get("v1", features, (Extra.CONTRIBUTIONS,)) is None


def test_entries_expire_by_themselves(cache, features, servers):
    cache.put([(features, (), ESTIMATE)])
    (key,) = servers.cache.keys()
    assert 3590 < servers.cache.ttl(key) <= 3600


def test_the_embedded_cache_evicts_the_least_recently_used(servers):
    config = servers.cache.config_get("maxmemory*")
    assert config["maxmemory-policy"] == "allkeys-lru"
    assert int(config["maxmemory"]) > 0


def test_the_stats_carry_the_names_of_the_reference_api(cache, features):
    cache.put([(features, (), ESTIMATE)])
    stats = cache.stats()
    assert stats["enabled"] is True
    assert stats["total_predictions_cached"] == 1
    assert {
        "memory_used_mb",
        "connected_clients",
        "total_commands_processed",
        "hits",
        "misses",
        "hit_rate",
    } <= set(stats)


@pytest.fixture
def near(servers, now):
    """A cache whose process keeps two estimates itself."""
    return EstimateCache(servers.cache, 3600, lambda: now[0], near_entries=2)


def test_the_local_cache_answers_without_the_server_until_the_entry_expires(
    near, features, servers, now
):
    near.put([(features, (), ESTIMATE)])
    assert near.get("v1", features, ()).ttl_s == 3600
    servers.cache.flushall()
    now[0] += 3599
    hit = near.get("v1", features, ())
    assert (hit.estimate, hit.ttl_s) == (ESTIMATE, 1)
    assert near.get("v2", features, ()) is None, "another version is another key"
    now[0] += 1
    assert near.get("v1", features, ()) is None


def test_the_local_cache_answers_while_the_server_is_down(near, features):
    near.put([(features, (), ESTIMATE)])
    assert near.get("v1", features, ()) is not None
    near._open_circuit("get", redis.ConnectionError())
    assert near.get("v1", features, ()).estimate == ESTIMATE


def test_the_local_cache_is_bounded_counted_and_without_extras(near, car, servers):
    cars = [load_car_request(car | {"km_driven": number}).car for number in range(3)]
    near.put([(each, (), ESTIMATE) for each in cars])
    near.put([(cars[0], (Extra.CONTRIBUTIONS,), ESTIMATE)])
    hits_before = near.stats()["hits"]
    for each in (*cars, cars[2]):
        assert near.get("v1", each, ()) is not None
    assert near.get("v1", cars[0], (Extra.CONTRIBUTIONS,)) is not None
    stats = near.stats()
    assert (stats["near_entries"], stats["near_hits"]) == (2, 1)
    assert stats["hits"] == hits_before + 5
    servers.cache.flushall()
    assert near.get("v1", cars[0], ()) is None, "the least recently used has gone"
    assert near.get("v1", cars[1], ()) is not None


def test_a_read_on_a_closed_connection_is_repeated(cache, features, servers):
    cache.put([(features, (), ESTIMATE)])
    assert cache.get("v1", features, ()) is not None
    servers.cache.client_kill_filter(_type="normal", skipme=True)
    assert cache.get("v1", features, ()) is not None


def test_concurrent_reads_return_the_value_of_their_key(cache, car):
    cars = [load_car_request(car | {"km_driven": number}).car for number in range(32)]
    prices = {each: float(number) for number, each in enumerate(cars)}
    cache.put([(each, (), replace(ESTIMATE, price_mad=prices[each])) for each in cars])
    with ThreadPoolExecutor(len(cars)) as threads:
        found = list(threads.map(lambda each: cache.get("v1", each, ()), cars * 8))
    assert [hit.estimate.price_mad for hit in found] == list(prices.values()) * 8


def test_without_a_server_every_call_is_a_miss_and_the_circuit_opens(tmp_path, features, now):
    client = connect(f"unix://{tmp_path}/nobody.sock")
    attempts = []
    pool = client.connection_pool
    connect_once = pool.get_connection
    pool.get_connection = lambda: (attempts.append(1), connect_once())[1]
    dead = EstimateCache(client, 3600, lambda: now[0])
    for _ in range(5):
        assert dead.get("v1", features, ()) is None
        dead.put([(features, (), ESTIMATE)])
    assert len(attempts) == 1
    now[0] += CIRCUIT_OPEN_S
    assert dead.get("v1", features, ()) is None
    assert len(attempts) == 2
    del pool.get_connection
    assert dead.stats()["enabled"] is False
    assert dead.size() is None


def test_an_unreadable_entry_is_a_miss_until_it_is_replaced(cache, features, servers):
    cache.put([(features, (), ESTIMATE)])
    (key,) = servers.cache.keys("*")
    for nonsense in (b"\xc1garbage", b"\x01", msgpack.packb([1.0, [1]])):
        servers.cache.set(key, nonsense)
        assert cache.get("v1", features, ()) is None
    cache.put([(features, (), ESTIMATE)])
    assert cache.get("v1", features, ()) is not None


def test_setting_the_clock_back_does_not_extend_the_pause(cache, features, now):
    cache.put([(features, (), ESTIMATE)])
    cache._open_circuit("get", redis.ConnectionError())
    assert cache.get("v1", features, ()) is None
    now[0] -= 600
    assert cache.get("v1", features, ()) is not None


def test_an_estimate_of_last_month_is_a_miss_in_the_server_and_in_the_process(
    servers, features, now, monkeypatch
):
    cache = EstimateCache(servers.cache, 3600, lambda: now[0], near_entries=10)
    november = month_number("2026-11")
    monkeypatch.setattr("shared.redis.cache.current_month", lambda: november)
    cache.put([(features, (), replace(ESTIMATE, month=november))])
    assert cache.get("v1", features, ()).estimate.month == november  # now in the process as well
    monkeypatch.setattr("shared.redis.cache.current_month", lambda: november + 1)
    assert cache.get("v1", features, ()) is None
    cache.put([(features, (), replace(ESTIMATE, month=november + 1))])
    assert cache.get("v1", features, ()).estimate.month == november + 1


def test_an_estimate_that_is_stored_after_the_month_has_ended_is_not_the_new_months(
    cache, features, monkeypatch
):
    november = month_number("2026-11")
    monkeypatch.setattr("shared.redis.cache.current_month", lambda: november + 1)
    cache.put([(features, (), replace(ESTIMATE, month=november))])
    assert cache.get("v1", features, ()) is None

"""The evaluation of a soak: trends, limits and samples."""

import os
from collections.abc import Sequence

from benchmarks.processes import private_mb
from benchmarks.soak_judgement import (
    API_THREADS,
    FLOWER_WARM_EVENTS,
    LIMITS_MB,
    MAX_TTL_S,
    judge,
    limit_checks,
)
from benchmarks.soak_samples import family_of, kind_of, sample_broker
from shared.redis import keys
from tests.conftest import Servers

STEP_S = 10.0


def flatness_of(**series: Sequence[float]) -> dict[str, bool | None]:
    """Return whether each series, sampled every ten seconds, is flat."""
    count = len(next(iter(series.values())))
    samples = [
        (STEP_S * i, {name: values[i] for name, values in series.items()}) for i in range(count)
    ]
    return {line.name: line.is_flat for line in judge(samples)}


def test_a_quantity_that_rises_in_the_second_half_is_not_flat() -> None:
    assert flatness_of(leak=[100.0 + 5 * i for i in range(40)]) == {"leak": False}


def test_a_quantity_that_rises_only_in_the_first_half_is_flat() -> None:
    filled = [10.0 * i for i in range(20)] + [200.0, 201.0] * 10
    assert flatness_of(pool=filled) == {"pool": True}


def test_a_quantity_that_falls_is_flat() -> None:
    assert flatness_of(cache=[500.0 - i for i in range(40)]) == {"cache": True}


def test_a_quantity_that_is_meant_to_grow_is_not_judged() -> None:
    grown = {"audit log: size MB (grows)": [1.0 * i for i in range(40)]}
    assert set(flatness_of(**grown).values()) == {None}


def test_a_leak_of_keys_is_detected_despite_uneven_traffic() -> None:
    name, settled = "broker server: other keys", int(MAX_TTL_S / STEP_S)
    uneven = [1_000.0 + 80 * (i % 5) for i in range(2 * settled)]
    leaking = [1_000.0 + 40 * i for i in range(2 * settled)]
    assert flatness_of(**{name: uneven}) == {name: True}
    assert flatness_of(**{name: leaking}) == {name: False}


def test_a_soak_shorter_than_the_time_to_live_does_not_judge_keys() -> None:
    name = "broker server: other keys"
    assert flatness_of(**{name: [100.0 * i for i in range(10)]}) == {name: None}


def test_flower_is_judged_once_it_keeps_its_maximum_of_events() -> None:
    events, memory = "flower: events (grows)", "flower: memory MB"
    fills = [100.0 + i for i in range(20)]
    counted = [FLOWER_WARM_EVENTS * i / 20 for i in range(40)]
    then_flat = flatness_of(**{events: counted, memory: [*fills, *[120.0] * 20]})
    then_rising = flatness_of(
        **{events: counted, memory: [*fills, *(120.0 + i for i in range(20))]}
    )
    never_full = flatness_of(**{events: [1.0] * 40, memory: [100.0 + i for i in range(40)]})
    name = "flower: memory"
    assert (then_flat[name], then_rising[name], never_full[name]) == (True, False, None)


def test_the_api_is_judged_a_minute_after_its_last_new_thread() -> None:
    threads = [25.0] * 20 + [32.0] * 20
    then_flat = [90.0 + count for count in threads]
    rising = [90.0 + i for i in range(40)]
    at_last = [25.0] * 38 + [32.0] * 2
    assert flatness_of(**{API_THREADS: threads, "api: memory MB": then_flat})["api: memory"]
    assert not flatness_of(**{API_THREADS: threads, "api: memory MB": rising})["api: memory"]
    late = flatness_of(**{API_THREADS: at_last, "api: memory MB": rising})
    assert late == {"api: memory": None, "api: threads": None}


def test_a_process_above_its_limit_at_any_time_is_reported() -> None:
    name, limit = next(iter(LIMITS_MB.items()))
    kept = {"broker server: claims (kept)": 5.0, "broker server: ended batches (kept)": 1.0}
    samples = [{name: limit + 1.0} | kept, {name: limit - 1.0} | kept]
    too_large = {one.name for one in limit_checks(samples, 5, {"batch": 1}) if one.holds is False}
    assert too_large == {name.replace(" MB", "")}


def test_more_claims_than_requests_are_reported() -> None:
    kept = {"broker server: claims (kept)": 5.0, "broker server: ended batches (kept)": 1.0}
    (reported,) = (one for one in limit_checks([kept], 4, {"batch": 1}) if one.holds is False)
    assert "claims" in reported.name


def test_keys_that_outlive_a_soak_are_counted_separately(servers: Servers) -> None:
    broker = servers.broker
    for number in range(3):
        broker.hset(keys.audit_claim(str(number)), "first", "1")
        broker.expire(keys.audit_claim(str(number)), 100)
    broker.zadd(keys.OPEN_JOBS, {"one": 0, "two": 0})
    found = sample_broker(broker)
    assert found["broker server: claims (kept)"] == 3
    assert found["broker server: other keys"] == 1
    assert found["broker server: lasting keys"] == 1
    assert found["broker server: members of collections"] == 2


def test_keys_and_processes_are_classified() -> None:
    assert family_of(keys.batch("one").encode()) == "batch"
    assert family_of(keys.batch_chunks("one").encode()) == "batch-chunks"
    assert family_of(b"_kombu.binding.celery") == ""
    assert kind_of("python celery -A worker.main worker --queues bulk,control") == "bulk worker"
    assert kind_of("python carprice up") == "supervisor"


def test_private_memory_counts_the_pages_that_a_process_fills() -> None:
    before = private_mb(os.getpid())
    filled = bytearray(b"x" * 50_000_000)
    assert private_mb(os.getpid()) - before > 40, len(filled)
    assert private_mb(2**22 + 1) == 0.0

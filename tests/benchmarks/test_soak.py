"""The soak's load gets the answers it expects, and its judgement sees what grows."""

import pytest

from benchmarks.scenarios.soak_load import MIX, Load
from benchmarks.soak_samples import judge
from tests.conftest import Service, wait_until


def lines_of(**series: list[float]) -> dict[str, bool | None]:
    count = len(next(iter(series.values())))
    samples = [
        (10.0 * i, {name: values[i] for name, values in series.items()}) for i in range(count)
    ]
    return {line.name: line.is_flat for line in judge(samples)}


def test_what_rises_in_the_second_half_is_not_flat() -> None:
    assert lines_of(leak=[100.0 + 5 * i for i in range(40)]) == {"leak": False}


def test_what_fills_up_first_and_then_stays_is_flat() -> None:
    filled = [10.0 * i for i in range(20)] + [200.0, 201.0] * 10
    assert lines_of(pool=filled) == {"pool": True}


def test_what_falls_is_flat() -> None:
    assert lines_of(cache=[500.0 - i for i in range(40)]) == {"cache": True}


def test_what_is_meant_to_grow_is_not_judged() -> None:
    assert set(
        lines_of(**{"audit log: size MB (grows)": [1.0 * i for i in range(40)]}).values()
    ) == {None}


@pytest.mark.integration
def test_every_kind_of_caller_gets_what_it_should(service: Service) -> None:
    load = Load(service.url)
    kinds = {kind.replace("_", "-") for kind in MIX}
    load.start()
    try:
        wait_until(lambda: kinds <= set(load.tally.answers), 60.0, "an answer of every kind")
    finally:
        load.stop()
    assert load.tally.failures == {}
    assert set(load.tally.answers) == kinds
    assert load.tally.recorded

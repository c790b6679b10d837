"""The mixed load of a soak gets the expected answers."""

import pytest

from benchmarks.scenarios.soak_load import MIX, Load
from tests.conftest import Service, wait_until


@pytest.mark.integration
def test_every_kind_of_caller_gets_the_expected_answers(service: Service) -> None:
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

"""The external behaviour of the service is that of the snapshot."""

from collections.abc import Mapping

import pytest

from tests.behaviour.record import PARTS, difference, record

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, str]:
    """The parts of a new recording."""
    return record()


@pytest.mark.parametrize("part", PARTS)
def test_the_behaviour_is_that_of_the_snapshot(recorded: Mapping[str, str], part: str) -> None:
    if changes := difference(part, recorded[part]):
        pytest.fail(f"{part} has changed:\n{changes}", pytrace=False)

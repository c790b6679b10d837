"""The service behaves from outside as it did when the snapshot was recorded."""

from collections.abc import Mapping

import pytest

from tests.behaviour.record import PARTS, difference, record

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, str]:
    """Every part, recorded now."""
    return record()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_as_it_was(recorded: Mapping[str, str], part: str) -> None:
    if changes := difference(part, recorded[part]):
        pytest.fail(f"{part} has changed:\n{changes}", pytrace=False)

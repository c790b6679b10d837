"""The service behaves from outside as it did when the snapshot was recorded."""

from collections.abc import Mapping

import pytest

from tests.behaviour.record import PARTS, YEAR_FILE, difference, record, this_year

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        YEAR_FILE.read_text("utf-8").strip() != str(this_year()),
        reason="recorded in another year: python -m tests.behaviour.record",
    ),
]


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, str]:
    """Every part, recorded now."""
    return record()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_as_it_was(recorded: Mapping[str, str], part: str) -> None:
    if changes := difference(part, recorded[part]):
        pytest.fail(f"{part} has changed:\n{changes}", pytrace=False)

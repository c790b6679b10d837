"""Odometers that do not fit the car's age."""

import pytest

from shared.domain.car import mileage_warning_code


@pytest.mark.parametrize(
    ("year", "km_driven", "expected"),
    [
        (2025, 900_000, "km-high"),
        (2026, 100_001, "km-high"),
        (2027, 150_000, "km-high"),
        (2025, 180_000, None),
        (1995, 900_000, None),
        (2015, 150, "km-low"),
        (2015, 15_999, "km-low"),
        (2015, 16_000, None),
        (2023, 0, None),
        (2027, 0, None),
    ],
)
def test_what_is_odd_for_a_cars_age(year: int, km_driven: int, expected: str | None) -> None:
    assert mileage_warning_code(year=year, km_driven=km_driven, this_year=2026) == expected

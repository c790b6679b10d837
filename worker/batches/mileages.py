"""Finds unusual mileages in whole columns; see `shared.domain.car.mileage_warning_code`."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from shared.domain.car import (
    KM_HIGH,
    KM_LOW,
    MAX_KM_PER_YEAR,
    MIN_KM_PER_YEAR,
    NEW_CAR_MAX_AGE_YEARS,
)

MILEAGE = "km_driven"


def unusual_mileages(years: Any, km_driven: Any, this_year: int) -> Iterator[tuple[int, str, str]]:
    """Index of each car with an unusual mileage, the code of the warning, and the kilometres.

    Args:
        years: (n,) of first registration.
        km_driven: (n,) kilometres, NaN for none.
        this_year: the current year.
    """
    ages = np.maximum(this_year - years, 0)
    is_low = km_driven < MIN_KM_PER_YEAR * (ages - NEW_CAR_MAX_AGE_YEARS)
    is_unusual = is_low | (km_driven > MAX_KM_PER_YEAR * (ages + 1))
    for index in np.flatnonzero(is_unusual).tolist():
        code = KM_LOW if is_low[index] else KM_HIGH
        yield index, code, str(int(km_driven[index]))

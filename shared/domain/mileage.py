"""Odometers that do not fit the age of the car: typing errors, mostly."""

MAX_KM_PER_YEAR = 100_000
"""More than a taxi in two shifts drives."""
MIN_KM_PER_YEAR = 2_000
"""Fewer are usually thousands: "150" stands for 150,000."""
NEW_CAR_MAX_AGE_YEARS = 3
"""Cars of this age may have been driven as little as they please."""
_HIGH, _LOW = "km-high", "km-low"


def mileage_warning_code(*, year: int, km_driven: int, this_year: int) -> str | None:
    """The code of the warning that an odometer deserves; None for a usual one.

    Args:
        year: of first registration.
        km_driven: kilometres.
        this_year: the year of the question.
    """
    age = max(this_year - year, 0)
    if km_driven > MAX_KM_PER_YEAR * (age + 1):
        return _HIGH
    if km_driven < MIN_KM_PER_YEAR * (age - NEW_CAR_MAX_AGE_YEARS):
        return _LOW
    return None

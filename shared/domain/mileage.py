"""Odometers that do not fit the age of the car: typing errors, mostly."""

MOST_KM_A_YEAR = 100_000
"""More than a taxi in two shifts drives."""
LEAST_KM_A_YEAR = 2_000
"""Fewer are usually thousands: "150" stands for 150,000."""
NEW_YEARS = 3
"""Cars of this age may have been driven as little as they please."""
_HIGH, _LOW = "km-high", "km-low"


def odd_mileage(*, year: int, km_driven: int, this_year: int) -> str | None:
    """The code of the warning that an odometer deserves; None for a usual one.

    Args:
        year: of first registration.
        km_driven: kilometres.
        this_year: the year of the question.
    """
    age = max(this_year - year, 0)
    if km_driven > MOST_KM_A_YEAR * (age + 1):
        return _HIGH
    if km_driven < LEAST_KM_A_YEAR * (age - NEW_YEARS):
        return _LOW
    return None

"""The price level by month: what the same car was asked for then, in terms of another month.

An index is a mapping from month (YYYY-MM) to level, 1 at the month whose prices it is stated in.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from data.hedonic.model import FloatArray
from data.listings.files import ListingsError
from data.market.reference import MONTHS_A_YEAR, ReferenceMarket, date_curve, month_number

PriceIndex = Mapping[str, float]
_DIGITS = 4


def fitted_index(first: str, last: str, slopes: FloatArray) -> dict[str, float]:
    """The index of a fitted date curve (`data.market.reference.date_curve`), 1 at its last month.

    Args:
        first: month of the first listing.
        last: month of the last listing.
        slopes: (m,) slopes of the curve's columns; empty where the listings carry no dates.
    """
    if not len(slopes):
        return {}
    start, end = round(month_number(first)), round(month_number(last))
    months = np.arange(start, end + 1, dtype=np.float64)
    levels = np.exp(date_curve(first, last).columns(months) @ slopes)
    return {
        _month_name(number): round(float(level), _DIGITS)
        for number, level in zip(range(start, end + 1), levels, strict=True)
    }


def market_index(market: ReferenceMarket) -> dict[str, float]:
    """The published index of a market."""
    return {month: float(level) for month, (_, level) in market.price_index.items()}


def interpolate_index(index: PriceIndex, months: Iterable[str]) -> FloatArray:
    """The level in each month, (n,): between known months interpolated, outside the nearest."""
    numbers = np.array([month_number(month) for month in index])
    logs = np.log(np.array(list(index.values())))
    wanted = np.array([month_number(month) for month in months], dtype=np.float64)
    return np.asarray(np.exp(np.interp(wanted, numbers, logs)))


def restated(index: PriceIndex, month: str) -> dict[str, float]:
    """The same index, stated in the prices of another month."""
    (base,) = interpolate_index(index, [month])
    return {name: round(float(level / base), _DIGITS) for name, level in index.items()}


def splice_index(
    index: PriceIndex, reference_index: PriceIndex, month: str
) -> tuple[dict[str, float], float]:
    """An index that goes on to a later month by another one, and the prices' growth until then.

    Args:
        index: of the listings, 1 at their last month; empty where they carry no dates.
        reference_index: an index that covers that month and `month`.
        month: the month whose prices are wanted.

    Returns:
        The index, 1 at `month`, and the factor from the old level to the new one.

    Raises:
        ListingsError: `reference_index` does not reach so far.
    """
    last = max(index, default=month)
    covered = sorted(reference_index)
    if not covered or not covered[0] <= last <= covered[-1] or not last <= month <= covered[-1]:
        span = f"{covered[0]} to {covered[-1]}" if covered else "nothing"
        raise ListingsError(
            f"listings until {last} cannot be restated in prices of {month}: the reference"
            f" market's index covers {span}"
        )
    later = restated(reference_index, last)
    joined = {**index, last: 1.0, **{name: later[name] for name in covered if name > last}}
    (factor,) = interpolate_index(joined, [month])
    return restated(joined, month), float(factor)


def _month_name(number: int) -> str:
    year, month = divmod(number - 1, MONTHS_A_YEAR)
    return f"{year}-{month + 1:02d}"

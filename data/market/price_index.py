"""Price indices: the price level of equal cars by month, relative to a base month.

An index maps months (YYYY-MM) to levels; the level of the base month is 1.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from data.hedonic.model import FloatArray
from data.listings.files import ListingsError
from data.market.reference import MONTHS_A_YEAR, ReferenceMarket, date_curve, month_number
from shared.i18n.command import gettext as _

PriceIndex = Mapping[str, float]
_DIGITS = 4


def fitted_index(first: str, last: str, slopes: FloatArray) -> dict[str, float]:
    """The index of a fitted date curve (`data.market.reference.date_curve`), 1 at its last month.

    Args:
        first: month of the first listing.
        last: month of the last listing.
        slopes: (m,) coefficients of the curve's columns; empty if the listings have no dates.
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
    """Level of each month, (n,): log-linear between known months, constant outside them."""
    numbers = np.array([month_number(month) for month in index])
    logs = np.log(np.array(list(index.values())))
    wanted = np.array([month_number(month) for month in months], dtype=np.float64)
    return np.asarray(np.exp(np.interp(wanted, numbers, logs)))


def restated(index: PriceIndex, month: str) -> dict[str, float]:
    """The same index with another base month."""
    (base,) = interpolate_index(index, [month])
    return {name: round(float(level / base), _DIGITS) for name, level in index.items()}


def splice_index(
    index: PriceIndex, reference_index: PriceIndex, month: str
) -> tuple[dict[str, float], float]:
    """Extend an index to a later month by another index, and rebase it to that month.

    Args:
        index: of the listings, 1 at their last month; empty if they have no dates.
        reference_index: an index that covers that month and `month`.
        month: the new base month.

    Returns:
        The index, 1 at `month`, and the factor from the old price level to the new one.

    Raises:
        ListingsError: `reference_index` does not cover the months.
    """
    last = max(index, default=month)
    covered = sorted(reference_index)
    if not covered or not covered[0] <= last <= covered[-1] or not last <= month <= covered[-1]:
        span = f"{covered[0]} to {covered[-1]}" if covered else "nothing"
        raise ListingsError(
            _(
                "listings until {last} cannot be restated in prices of {month}: the reference "
                "market's index covers {span}"
            ).format(last=last, month=month, span=span)
        )
    later = restated(reference_index, last)
    joined = {**index, last: 1.0, **{name: later[name] for name in covered if name > last}}
    (factor,) = interpolate_index(joined, [month])
    return restated(joined, month), float(factor)


def _month_name(number: int) -> str:
    year, month = divmod(number - 1, MONTHS_A_YEAR)
    return f"{year}-{month + 1:02d}"

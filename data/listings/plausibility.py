"""Finds listings whose prices or dates cannot be what they seem: other currencies, the future."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.model import SEPARATOR, FloatArray
from data.listings.files import ListingsError
from data.listings.table import PRICE, car_columns, current_month
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _

_LEVEL_FACTOR = 2.0
"""Factor between the typical price and that of the reference market from which prices are refused:
no dirham of another country is so near, and sources of 2021 to 2026 differ by less than 1.15."""
_DOUBTFUL_FACTOR = 1.3
"""Factor from which the report doubts the prices."""
_FAR_FACTOR = 4.0
_MAX_FAR_SHARE = 0.2
"""Share of prices off by `_FAR_FACTOR` from which the listings are refused: typing errors are
fewer, so these are prices in several currencies or scales."""
_APART_FACTOR = 2.0
_DOUBTFUL_APART_SHARE = 0.05
_MAX_APART_SHARE = 0.25
"""Shares of prices off by `_APART_FACTOR` from the level of the others from which the report doubts
them, and from which they are refused; 1.2 % of 60,000 real listings are, at most 3 % of a source.
"""
_MAX_SPREAD = 0.35
"""Largest median distance from the reference, log scale, after that of the level: 0.08 among 60,000
real listings, at most 0.12 in a source, above 0.45 where prices belong to other cars."""
_MIN_KNOWN_LISTINGS = 20
_MIN_JUDGED_LISTINGS = 100
"""Fewest listings of known models that are refused because they do not follow the cars: with fewer
the report doubts them."""
_MIN_APART = 5
"""Fewest prices off by `_APART_FACTOR` that are doubted: in small files two are a large share."""
_USUAL_ERROR = 0.2
"""Standard deviation of log prices from the reference market, from which the usual correlation of
their ranks follows."""
_ERRORS = 3.0
"""Standard errors by which the share of other cars' prices must be beyond doubt."""
_DOUBTFUL_OTHERS = 0.15
_MAX_OTHERS = 0.5
"""Shares of prices that seem to be of other cars from which the report doubts them, and from which
they are refused; below 0.15 in each of 4,428 parts of the real listings: sources, months, brands,
models, years, pairs of these, and random ones of 20 to 2,000."""
_MIN_SIMULATED = 5_000
_FIRST_YEAR = 1995
"""Listings with dates are not older: there were no sites of advertisements."""
_MAX_YEARS_AHEAD = 1
"""A car is listed at most so many years before its year: the next model year is sold early."""

_SCALES = {
    mark("euros"): 1 / 10.8,
    mark("US dollars"): 1 / 9.6,
    mark("dirhams of the Emirates, or riyals"): 1 / 2.6,
    mark("Tunisian dinars"): 1 / 3.2,
    mark("rupees"): 1 / 0.11,
    mark("thousands of dirhams"): 1e-3,
    mark("ryals (20 to the dirham)"): 20.0,
    mark("centimes"): 100.0,
    mark("tens of thousands of dirhams"): 1e-4,
}
"""Price that stands for one dirham, by what prices may be stated in."""
_SCALE_TOLERANCE = 1.5


def without_impossible_months(
    months: Sequence[str | None], years: Sequence[int | None]
) -> list[str | None]:
    """Months of listing (YYYY-MM); None where one is before 1995 or before its car was built.

    Args:
        months: of listing.
        years: of the cars, None where unknown.
    """
    found = []
    for month, year in zip(months, years, strict=True):
        first = max(_FIRST_YEAR, 0 if year is None else year - _MAX_YEARS_AHEAD)
        found.append(month if month is not None and int(month[:4]) >= first else None)
    return found


def is_in_future(month: str | None, current: str | None = None) -> bool:
    """Whether a month of listing (YYYY-MM) is after the current one (default: today's)."""
    return month is not None and month > (current or current_month())


class PriceCheck(NamedTuple):
    """Prices compared with the reference market."""

    is_far: npt.NDArray[np.bool_]
    """Whether each price is less than a quarter, or more than four times, that of the market, (n,).
    Those of models that the market does not know are not."""
    doubts: tuple[str, ...]
    """What is doubtful about the prices as a whole, in sentences."""


def check_prices(name: str, listings: pd.DataFrame) -> PriceCheck:
    """Compare prices with the reference market.

    Args:
        name: of the file.
        listings: a canonical table. With fewer than 20 listings of known models nothing is checked,
            with fewer than 100 prices that do not follow the cars are doubted, not refused.

    Raises:
        ListingsError: the prices are probably not in dirhams, in several currencies, or of other
            cars.
    """
    known, ratio, expected = _log_ratio_to_reference(listings)
    is_far = np.zeros(len(listings), dtype=np.bool_)
    if len(ratio) < _MIN_KNOWN_LISTINGS:
        return PriceCheck(is_far, ())
    is_far[known] = np.abs(ratio) > np.log(_FAR_FACTOR)
    return PriceCheck(is_far, tuple(_doubts(name, ratio, expected)))


def _doubts(name: str, ratio: FloatArray, expected: FloatArray) -> Iterator[str]:
    """What is doubtful about log ratios to the reference market; raises as `check_prices`.

    Args:
        name: of the file.
        ratio: (n,) of listings of known models.
        expected: (n,) their log prices in the reference market.
    """
    typical = float(np.exp(np.median(ratio)))
    distance = np.abs(ratio - np.median(ratio))
    far = float(np.mean(np.abs(ratio) > np.log(_FAR_FACTOR)))
    apart = float(np.mean(distance > np.log(_APART_FACTOR)))
    found = _("{number} listings of models of the reference market")
    found = found.format(number=f"{len(ratio):,}")
    if not 1 / _LEVEL_FACTOR < typical < _LEVEL_FACTOR:
        raise ListingsError(
            _(
                "{name}: prices are {typical} times those of the reference market (median of "
                "{found}){guess}; convert them to dirhams"
            ).format(name=name, typical=f"{typical:.3g}", found=found, guess=_guess(typical))
        )
    if far > _MAX_FAR_SHARE:
        raise ListingsError(
            _(
                "{name}: {far} of the prices of {found} are less than a quarter of its prices "
                "or more than four times as much: they seem to be in several currencies or "
                "scales; state all of them in dirhams"
            ).format(name=name, far=f"{far:.0%}", found=found)
        )
    can_judge = len(ratio) >= _MIN_JUDGED_LISTINGS
    if (spread := float(np.median(distance))) > _MAX_SPREAD:
        reason = _(
            "the prices do not follow the cars: the median distance from the reference market is"
            " {distance} ({found}; usual is 8 to 12 %). Was a column sorted or shifted without the"
            " others?"
        ).format(distance=f"{np.expm1(spread):.0%}", found=found)
        if can_judge:
            raise ListingsError(f"{name}: {reason}")
        yield reason
    elif apart > _MAX_APART_SHARE and can_judge:
        raise ListingsError(
            _(
                "{name}: {apart} of the prices of {found} are less than half of what the others"
                " suggest or more than twice as much: they seem to be in several currencies or "
                "of other cars; state all of them in dirhams"
            ).format(name=name, apart=f"{apart:.0%}", found=found)
        )
    else:
        yield from _doubts_of_order(name, found, ratio + expected, expected)
    if not 1 / _DOUBTFUL_FACTOR < typical < _DOUBTFUL_FACTOR:
        yield _(
            "prices are {typical} times those of the reference market (median of {found}): are they"
            " asking prices in dirhams? A model trained on them quotes this level"
        ).format(typical=f"{typical:.2f}", found=found)
    if apart > _DOUBTFUL_APART_SHARE and apart * len(ratio) >= _MIN_APART:
        yield _(
            "{share} of the prices of {found} are less than half of what the others suggest or more"
            " than twice as much (usual is 1 %): another currency, or typing errors"
        ).format(share=f"{apart:.0%}", found=found)


def _doubts_of_order(
    name: str, found: str, log_price: FloatArray, expected: FloatArray
) -> Iterator[str]:
    """Whether prices belong to their cars, also where all cars are alike; raises as `check_prices`.

    Args:
        name: of the file.
        found: the listings, in words.
        log_price: (n,)
        expected: (n,) log prices in the reference market.
    """
    share, error = _share_of_other_cars(log_price, expected)
    certain = share - _ERRORS * error
    if certain <= _DOUBTFUL_OTHERS:
        return
    reason = _(
        "the prices do not follow the cars: by their order, about {share} of those of {found} are"
        " of other cars. Was a column sorted or shifted without the others, or are several"
        " currencies mixed?"
    ).format(share=f"{min(share, 1.0):.0%}", found=found)
    if certain > _MAX_OTHERS and len(log_price) >= _MIN_JUDGED_LISTINGS:
        raise ListingsError(f"{name}: {reason}")
    yield reason


def _share_of_other_cars(log_price: FloatArray, expected: FloatArray) -> tuple[float, float]:
    """Share of prices that seem to be of other cars of the file, and its standard error.

    Prices in another order correlate with the expected ones as much less as their share is. The
    usual correlation of the ranks depends on how different the cars are: it is that of the expected
    prices with normal errors. In a file of equal cars the standard error is large.

    Args:
        log_price: (n,)
        expected: (n,) log prices in the reference market.
    """
    repeated = np.tile(expected, -(-_MIN_SIMULATED // len(expected)))
    errors = np.random.default_rng(0).normal(0.0, _USUAL_ERROR, len(repeated))
    usual = max(_rank_correlation(repeated, repeated + errors), 1e-3)
    found = _rank_correlation(expected, log_price)
    return 1.0 - found / usual, 1.0 / (usual * float(np.sqrt(len(expected))))


def _rank_correlation(one: FloatArray, other: FloatArray) -> float:
    """Spearman's correlation; 0 if all values of either are equal."""
    found = pd.Series(one).corr(pd.Series(other), method="spearman")
    return 0.0 if np.isnan(found) else float(found)


def _guess(typical: float) -> str:
    """What the prices may be stated in."""
    fits = [
        scale
        for scale, factor in _SCALES.items()
        if 1 / _SCALE_TOLERANCE < typical / factor < _SCALE_TOLERANCE
    ]
    if not fits:
        return ": " + _("they are not in dirhams")
    scales = _(" or ").join(map(_, fits))
    return ": " + _("they seem to be in {scales}").format(scales=scales)


def _log_ratio_to_reference(
    listings: pd.DataFrame,
) -> tuple[npt.NDArray[np.bool_], FloatArray, FloatArray]:
    """Which listings are of known models, log price minus that of the market, and the latter."""
    # Importing these loads the compiled kernels.
    from data.hedonic.predictor import HedonicPredictor  # noqa: PLC0415
    from data.market.reference import ReferenceMarket  # noqa: PLC0415

    hedonic = ReferenceMarket.load().hedonic
    vehicles = listings["company"] + SEPARATOR + listings["model"]
    is_known = vehicles.isin(hedonic.vehicle_years).to_numpy()
    known = listings[is_known]
    if known.empty:
        return is_known, np.empty(0), np.empty(0)
    expected = HedonicPredictor(hedonic).predict(car_columns(known), len(known))
    log_price = np.log(known[PRICE].to_numpy(dtype=np.float64))
    return is_known, np.asarray(log_price - expected), np.asarray(expected)

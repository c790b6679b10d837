"""Compares two model versions on the listings that neither was trained on."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.model import FloatArray
from data.listings.files import ListingsError
from data.listings.table import LISTING_DATE
from data.market.calibrate import near_duplicate_groups
from model_store.comparison.bands import (
    Band,
    age_bands,
    brand_bands,
    price_bands,
    source_bands,
)
from model_store.comparison.training_rows import caveats, overlap_with_training
from model_store.pricing.inference import LoadedModel
from model_store.training.evaluation import PricedListings, price_listings
from shared.i18n.command import gettext as _

MIN_CARS = 30
"""Fewest distinct cars that a verdict is based on."""
CONFIDENCE = 0.95
_RESAMPLES = 2_000
_RESAMPLED_MAX_CELLS = 2_000_000
"""Rows times resamples that are held in memory at once."""
_DIFFERING_CARS = 10
_DIGITS = 2

VerdictName = Literal["better", "worse", "equal"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Errors of one version on a group of listings."""

    median_ape: float
    """Median absolute error, percent of the asking price."""
    mape: float
    """Mean absolute error, percent of the asking price."""
    bias: float
    """Median of the signed errors, percent of the asking price: above 0 if it asks too much."""
    coverage_90: float
    """Share of the asking prices inside the 90 % interval."""

    @classmethod
    def of(cls, priced: PricedListings) -> "Figures":
        """The figures of priced listings, at least one."""
        ape, signed = priced.ape, (priced.price / priced.actual - 1.0) * 100
        return cls(
            median_ape=round(float(np.median(ape)), _DIGITS),
            mape=round(float(np.mean(ape)), _DIGITS),
            bias=round(float(np.median(signed)), _DIGITS) + 0.0,
            coverage_90=round(float(np.mean(priced.is_inside)), 4),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BandFigures:
    """Errors of both versions on a group of listings."""

    name: str
    rows: int
    a: Figures
    b: Figures


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DifferingCar:
    """A listing that the versions price differently."""

    company: str
    model: str
    year: int
    asking_price_mad: float
    price_a_mad: float
    price_b_mad: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two versions on the same listings, each at the price level of the listing's month."""

    version_a: str
    version_b: str
    rows: int
    """Listings compared: those that neither version was trained on."""
    cars: int
    """Distinct cars that they are of: listings that may be of the same car count as one."""
    excluded: int
    """Listings left out because one of the versions was trained on them, or on their cars."""
    other_price: int
    """Those of them whose cars a version was trained on at another price only."""
    seen_a: int | None
    """Listings that A was trained on; None: not known, so none of them is left out."""
    seen_b: int | None
    data_as_of_a: str
    """Month whose prices A quotes."""
    months: tuple[str, str] | None
    """First and last month of the compared listings; None if they have no dates."""
    a: Figures
    b: Figures
    difference: float
    """Median error of B minus that of A, in points."""
    difference_low: float
    """Bounds of its paired bootstrap interval of 95 % confidence, over distinct cars."""
    difference_high: float
    verdict: VerdictName
    """B against A by the median error: `equal` if the interval contains 0."""
    by_price: tuple[BandFigures, ...]
    by_age: tuple[BandFigures, ...]
    by_brand: tuple[BandFigures, ...]
    by_source: tuple[BandFigures, ...]
    differing: tuple[DifferingCar, ...]
    """The cars whose two prices differ by the largest factor, the largest first."""
    notes: tuple[str, ...] = ()
    """What the figures may hide, in sentences: recalibration, and statistics of the same months."""

    def to_json(self) -> dict[str, Any]:
        """JSON ready."""
        return dataclasses.asdict(self) | {"confidence": CONFIDENCE}


def compare_models(
    a: LoadedModel,
    b: LoadedModel,
    listings: pd.DataFrame,
    *,
    seed: int = 0,
    include_seen: bool = False,
) -> Comparison:
    """Compare two versions on listings.

    Args:
        a: the version that is compared with.
        b: the version that is judged.
        listings: a canonical table (`data.listings.table`).
        seed: of the bootstrap.
        include_seen: also compare on listings that a version was trained on, which flatters it.

    Raises:
        ListingsError: listings of fewer than `MIN_CARS` cars remain.
    """
    overlaps = [overlap_with_training(each, listings) for each in (a, b)]
    is_listing, is_car = np.zeros((2, len(listings)), dtype=np.bool_)
    for seen in overlaps:
        if seen is not None and not include_seen:
            is_listing |= seen.listing
            is_car |= seen.other_price
    is_seen = is_listing | is_car
    table = listings[~is_seen].reset_index(drop=True)
    groups = near_duplicate_groups(table)
    cars = len(np.unique(groups))
    _check_size(len(listings), len(table), cars)
    priced_a, priced_b = price_listings(a, table), price_listings(b, table)
    low, high = difference_interval(priced_a.ape, priced_b.ape, seed=seed, groups=groups)
    seen_a, seen_b = (
        None if seen is None else int((seen.listing | seen.other_price).sum()) for seen in overlaps
    )
    dates = table[LISTING_DATE].dropna()

    def figures(bands: Iterable[Band]) -> tuple[BandFigures, ...]:
        return tuple(
            BandFigures(
                name=name,
                rows=len(rows),
                a=Figures.of(priced_a.take(rows)),
                b=Figures.of(priced_b.take(rows)),
            )
            for name, rows in bands
        )

    return Comparison(
        version_a=a.version.id,
        version_b=b.version.id,
        rows=len(table),
        cars=cars,
        excluded=int(is_seen.sum()),
        other_price=int((is_car & ~is_listing).sum()),
        seen_a=seen_a,
        seen_b=seen_b,
        data_as_of_a=a.version.data_as_of,
        months=(str(dates.min()), str(dates.max())) if len(dates) else None,
        a=Figures.of(priced_a),
        b=Figures.of(priced_b),
        difference=round(float(np.median(priced_b.ape) - np.median(priced_a.ape)), _DIGITS) + 0.0,
        difference_low=round(low, _DIGITS) + 0.0,
        difference_high=round(high, _DIGITS) + 0.0,
        verdict=_verdict(low, high),
        by_price=figures(price_bands(table)),
        by_age=figures(age_bands(table, max(a.version.data_as_of, b.version.data_as_of))),
        by_brand=figures(brand_bands(table)),
        by_source=figures(source_bands(table)),
        differing=_differing(table, priced_a, priced_b),
        notes=tuple(dict.fromkeys(note for each in (a, b) for note in caveats(each, table))),
    )


def difference_interval(
    ape_a: FloatArray,
    ape_b: FloatArray,
    *,
    seed: int,
    groups: npt.NDArray[np.int64] | None = None,
) -> tuple[float, float]:
    """Bounds of the difference of the median errors (B minus A) by a paired bootstrap, in points.

    Whole groups are drawn: a car that is listed five times is one observation, not five.

    Args:
        ape_a: (n,) absolute errors of A, percent.
        ape_b: (n,) those of B, for the same listings.
        seed: of the resamples.
        groups: (n,) group number of each listing, as of `near_duplicate_groups`; None: each is a
            group.
    """
    if np.array_equal(ape_a, ape_b):
        return 0.0, 0.0
    rows = len(ape_a)
    _, group_of = np.unique(np.arange(rows) if groups is None else groups, return_inverse=True)
    count = int(group_of.max()) + 1
    rng = np.random.default_rng(seed)
    batch = max(1, _RESAMPLED_MAX_CELLS // rows)
    found = []
    for first in range(0, _RESAMPLES, batch):
        size = min(batch, _RESAMPLES - first)
        drawn = rng.integers(count, size=(size, count)) + np.arange(size)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        weights = times[:, group_of]
        found.append(_weighted_medians(ape_b, weights) - _weighted_medians(ape_a, weights))
    tail = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(found), [tail, 1.0 - tail])
    return float(low), float(high)


def _weighted_medians(values: FloatArray, weights: npt.NDArray[np.int64]) -> FloatArray:
    """The median of values (n,) repeated as often as each row of weights (m, n) says, (m,)."""
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(weights[:, order], axis=1)
    total = ends[:, -1]
    # The first position whose end exceeds k holds the element number k, from 0.
    middle = [
        values[order][np.argmax(ends > place[:, None], axis=1)]
        for place in ((total - 1) // 2, total // 2)
    ]
    return np.asarray((middle[0] + middle[1]) / 2)


def _verdict(low: float, high: float) -> VerdictName:
    if high < 0:
        return "better"
    return "worse" if low > 0 else "equal"


def _check_size(given: int, left: int, cars: int) -> None:
    if cars >= MIN_CARS:
        return
    of = f" of {cars} cars" if cars < left else ""
    seen = (
        f": one of the versions was trained on {given - left} of the {given} (or recalibrated), or"
        " on their cars at other prices"
    ) * (given > left)
    raise ListingsError(
        _(
            "{left} listings{of} are too few to compare two versions on; at least "
            "{least} cars are needed{seen}"
        ).format(left=left, of=of, least=MIN_CARS, seen=seen)
    )


def _differing(
    table: pd.DataFrame, priced_a: PricedListings, priced_b: PricedListings
) -> tuple[DifferingCar, ...]:
    factor = np.abs(np.log(priced_b.price / priced_a.price))
    rows = np.argsort(-factor, kind="stable")[:_DIFFERING_CARS]
    return tuple(
        DifferingCar(
            company=str(table["company"].iloc[row]),
            model=str(table["model"].iloc[row]),
            year=int(table["year"].iloc[row]),
            asking_price_mad=round(float(priced_a.actual[row])),
            price_a_mad=round(float(priced_a.price[row])),
            price_b_mad=round(float(priced_b.price[row])),
        )
        for row in rows
        if factor[row] > 0
    )

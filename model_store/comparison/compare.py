"""Compares two model versions on the listings that neither was trained on."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from data.hedonic.model import FloatArray
from data.listings.files import ListingsError
from data.listings.table import LISTING_DATE
from model_store.comparison.bands import (
    Band,
    age_bands,
    brand_bands,
    price_bands,
    source_bands,
)
from model_store.comparison.training_rows import seen_in_training
from model_store.pricing.inference import LoadedModel
from model_store.training.evaluation import PricedListings, price_listings

MIN_ROWS = 30
"""Fewest listings that a verdict is based on."""
CONFIDENCE = 0.95
_RESAMPLES = 2_000
_RESAMPLED_MAX_CELLS = 4_000_000
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
    excluded: int
    """Listings left out because one of the versions was trained on them."""
    seen_a: int | None
    """Listings that A was trained on; None: not known, so none of them is left out."""
    seen_b: int | None
    months: tuple[str, str] | None
    """First and last month of the compared listings; None if they have no dates."""
    a: Figures
    b: Figures
    difference: float
    """Median error of B minus that of A, in points."""
    difference_low: float
    """Bounds of its paired bootstrap interval of 95 % confidence."""
    difference_high: float
    verdict: VerdictName
    """B against A by the median error: `equal` if the interval contains 0."""
    by_price: tuple[BandFigures, ...]
    by_age: tuple[BandFigures, ...]
    by_brand: tuple[BandFigures, ...]
    by_source: tuple[BandFigures, ...]
    differing: tuple[DifferingCar, ...]
    """The cars whose two prices differ by the largest factor, the largest first."""

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
        ListingsError: fewer than `MIN_ROWS` listings remain.
    """
    seen_a, seen_b = seen_in_training(a, listings), seen_in_training(b, listings)
    is_seen = np.zeros(len(listings), dtype=np.bool_)
    for seen in (seen_a, seen_b):
        if seen is not None and not include_seen:
            is_seen |= seen
    table = listings[~is_seen].reset_index(drop=True)
    _check_size(len(listings), len(table))
    priced_a, priced_b = price_listings(a, table), price_listings(b, table)
    low, high = difference_interval(priced_a.ape, priced_b.ape, seed=seed)
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
        excluded=int(is_seen.sum()),
        seen_a=None if seen_a is None else int(seen_a.sum()),
        seen_b=None if seen_b is None else int(seen_b.sum()),
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
    )


def difference_interval(ape_a: FloatArray, ape_b: FloatArray, *, seed: int) -> tuple[float, float]:
    """Bounds of the difference of the median errors (B minus A) by a paired bootstrap, in points.

    Args:
        ape_a: (n,) absolute errors of A, percent.
        ape_b: (n,) those of B, for the same listings.
        seed: of the resamples.
    """
    if np.array_equal(ape_a, ape_b):
        return 0.0, 0.0
    result = bootstrap(
        (ape_a, ape_b),
        _difference_of_medians,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=max(1, _RESAMPLED_MAX_CELLS // len(ape_a)),
        confidence_level=CONFIDENCE,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    interval = result.confidence_interval
    return float(interval.low), float(interval.high)


def _difference_of_medians(ape_a: FloatArray, ape_b: FloatArray, axis: int = -1) -> FloatArray:
    return np.asarray(np.median(ape_b, axis=axis) - np.median(ape_a, axis=axis))


def _verdict(low: float, high: float) -> VerdictName:
    if high < 0:
        return "better"
    return "worse" if low > 0 else "equal"


def _check_size(given: int, left: int) -> None:
    if left >= MIN_ROWS:
        return
    seen = f": one of the versions was trained on {given - left} of the {given}" * (given > left)
    raise ListingsError(
        f"{left} listings are too few to compare two versions on; at least {MIN_ROWS}{seen}"
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

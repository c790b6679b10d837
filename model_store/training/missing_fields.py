"""Compares the prices of listings that state fuel, gearbox and kilometres with those without them.

Each listing is priced as it is, then without each combination of the three fields. An interval is
as honest without a field as with it if both contain the asking price equally often.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.model import FloatArray
from data.listings.table import LISTING_DATE, PRICE, car_columns
from data.market.distributions import age_at_listing
from model_store.pricing.inference import LoadedModel
from model_store.training.dated_estimates import estimate_listings
from model_store.training.evaluation import listing_levels
from shared.domain.valuation import COVERAGES, QUANTILE_LEVELS

FIELDS = ("fuel", "transmission", "km_driven")
MIN_BAND_SIZE = 100
"""Fewest listings of an age or price band whose coverage is compared."""
_AGE_BANDS = (0, 2, 4, 6, 8, 10, 12, 15, 20)
_DECILES = np.arange(1, 10) / 10
_COMPARED = COVERAGES.index(0.90)

BoolArray = npt.NDArray[np.bool_]


def evaluate_missing_fields(
    model: LoadedModel, listings: pd.DataFrame, *, at_listing_level: bool = True
) -> dict[str, Any]:
    """Price the listings that state all of `FIELDS` with and without them.

    Args:
        model: any version.
        listings: a canonical table; none of `FIELDS` stated by all: no cases.
        at_listing_level: see `evaluate_model`.

    Returns:
        `rows`, then `cases`: for no field, each, each pair and all, `missing` (their names),
        `median_ape` (percent), `coverage` (share of the asking prices inside the interval, by
        nominal coverage), `difference` (coverage minus that of no missing field, points) and, at
        90 %, `by_age` and `by_price`: the differences of age bands (lower bound, years) and of
        tenths of the asking price.
    """
    table = listings[listings[list(FIELDS)].notna().all(axis=1)].reset_index(drop=True)
    if table.empty:
        return {"rows": 0, "cases": []}
    actual = table[PRICE].to_numpy(dtype=np.float64)
    levels = listing_levels(model, table) if at_listing_level else np.ones(len(table))
    bands = dict(_bands(table, actual, model.version.data_as_of))
    columns = car_columns(table)
    complete: BoolArray | None = None
    cases = []
    for missing in _combinations():
        kept = {name: cells for name, cells in columns.items() if name not in missing}
        quantiles = estimate_listings(model, table, kept).quantiles_mad * levels[:, None]
        inside = _inside(actual, quantiles)
        complete = inside if complete is None else complete
        cases.append(
            {
                "missing": list(missing),
                "median_ape": _median_ape(actual, quantiles),
                "coverage": _by_coverage(inside.mean(axis=0).round(4)),
                "difference": _by_coverage(_points(inside, complete)),
                **{name: _by_band(inside, complete, band) for name, band in bands.items()},
            }
        )
    return {"rows": len(table), "cases": cases}


def _combinations() -> Iterator[tuple[str, ...]]:
    for count in range(len(FIELDS) + 1):
        yield from combinations(FIELDS, count)


def _inside(actual: FloatArray, quantiles: FloatArray) -> BoolArray:
    """Whether each asking price lies inside each interval, (n, len(COVERAGES))."""
    found = []
    for coverage in COVERAGES:
        low = QUANTILE_LEVELS.index(round((1.0 - coverage) / 2.0, 6))
        found.append((actual >= quantiles[:, low]) & (actual <= quantiles[:, -1 - low]))
    return np.stack(found, axis=1)


def _median_ape(actual: FloatArray, quantiles: FloatArray) -> float:
    price = quantiles[:, QUANTILE_LEVELS.index(0.50)]
    return round(float(np.median(np.abs(price / actual - 1.0))) * 100, 2)


def _points(inside: BoolArray, complete: BoolArray) -> FloatArray:
    """Difference of the coverages in points."""
    points = 100 * (inside.mean(axis=0) - complete.mean(axis=0))
    return np.asarray(points.round(1) + 0.0)  # no negative zero


def _by_coverage(figures: FloatArray) -> dict[str, float]:
    return dict(zip(map(str, COVERAGES), figures.tolist(), strict=True))


def _bands(
    table: pd.DataFrame, actual: FloatArray, data_as_of: str
) -> Iterator[tuple[str, npt.NDArray[np.object_]]]:
    """Labels of the age band and of the tenth of the asking price of each listing."""
    dated = table.assign(**{LISTING_DATE: table[LISTING_DATE].fillna(data_as_of)})
    places = np.searchsorted(_AGE_BANDS, age_at_listing(dated), side="right") - 1
    yield "by_age", np.array([str(_AGE_BANDS[place]) for place in places], dtype=object)
    tenths = np.searchsorted(np.quantile(actual, _DECILES), actual, side="right") + 1
    yield "by_price", np.array([str(tenth) for tenth in tenths], dtype=object)


def _by_band(
    inside: BoolArray, complete: BoolArray, band_of: npt.NDArray[np.object_]
) -> dict[str, float]:
    """Difference of the 90 % coverage of every band with enough listings, points."""
    found = {}
    for band in sorted(set(band_of.tolist()), key=int):
        members = band_of == band
        if members.sum() >= MIN_BAND_SIZE:
            found[band] = float(_points(inside[members], complete[members])[_COMPARED])
    return found

"""Draws listings from the statistics of a market."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.hedonic.model import FIRST_YEAR, SEPARATOR, FloatArray
from data.hedonic.ordinal_encoder import NUMBERS
from data.hedonic.predictor import HedonicPredictor
from data.listings.table import (
    CORE_FIELDS,
    LISTING_DATE,
    PRICE,
    SOURCE,
    car_columns,
    listing_table,
)
from data.market.distributions import (
    AGE_BANDS,
    DETAIL_FIELDS,
    KM_QUANTILES,
    MAX_AGE,
    PATTERN_FIELDS,
    RARE,
    SPEC_FIELDS,
    Counts,
    Distributions,
    GroupDistribution,
)
from data.market.reference import ReferenceMarket
from data.market.typical_cars import YEAR_QUANTILES

ObjectArray = npt.NDArray[np.object_]
Columns = dict[str, npt.NDArray[Any]]

_SMOOTHING_LISTINGS = 25
"""Additive smoothing of the groups' frequencies: rare models are drawn often enough to train on."""
_PRICE_STEP_MAD = 500.0
_MIN_PRICE_MAD = 5_000.0
_KM_STEP = 500.0


def generate(
    market: ReferenceMarket, rows: int, *, seed: int, antithetic: bool = False, gaps: bool = True
) -> pd.DataFrame:
    """Draw `rows` listings; the same seed gives the same table to the bit.

    Args:
        market: the statistics.
        rows: number of listings.
        seed: of every draw.
        antithetic: draw half as many cars and list each twice, with the residual levels u and
            1 - u (antithetic variates). This cancels the sampling noise in the estimated effects
            and keeps the spread.
        gaps: leave out fields as often as sellers do, including `CORE_FIELDS`; False: those
            are always stated, all other draws are the same.

    Returns:
        A canonical table (`data.listings.table`). A car of a model without own statistics has a
        unique model name such as "(rare 17)".
    """
    rng = np.random.default_rng(seed)
    names = list(market.cars.groups)
    weights = np.array([group.count for group in market.cars.groups.values()]) + _SMOOTHING_LISTINGS
    cars = (rows + 1) // 2 if antithetic else rows
    drawn = rng.choice(len(names), cars, p=weights / weights.sum())
    columns = _draw_cars(market, names, drawn, rng)
    _apply_missingness(market.cars.patterns, columns, rng, kept=() if gaps else CORE_FIELDS)
    columns[SOURCE] = _full(cars, "reference market")
    table = listing_table({name: values.tolist() for name, values in columns.items()})
    levels = rng.random(cars)
    groups = [names[index] for index in drawn]
    expected = _expected_log_price(market, table)
    table[PRICE] = _prices(expected + _residuals(market, table, groups, levels))
    if not antithetic:
        return table
    antithetic_table = table.copy()
    antithetic_table[PRICE] = _prices(expected + _residuals(market, table, groups, 1.0 - levels))
    return pd.concat([table, antithetic_table], ignore_index=True).head(rows)


def _draw_cars(
    market: ReferenceMarket,
    names: Sequence[str],
    drawn: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Columns:
    """Draw all fields of the cars, without missing values."""
    rows = len(drawn)
    columns: Columns = {
        name: _full(rows, None)
        for name in ("company", "model", *SPEC_FIELDS, "edition", *DETAIL_FIELDS)
    }
    columns["year"] = np.empty(rows)
    km_factor = np.empty(rows)
    months = _draw(market.cars.months, rows, rng)
    listed = np.array([int(month[:4]) for month in months], dtype=np.float64)
    for index, members in _positions_by_label(drawn):
        group = market.cars.groups[names[index]]
        columns["company"][members], columns["model"][members] = names[index].split(SEPARATOR)
        for field in ("company", "model"):
            columns[field][members] = _unique_rare_names(columns[field][members], members)
        columns["year"][members] = _years(group, listed[members], rng)
        km_factor[members] = group.km_factor
        for field, values in _specs(group, market.cars.market, len(members), rng).items():
            columns[field][members] = values
    ages = np.clip(listed - columns["year"], 0, MAX_AGE)
    columns["km_driven"] = _kilometres(market.cars, ages, km_factor, rng)
    for band, members in _positions_by_label(np.searchsorted(AGE_BANDS, ages, side="right") - 1):
        for field in DETAIL_FIELDS:
            counts = market.cars.details[field][str(AGE_BANDS[band])]
            columns[field][members] = _draw(counts, len(members), rng)
    columns["city"] = _draw(market.cars.cities, rows, rng)
    columns[LISTING_DATE] = months
    return columns


def _positions_by_label(
    labels: npt.NDArray[np.int64],
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Each label that occurs, with its positions."""
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    for label, positions in zip(found, np.split(order, starts[1:]), strict=True):
        yield int(label), positions


def _unique_rare_names(names: ObjectArray, positions: npt.NDArray[np.int64]) -> ObjectArray:
    """Unique names for rare cars, so that they are not taken for one model."""
    return np.array(
        [
            f"{name[:-1]} {position})" if name == RARE else name
            for name, position in zip(names, positions, strict=True)
        ],
        dtype=object,
    )


def _draw(counts: Counts, size: int, rng: np.random.Generator) -> ObjectArray:
    """Values drawn by their frequency; None without published counts."""
    if not counts:
        return _full(size, None)
    weights = np.array(list(counts.values()), dtype=np.float64)
    values = np.array(list(counts), dtype=object)
    return np.asarray(values[rng.choice(len(values), size, p=weights / weights.sum())])


def _full(size: int, value: object) -> ObjectArray:
    return np.full(size, value, dtype=object)


def _years(group: GroupDistribution, listed: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Years of registration by the group's quantiles, extrapolated by one step at both ends."""
    years = group.years
    values = (2 * years[0] - years[1], *years, 2 * years[-1] - years[-2])
    drawn = np.interp(rng.random(len(listed)), (0.0, *YEAR_QUANTILES, 1.0), values)
    return np.clip(np.round(drawn), FIRST_YEAR, listed)


def _specs(
    group: GroupDistribution, market: GroupDistribution, size: int, rng: np.random.Generator
) -> dict[str, ObjectArray]:
    """Fuel, gearbox and fiscal power: drawn jointly where published, else independently."""
    together = _draw(group.specs, size, rng)
    share = sum(group.specs.values()) / group.count
    apart = rng.random(size) >= share
    columns = {"edition": _draw(group.marginals["edition"], size, rng)}
    for position, field in enumerate(SPEC_FIELDS):
        alone = _draw(group.marginals[field] or market.marginals[field], size, rng)
        values = _full(size, None)
        values[~apart] = [spec.split(SEPARATOR)[position] for spec in together[~apart]]
        values[apart] = alone[apart]
        if field in NUMBERS:
            values = np.array([v if v is None else float(v) for v in values], dtype=object)
        columns[field] = values
    return columns


def _kilometres(
    cars: Distributions, ages: FloatArray, factor: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Kilometres by the quantiles of the car's age, times its group's factor."""
    known = np.array([int(age) for age in cars.km_by_age])
    table = np.array([row[1:] for row in cars.km_by_age.values()])
    nearest = np.abs(known[None, :] - ages[:, None]).argmin(axis=1)
    levels = np.array((0.0, *KM_QUANTILES, 1.0))
    knots = np.column_stack([0.5 * table[:, 0], table, 1.25 * table[:, -1]])[nearest]
    drawn = rng.random(len(ages))
    right = np.clip(np.searchsorted(levels, drawn, side="right"), 1, len(levels) - 1)
    rows = np.arange(len(ages))
    share = (drawn - levels[right - 1]) / (levels[right] - levels[right - 1])
    km = knots[rows, right - 1] + share * (knots[rows, right] - knots[rows, right - 1])
    return np.asarray(np.round(km * factor / _KM_STEP) * _KM_STEP)


def _apply_missingness(
    patterns: Counts, columns: Columns, rng: np.random.Generator, *, kept: Sequence[str]
) -> None:
    """Remove fields by the frequencies of the patterns of stated fields."""
    rows = len(columns["year"])
    stated = _draw(patterns, rows, rng)
    for field in (field for field in PATTERN_FIELDS if field not in kept):
        absent = np.array([field not in pattern.split(",") for pattern in stated], dtype=bool)
        values = columns[field].astype(object)
        values[absent] = None
        columns[field] = values


def _expected_log_price(market: ReferenceMarket, table: pd.DataFrame) -> FloatArray:
    """Predicted log price at the price level of the listing's month."""
    index = {month: np.log(row[1]) for month, row in market.price_index.items()}
    months = np.array([index.get(month, 0.0) for month in table[LISTING_DATE]])
    expected = HedonicPredictor(market.price_model).predict(car_columns(table), len(table))
    return np.asarray(expected + months)


def _prices(log_price: FloatArray) -> FloatArray:
    """Prices rounded as sellers do."""
    steps = np.round(np.exp(log_price) / _PRICE_STEP_MAD)
    return np.asarray(np.maximum(steps * _PRICE_STEP_MAD, _MIN_PRICE_MAD))


def _residuals(
    market: ReferenceMarket,
    table: pd.DataFrame,
    groups: Sequence[str],
    drawn: FloatArray,
) -> FloatArray:
    """Residual of each price, log scale, at the drawn quantile levels."""
    spread = market.spread
    listed = np.array([int(month[:4]) for month in table[LISTING_DATE]], dtype=np.float64)
    ages = np.clip(listed - table["year"].to_numpy(dtype=np.float64), 0, MAX_AGE)
    bands = np.searchsorted(AGE_BANDS, ages, side="right") - 1
    factors = np.array([_figure_or_default(spread.ages, str(lowest), 1.0) for lowest in AGE_BANDS])
    fallback = float(np.median([row[1] for row in spread.groups.values()]))
    deviation = np.array([_figure_or_default(spread.groups, group, fallback) for group in groups])
    rare = np.array([group.endswith(RARE) for group in groups])
    common = _standard(drawn, spread.levels, spread.shape)
    standard = np.where(rare, _standard(drawn, spread.levels, spread.rare_shape), common)
    return np.asarray(standard * deviation * factors[bands])


def _standard(drawn: FloatArray, levels: Sequence[float], shape: Sequence[float]) -> FloatArray:
    """Standardised residuals at the drawn levels; the extremes are 1.5 times the outer ones."""
    return np.interp(drawn, (0.0, *levels, 1.0), (1.5 * shape[0], *shape, 1.5 * shape[-1]))


def _figure_or_default(rows: Mapping[str, Sequence[float]], name: str, default: float) -> float:
    """The figure of a [count, figure] row, or the default."""
    return rows[name][1] if name in rows else default

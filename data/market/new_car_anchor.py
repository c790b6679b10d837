"""Moves the prices of young cars of a price model towards the prices of new cars.

Only published statistics are used: the price model, the distributions of the cars and the levels
of new cars. Nothing about the few young listings of a model can be learnt from the result.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from data.hedonic.model import (
    LAST_YEAR,
    SEPARATOR,
    VEHICLE,
    Cell,
    FloatArray,
    HedonicModel,
    Term,
    split_vehicle,
)
from data.market.distributions import (
    KM_QUANTILES,
    Distributions,
    GroupDistribution,
)
from data.market.kind_trend import KindTrend
from data.market.new_cars import NewCarLevel, NewCars

LAST_ANCHORED_AGE = 7
"""Age, years, from which prices are those of the listings alone."""
_FULL_AGE = 1
"""Up to this age a level counts fully; from here its weight falls linearly to zero."""
_PRIOR_LISTINGS = 2.0
"""Number of listings of a model within a year that its level counts as."""
_MAX_GAP = np.log(2.0)
"""Log distance between the model's own listings and level times share from which the level is that
of another car under the same name, and is not used."""
_MAX_STEP = 0.2
"""Largest rise of the log price in a year that the levels may cause."""
AUTOMATIC_FROM_MAD = 200_000
"""Level from which the usual new car has an automatic gearbox; below, half of them have."""
_MAX_DISTANCE = np.log(1.25)
"""Log distance between the price of the usual car and level times share up to which they agree."""
_LAST_TOLD_AGE = 3
"""Age, years, up to which the price when new tells the price of a car near which no listing is: the
90 % interval of such cars contains 88 % at ages of one to three years, 60 % above."""
_DIGITS = 4
_FUEL_TERM = Term(name="vehicle_x_fuel_x_year", field="year", keys=(VEHICLE, "fuel", "year"))

_Kinds = Mapping[tuple[str | None, str | None, str | None], float]
"""Weight by fuel, gearbox and fiscal power."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Anchor:
    """One level of new cars: that of a model, or of its versions of one fuel."""

    vehicle: str
    fuel: str | None
    level_mad: int
    kinds: _Kinds
    group: GroupDistribution | None
    """Its listings; None for a model without statistics of its own."""
    share: float = 1.0
    """Share of the listings that have the fuel."""


def with_new_cars(
    model: HedonicModel,
    new_cars: NewCars,
    cars: Distributions,
    kind_trend: KindTrend,
    *,
    as_of: int,
) -> HedonicModel:
    """A copy of `model` that prices young cars with regard to the prices of new ones.

    Shifts are added to the effects by model and year, and differences from them by fuel. A model
    that `model` does not know gets an effect by which its usual car is asked for the usual share of
    its level at each age.

    Args:
        model: of the prices of used cars.
        new_cars: levels, and shares by age.
        cars: the distributions of the listings.
        kind_trend: how their fuels and gearboxes change with the year.
        as_of: year of the price level that `model` quotes, at which ages are counted. The prices of
            new cars may be of a later one.
    """
    if new_cars.as_of is None or not new_cars.ratios:
        return model
    by_year, by_vehicle = term_name(model, (VEHICLE, "year")), term_name(model, (VEHICLE,))
    if by_year is None or by_vehicle is None:
        return model
    levels = {
        name: level
        for name, level in new_cars.levels.items()
        if name not in model.vehicle_years or name in cars.groups
    }
    anchors = [
        anchor
        for name, level in levels.items()
        for anchor in _anchors(name, level, cars.groups.get(name), kind_trend)
        if (name in model.vehicle_years) == (anchor.group is not None)
    ]
    if not anchors:
        return model
    years = np.arange(as_of - LAST_ANCHORED_AGE - 1, LAST_YEAR + 1)
    expected = _expected(model, anchors, years, as_of, cars)
    log_ratios = new_cars.log_ratios(np.maximum(as_of - years, 0).astype(np.float64))
    cells = {name: dict(table) for name, table in model.cells.items()} | {_FUEL_TERM.name: {}}
    known_years = dict(model.vehicle_years)
    of_vehicle: dict[str, FloatArray] = {}
    for anchor, log_price in zip(anchors, expected, strict=True):
        wanted = np.log(anchor.level_mad) + log_ratios
        shift = _shift(anchor, years, as_of, log_price, wanted)
        if anchor.group is None:
            effect = round(float(shift[0]), _DIGITS)
            versions = new_cars.levels[anchor.vehicle].versions
            cells[by_vehicle][anchor.vehicle] = Cell(versions, (effect,))
            known_years[anchor.vehicle] = float(as_of - 1)
            shift = shift - effect
        if anchor.fuel is None:
            of_vehicle[anchor.vehicle] = shift
            _add(cells[by_year], anchor.vehicle, years, shift)
        else:
            key = f"{anchor.vehicle}{SEPARATOR}{anchor.fuel}"
            _add(cells[_FUEL_TERM.name], key, years, shift - of_vehicle[anchor.vehicle])
    from data.hedonic.ageing import with_rising_prices  # noqa: PLC0415 - loads compiled kernels

    anchored = dataclasses.replace(
        model, terms=(*model.terms, _FUEL_TERM), cells=cells, vehicle_years=known_years
    )
    return with_rising_prices(anchored)


def years_of_new_cars(
    model: HedonicModel,
    new_cars: NewCars,
    cars: Distributions,
    kind_trend: KindTrend,
    *,
    as_of: int,
) -> dict[str, int]:
    """First year from which the price when new tells the price of a used car, by vehicle.

    It does as long as the price of the usual car agrees with level times share, from the newest
    year back to the age of three at most. A vehicle whose listings contradict its level has no such
    year.

    Args:
        model: of `with_new_cars`.
        new_cars: see `with_new_cars`.
        cars: see `with_new_cars`.
        kind_trend: see `with_new_cars`.
        as_of: see `with_new_cars`.
    """
    anchors = [
        next(iter(_anchors(name, level, cars.groups.get(name), kind_trend)))
        for name, level in new_cars.levels.items()
        if name in model.vehicle_years
    ]
    if not anchors or not new_cars.ratios:
        return {}
    years = np.arange(as_of, as_of - _LAST_TOLD_AGE - 1, -1)
    log_ratios = new_cars.log_ratios((as_of - years).astype(np.float64))
    found = {}
    for anchor, log_price in zip(
        anchors, _expected(model, anchors, years, as_of, cars), strict=True
    ):
        distance = np.abs(log_price - np.log(anchor.level_mad) - log_ratios)
        agree = int(np.logical_and.accumulate(distance < _MAX_DISTANCE).sum())
        if agree:
            found[anchor.vehicle] = int(years[agree - 1])
    return found


def _anchors(
    name: str, level: NewCarLevel, group: GroupDistribution | None, kind_trend: KindTrend
) -> Iterable[_Anchor]:
    """The level of a model, then those of its fuels."""
    power = None if level.fiscal_power_cv is None else str(level.fiscal_power_cv)
    gearboxes = ("Automatic", "Manual")[: 1 if level.level_mad >= AUTOMATIC_FROM_MAD else 2]
    kinds: _Kinds = {(level.fuel, gearbox, power): 1.0 for gearbox in gearboxes}
    if group is not None:
        kinds = _young_kinds(group, kind_trend) or kinds
    yield _Anchor(vehicle=name, fuel=None, level_mad=level.level_mad, kinds=kinds, group=group)
    if group is None:
        return
    for fuel, (_, level_mad) in level.fuels.items():
        of_fuel = {kind: weight for kind, weight in kinds.items() if kind[0] == fuel}
        share = group.marginals["fuel"].get(fuel, 0) / group.count
        yield _Anchor(
            vehicle=name,
            fuel=fuel,
            level_mad=level_mad,
            kinds=of_fuel or {(fuel, gearbox, power): 1.0 for gearbox in gearboxes},
            group=group,
            share=share,
        )


def _young_kinds(group: GroupDistribution, kind_trend: KindTrend) -> _Kinds:
    """The kinds of a model's listings, weighted as among cars of the last years."""
    found: dict[tuple[str | None, str | None, str | None], float] = {}
    for spec, count in group.specs.items():
        fuel, gearbox, power = spec.split(SEPARATOR)
        bands = kind_trend.get(f"{fuel}{SEPARATOR}{gearbox}", {})
        latest = max(bands, key=int, default=None)
        found[fuel, gearbox, power] = count * (1.0 if latest is None else bands[latest][1])
    fuels, gearboxes = group.marginals["fuel"], group.marginals["transmission"]
    if not found and fuels and gearboxes:
        found[
            max(fuels, key=fuels.__getitem__), max(gearboxes, key=gearboxes.__getitem__), None
        ] = 1
    return found


def _expected(
    model: HedonicModel,
    anchors: Iterable[_Anchor],
    years: np.ndarray,
    as_of: int,
    cars: Distributions,
) -> list[FloatArray]:
    """Mean log price (years,) of the usual cars of each anchor, by `model`."""
    from data.hedonic.predictor import HedonicPredictor  # noqa: PLC0415 - loads compiled kernels

    usual_km = [row[1 + KM_QUANTILES.index(0.50)] for row in cars.km_by_age.values()]
    ages = [float(age) for age in cars.km_by_age]
    columns: dict[str, list[Any]] = {
        field: []
        for field in ("company", "model", "fuel", "transmission", "fiscal_power_cv", "km_driven")
    }
    columns["year"] = []
    weights = []
    for anchor in anchors:
        company, model_name = split_vehicle(anchor.vehicle)
        factor = 1.0 if anchor.group is None else anchor.group.km_factor
        km = np.interp(as_of - years, ages, usual_km) * factor if ages else years * np.nan
        weights.append(np.array(list(anchor.kinds.values()), dtype=np.float64))
        for fuel, gearbox, power in anchor.kinds:
            columns["company"] += [company] * len(years)
            columns["model"] += [model_name] * len(years)
            columns["fuel"] += [fuel] * len(years)
            columns["transmission"] += [gearbox] * len(years)
            columns["fiscal_power_cv"] += [np.nan if power is None else float(power)] * len(years)
            columns["km_driven"] += km.tolist()
            columns["year"] += years.tolist()
    prices = HedonicPredictor(model).predict(columns, len(columns["year"]))
    ends = np.cumsum([len(each) for each in weights])[:-1]
    blocks = np.split(prices.reshape(-1, len(years)), ends)
    return [
        np.asarray(np.average(block, axis=0, weights=weight))
        for block, weight in zip(blocks, weights, strict=True)
    ]


def _shift(
    anchor: _Anchor, years: np.ndarray, as_of: int, log_price: FloatArray, wanted: FloatArray
) -> FloatArray:
    """Shift of the log price (years,).

    Of a listed model it is zero in the first year; a newer car is never cheaper, and at most
    `_MAX_STEP` dearer on account of the level.
    """
    gap, group = wanted - log_price, anchor.group
    if group is None:
        return np.asarray(gap)
    usual = np.clip(group.years[-1], years[0], as_of)
    if abs(np.interp(usual, years, gap)) > _MAX_GAP:
        return np.zeros(len(years))
    faded = (LAST_ANCHORED_AGE + 1 - (as_of - years)) / (LAST_ANCHORED_AGE + 1 - _FULL_AGE)
    near = anchor.share * group.listings_near(np.minimum(years, as_of))
    weight = np.clip(faded, 0.0, 1.0) * _PRIOR_LISTINGS / (_PRIOR_LISTINGS + near)
    shifted = log_price + weight * gap
    found = log_price.copy()
    for index in range(1, len(years)):
        own_step = log_price[index] - log_price[index - 1]
        highest = found[index - 1] + max(own_step, _MAX_STEP)
        found[index] = max(found[index - 1], min(shifted[index], highest))
    return np.asarray(found - log_price)


def _add(cells: dict[str, Cell], key: str, years: np.ndarray, shift: FloatArray) -> None:
    """Add the shifts to the cells of a key by year."""
    for year, each in zip(years, shift, strict=True):
        cell = cells.get(name := f"{key}{SEPARATOR}{year}", Cell(0, (0.0,)))
        value = round(float(cell.coefficients[0] + each), _DIGITS)
        if value or cell.count:
            cells[name] = Cell(cell.count, (value,))


def term_name(model: HedonicModel, keys: tuple[str, ...]) -> str | None:
    """Name of the model's constant effect of a cell of these keys."""
    return next((t.name for t in model.terms if t.keys == keys and t.curve is None), None)

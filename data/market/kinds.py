"""Which fuels and gearboxes the cars of a model have, by year of registration.

A kind is a fuel and a gearbox. Published are, for each group of listings, the number of those
that state both, and of those of each fuel, gearbox and kind with at least `MIN_CELL_COUNT`; of all
and of each kind also the quantiles of the years. Of a kind with fewer listings the share of the
group is published, if it has a few. `listed_kinds` computes from them the expected number of
listings by kind and year.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from data.hedonic.model import (
    FIRST_YEAR,
    LAST_YEAR,
    SEPARATOR,
    VEHICLE,
    Cell,
    FloatArray,
    HedonicModel,
    PiecewiseLinear,
    Term,
    split_vehicle,
)
from data.market.distributions import MIN_CELL_COUNT, RARE, group_names
from data.market.new_car_anchor import AUTOMATIC_FROM_MAD, term_name
from data.market.new_cars import NewCarLevel, NewCars
from data.market.typical_cars import YEAR_QUANTILES
from shared.domain.car import Fuel, Transmission

KindYears = Mapping[str, Mapping[str, Sequence[float]]]
"""[listings, years at `YEAR_QUANTILES`...] by group and kind (`fuel|gearbox`, `|` for all), and
[listings] by fuel (`fuel|`) and by gearbox (`|gearbox`)."""
KindShares = Mapping[str, Mapping[str, Sequence[float]]]
"""[listings of the group, share of them] by group and kind with fewer than `MIN_CELL_COUNT`."""
KindCounts = dict[str, dict[str, dict[str, float]]]
"""Number of listings by vehicle, kind and year."""

_ALL = SEPARATOR
_AUTOMATIC_FUELS = frozenset({Fuel.ELECTRIC, Fuel.HYBRID})
"""Fuels whose new cars have no gears to shift by hand."""
_STATED_POWER = Term(
    name="stated_power",
    field="fiscal_power_cv",
    keys=(VEHICLE,),
    # 1 for every car that states its power, 0 for the others.
    curve=PiecewiseLinear(variable="fiscal_power_cv", knots=(0.0, 1.0), origin=0.0),
)
_DIGITS_OF_EFFECTS = 4
_MIN_SHARED = 3
"""Fewest listings of a kind of which the share is published: none tells of a single car."""
_MIN_SHARE = 0.02
"""Smaller shares count in no price."""
_MIN_COUNT = 0.01
"""Smaller expected numbers are left out."""
_FITTING_STEPS = 50
_KNOWN_SHARE = 0.8
"""Share of a model's listings with a published fuel from which its kinds are known."""
_DIGITS = 3


def measure_kinds(listings: pd.DataFrame) -> KindYears:
    """Count the listings that state fuel and gearbox by group and kind.

    Args:
        listings: a canonical table.
    """
    table = _stated(listings)
    found: dict[str, dict[str, list[float]]] = {}
    for group, cars in table.groupby("group", sort=True):
        fuel, gearbox = cars["fuel"] + SEPARATOR, SEPARATOR + cars["transmission"]
        rows: dict[str, list[float]] = {_ALL: _row(cars["year"])}
        for halves in (fuel, gearbox):
            rows |= {str(name): [int(size)] for name, size in halves.value_counts().items()}
        kinds = cars["year"].groupby(cars["fuel"] + gearbox)
        rows |= {str(name): _row(years) for name, years in kinds}
        rows = {name: row for name, row in sorted(rows.items()) if row[0] >= MIN_CELL_COUNT}
        if rows:
            found[str(group)] = rows
    return found


def measure_kind_shares(listings: pd.DataFrame) -> KindShares:
    """Shares of the kinds that are too rare in their group for a count of their own.

    Args:
        listings: a canonical table. Shares of less than 2 %, of one or two listings, and of groups
            with fewer than `MIN_CELL_COUNT` that state their kind are left out.
    """
    table = _stated(listings)
    found: dict[str, dict[str, list[float]]] = {}
    for group, cars in table.groupby("group", sort=True):
        if len(cars) < MIN_CELL_COUNT:
            continue
        counts = (cars["fuel"] + SEPARATOR + cars["transmission"]).value_counts().sort_index()
        for kind, count in counts[counts.between(_MIN_SHARED, MIN_CELL_COUNT - 1)].items():
            if (share := round(count / len(cars), _DIGITS)) >= _MIN_SHARE:
                found.setdefault(str(group), {})[str(kind)] = [len(cars), share]
    return found


def _stated(listings: pd.DataFrame) -> pd.DataFrame:
    """The listings that state fuel and gearbox, with their group."""
    known = listings[["fuel", "transmission"]].notna().all(axis=1)
    return listings[known].assign(group=group_names(listings)[known])


def _row(years: pd.Series) -> list[float]:
    return [len(years), *np.quantile(years, YEAR_QUANTILES).round(_DIGITS).tolist()]


def listed_kinds(kinds: KindYears, shares: KindShares) -> KindCounts:
    """Expected number of listings by vehicle, kind and year.

    Kinds of which only the share is known have the years of all listings that are left. The other
    listings whose kind is not published have the fuels and gearboxes that are missing from the
    published kinds. Where the counts leave no listing for a fuel or a gearbox, it has none here.
    The rare models of a company count as `company|`, those of all as `|`.
    """
    found: KindCounts = {}
    market = _market_counts(kinds)
    for group, rows in kinds.items():
        vehicle = _vehicle(group)
        for kind, by_year in _kinds_of_group(rows, shares.get(group, {}), market):
            _add(found, vehicle, kind, by_year)
    return found


def new_car_kinds(new_cars: NewCars, listed: KindCounts) -> KindCounts:
    """Number of versions of new cars by vehicle, kind and year.

    Args:
        new_cars: whose gearboxes are not known.
        listed: kinds of the listings, whose gearboxes are taken for those of the new cars.
    """
    found: KindCounts = {}
    if new_cars.as_of is None:
        return found
    year = np.arange(FIRST_YEAR, LAST_YEAR + 1) == int(new_cars.as_of[:4])
    for vehicle, level in new_cars.levels.items():
        for fuel, versions, level_mad in _new_fuels(level):
            gearboxes = _listed_gearboxes(listed.get(vehicle, {}), fuel)
            for gearbox, share in (gearboxes or new_car_gearboxes(fuel, level_mad)).items():
                _add(found, vehicle, fuel + SEPARATOR + gearbox, versions * share * year)
    return found


def known_vehicles(kinds: KindYears, new_cars: NewCars, shares: KindShares) -> frozenset[str]:
    """The models of which nearly all fuels and gearboxes are published.

    A kind that `listed_kinds` lacks is one that they do not have; of other models it is not known.
    """
    found = {vehicle for vehicle, level in new_cars.levels.items() if any(_new_fuels(level))}
    for group, rows in kinds.items():
        if RARE in group or _ALL not in rows:
            continue
        fuels = sum(rows[_half(fuel, 0)][0] for fuel in Fuel if _half(fuel, 0) in rows)
        # Of two gearboxes, the other is what is left.
        has_gearbox = any(_half(gearbox, 1) in rows for gearbox in Transmission)
        of_kinds = sum(rows[kind][0] for kind in rows if _is_kind(kind))
        of_kinds += sum(share * rows[_ALL][0] for _, share in shares.get(group, {}).values())
        if max(fuels if has_gearbox else 0.0, of_kinds) >= _KNOWN_SHARE * rows[_ALL][0]:
            found.add(group)
        else:
            found.discard(group)
    return frozenset(found)


def new_car_gearboxes(fuel: str | None, level_mad: float) -> dict[str, float]:
    """Usual shares of the gearboxes of new cars of a model that is not listed."""
    if fuel in _AUTOMATIC_FUELS or level_mad >= AUTOMATIC_FROM_MAD:
        return {str(Transmission.AUTOMATIC): 1.0}
    return {str(gearbox): 1.0 / len(Transmission) for gearbox in Transmission}


def with_new_car_fields(
    model: HedonicModel, new_cars: NewCars, listed: Collection[str]
) -> HedonicModel:
    """A copy of `model` that knows the fuels, gearboxes and fiscal power of the new cars.

    Fuels and gearboxes get cells without an effect. A model that is not listed has an effect by
    which its usual new car, with its fiscal power, has the right price: a car that does not state
    the power gets the effect of that power, one that does only the difference from it.

    Args:
        model: with effects of all models of new cars.
        new_cars: their levels.
        listed: the models that are known by listings.
    """
    by_vehicle, by_fuel, by_gearbox = (
        term_name(model, keys)
        for keys in ((VEHICLE,), (VEHICLE, "fuel"), (VEHICLE, "transmission"))
    )
    levels = {name: each for name, each in new_cars.levels.items() if name in model.vehicle_years}
    if not levels or by_vehicle is None or by_fuel is None or by_gearbox is None:
        return model
    cells = {name: dict(table) for name, table in model.cells.items()}
    for vehicle, level in levels.items():
        for fuel, versions, _ in _new_fuels(level):
            cells[by_fuel].setdefault(f"{vehicle}{SEPARATOR}{fuel}", Cell(versions, (0.0,)))
            for gearbox in Transmission if vehicle not in listed else ():
                if fuel not in _AUTOMATIC_FUELS or gearbox is Transmission.AUTOMATIC:
                    key = f"{vehicle}{SEPARATOR}{gearbox}"
                    cells[by_gearbox].setdefault(key, Cell(versions, (0.0,)))
    powered = {
        vehicle: level
        for vehicle, level in levels.items()
        if vehicle not in listed and level.fiscal_power_cv is not None
    }
    effects = zip(powered.items(), _power_effects(model, powered), strict=True)
    cells[_STATED_POWER.name] = {}
    for (vehicle, level), effect in effects:
        known = cells[by_vehicle][vehicle]
        shifted = round(known.coefficients[0] + effect, _DIGITS_OF_EFFECTS)
        cells[by_vehicle][vehicle] = Cell(known.count, (shifted,))
        cells[_STATED_POWER.name][vehicle] = Cell(level.versions, (-effect,))
    return dataclasses.replace(model, terms=(*model.terms, _STATED_POWER), cells=cells)


def _power_effects(model: HedonicModel, levels: Mapping[str, NewCarLevel]) -> list[float]:
    """Effect of the fiscal power of the new cars of each model on their log price."""
    from data.hedonic.predictor import HedonicPredictor  # noqa: PLC0415 - loads compiled kernels

    if not levels:
        return []
    companies, models = zip(*map(split_vehicle, levels), strict=True)
    columns: dict[str, list[Any]] = {
        "company": list(companies) * 2,
        "model": list(models) * 2,
        "fuel": [level.fuel for level in levels.values()] * 2,
        "year": [LAST_YEAR] * (2 * len(levels)),
        "fiscal_power_cv": [float(level.fiscal_power_cv or 0) for level in levels.values()]
        + [np.nan] * len(levels),
    }
    stated, missing = np.split(HedonicPredictor(model).predict(columns, 2 * len(levels)), 2)
    effects = np.round(stated - missing, _DIGITS_OF_EFFECTS)
    return [float(effect) for effect in effects]


def _new_fuels(level: NewCarLevel) -> Iterator[tuple[str, int, int]]:
    """Fuel, number of versions and level of the new cars of a model."""
    for fuel, (versions, level_mad) in level.fuels.items():
        yield fuel, versions, level_mad
    if not level.fuels and level.fuel:
        yield level.fuel, level.versions, level.level_mad


def _market_counts(kinds: KindYears) -> dict[str, float]:
    """Listings of all groups by half of a kind (`fuel|`, `|gearbox`)."""
    found: dict[str, float] = {}
    for rows in kinds.values():
        for name, row in rows.items():
            found[name] = found.get(name, 0.0) + row[0]
    return found


def _kinds_of_group(
    rows: Mapping[str, Sequence[float]],
    shares: Mapping[str, Sequence[float]],
    market: Mapping[str, float],
) -> Iterator[tuple[str, FloatArray]]:
    """Each kind that a group may have, and its listings by year."""
    if _ALL not in rows:
        return
    everything = _by_year(rows[_ALL])
    published = {name: _by_year(row) for name, row in rows.items() if _is_kind(name)}
    yield from published.items()
    counts = {name: rows[name][0] for name in published}
    rest = rows[_ALL][0] - sum(counts.values())
    if rest <= 0:
        return
    left = np.maximum(everything - sum(published.values(), np.zeros_like(everything)), 0.0)
    by_year = left / left.sum() if left.any() else everything / everything.sum()
    shared = {kind: share * rows[_ALL][0] for kind, (_, share) in shares.items()}
    counts |= shared
    fuels = _unpublished(rows, list(map(str, Fuel)), counts, market, position=0)
    gearboxes = _unpublished(rows, list(map(str, Transmission)), counts, market, position=1)
    names = [[fuel + SEPARATOR + gearbox for gearbox in gearboxes] for fuel in fuels]
    possible = np.array([[float(name not in counts) for name in row] for row in names])
    others = _with_margins(possible, _floats(fuels), _floats(gearboxes))
    for kind, count in shared.items():
        yield kind, count * by_year
    for kind, count in zip(chain.from_iterable(names), others.ravel().tolist(), strict=True):
        if count:
            yield kind, count * by_year


def _with_margins(possible: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """A table with given sums of rows and columns, by iterative proportional fitting.

    Args:
        possible: (m, n) 0 for cells that stay empty, else 1.
        rows: (m,) sums; if they cannot all be met, the columns' are.
        columns: (n,) sums.
    """
    table = possible * rows[:, None]
    for _ in range(_FITTING_STEPS):
        table *= _ratios(rows, table.sum(axis=1))[:, None]
        table *= _ratios(columns, table.sum(axis=0))
    return np.asarray(table)


def _floats(counts: Mapping[str, float]) -> FloatArray:
    return np.array(list(counts.values()), dtype=np.float64)


def _ratios(wanted: FloatArray, found: FloatArray) -> FloatArray:
    return np.divide(wanted, found, out=np.zeros_like(wanted), where=found > 0)


def _unpublished(
    rows: Mapping[str, Sequence[float]],
    values: Sequence[str],
    counts: Mapping[str, float],
    market: Mapping[str, float],
    *,
    position: int,
) -> dict[str, float]:
    """Listings by fuel (position 0) or gearbox (1) that are of no kind with known `counts`.

    Listings whose fuel or gearbox is not published either have the others, as in the market.
    """
    names = {value: _half(value, position) for value in values}
    of_kinds = dict.fromkeys(values, 0.0)
    for kind, count in counts.items():
        of_kinds[kind.split(SEPARATOR)[position]] += count
    left = {
        value: max(rows[name][0] - of_kinds[value], 0.0)
        for value, name in names.items()
        if name in rows
    }
    others = {value: market.get(name, 0.0) for value, name in names.items() if value not in left}
    missing = rows[_ALL][0] - sum(rows[names[value]][0] for value in left)
    missing = max(missing - sum(of_kinds[value] for value in others), 0.0)
    total = max(sum(others.values()), 1.0)
    return {**left, **{value: missing * count / total for value, count in others.items()}}


def _is_kind(name: str) -> bool:
    """Whether a row is of a fuel and a gearbox."""
    return not name.startswith(SEPARATOR) and not name.endswith(SEPARATOR)


def _half(value: str, position: int) -> str:
    return SEPARATOR + value if position else value + SEPARATOR


def _by_year(row: Sequence[float]) -> FloatArray:
    """Number of listings by year (years,) from [listings, years at the quantiles...].

    The tenths outside the quantiles are spread as far as the next quantile is away.
    """
    count, first, second, *_, before, last = row
    quantiles = np.array([2 * first - second - 0.5, *row[1:], 2 * last - before + 0.5])
    # Equal quantiles: a year with many listings.
    quantiles[1:-1] += np.linspace(-0.45, 0.45, len(YEAR_QUANTILES))
    quantiles = np.maximum.accumulate(quantiles)
    edges = np.arange(FIRST_YEAR, LAST_YEAR + 2) - 0.5
    shares = np.interp(edges, quantiles, (0.0, *YEAR_QUANTILES, 1.0))
    shares[0], shares[-1] = 0.0, 1.0
    return np.asarray(count * np.diff(shares))


def _listed_gearboxes(
    kinds: Mapping[str, Mapping[str, float]], fuel: str
) -> dict[str, float] | None:
    """Shares of the gearboxes of a fuel among a model's listings, or of all of them; None: none."""
    if fuel in _AUTOMATIC_FUELS:
        return None
    for wanted in (fuel + SEPARATOR, ""):
        counts: dict[str, float] = {}
        for kind, by_year in kinds.items():
            if kind.startswith(wanted):
                gearbox = kind.split(SEPARATOR)[1]
                counts[gearbox] = counts.get(gearbox, 0.0) + sum(by_year.values())
        if total := sum(counts.values()):
            return {gearbox: count / total for gearbox, count in counts.items()}
    return None


def _vehicle(group: str) -> str:
    """The vehicle that a group's listings count for."""
    company, model = group.split(SEPARATOR)
    return f"{'' if company == RARE else company}{SEPARATOR}{'' if model == RARE else model}"


def _add(found: KindCounts, vehicle: str, kind: str, by_year: FloatArray) -> None:
    cells = found.setdefault(vehicle, {}).setdefault(kind, {})
    for place in np.flatnonzero(by_year >= _MIN_COUNT).tolist():
        year = str(FIRST_YEAR + place)
        cells[year] = round(cells.get(year, 0.0) + float(by_year[place]), _DIGITS)
    if not cells:
        del found[vehicle][kind]

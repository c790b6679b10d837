"""Reads prices of new cars and measures the levels and shares of `data.market.new_cars`."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data.hedonic.model import SEPARATOR, FloatArray, HedonicModel
from data.hedonic.predictor import HedonicPredictor
from data.listings.cells import money, parse_month
from data.listings.files import ListingsError
from data.listings.table import LISTING_DATE, PRICE, car_columns
from data.market.distributions import KM_QUANTILES, MIN_CELL_COUNT, age_at_listing
from data.market.new_cars import (
    ANCHORED_AGES,
    LEVEL_STEP_MAD,
    MIN_VERSIONS,
    NewCarLevel,
    NewCars,
)
from data.market.reference import month_number
from shared.domain.names import fold
from shared.domain.reading import NamesMissing
from shared.vehicles.names import read_names

_MAX_AGE = 8
_PRIOR_LISTINGS = 5.0
"""Number of young listings of a model that its level counts as."""
_RECENT_MONTHS = 18
_TYPICAL_YEARS = 8
"""Cars of this many years give the usual versions of a model's young cars."""
_DIGITS = 4
_PRICE_COLUMNS = ("net_price_mad", "price_mad", "list_price_mad")
_FUELS = {
    "essence": "Petrol", "petrol": "Petrol", "diesel": "Diesel", "hybride": "Hybrid",
    "hybrid": "Hybrid", "reev": "Hybrid", "electrique": "Electric", "electric": "Electric",
}  # fmt: skip


def load_new_prices(path: Path) -> pd.DataFrame:
    """Versions of new cars: `vehicle`, `price_mad`, `fuel`, `fiscal_power_cv`, `month`.

    The file (csv, csv.gz, UTF-8) has the columns company, model, version, a price (net_price_mad,
    price_mad or list_price_mad) and date; fuel and fiscal_power_cv are optional. Rows without a
    version or a price are left out ("from" prices of models), and so are those before the latest
    month.

    Raises:
        ListingsError: the file cannot be read, lacks a column, or has no usable row.
    """
    raw = _read_csv(path)
    price = next((name for name in _PRICE_COLUMNS if name in raw), _PRICE_COLUMNS[0])
    missing = [n for n in ("company", "model", "version", price, "date") if n not in raw]
    if missing:
        raise ListingsError(f"{path.name}: no column for {', '.join(missing)}")
    blank = pd.Series("", index=raw.index)
    fuels = raw.get("fuel", raw.get("fuel_site", blank))
    table = pd.DataFrame(
        {
            "vehicle": _vehicles(raw["company"], raw["model"]),
            "version": raw["version"].str.strip(),
            "price_mad": raw[price].map(money).astype(np.float64),
            "fuel": fuels.map(_fuel),
            "fiscal_power_cv": raw.get("fiscal_power_cv", blank).map(money).astype(np.float64),
            "month": raw["date"].map(parse_month),
        }
    )
    usable = table[
        (table["version"] != "")
        & (table["vehicle"] != "")
        & table["price_mad"].gt(0)
        & table["month"].notna()
    ]
    if usable.empty:
        raise ListingsError(f"{path.name}: no version with a price and a date")
    latest = usable["month"] == usable["month"].max()
    return pd.DataFrame(usable[latest]).reset_index(drop=True)


def measure_new_cars(
    versions: pd.DataFrame,
    listings: pd.DataFrame,
    model: HedonicModel,
    km_by_age: Mapping[str, Sequence[float]],
) -> NewCars:
    """Levels of new cars, with the shift of the young used cars of each model.

    Args:
        versions: of new cars (`load_new_prices`).
        listings: a canonical table with known dates.
        model: fitted on the listings.
        km_by_age: see `data.market.distributions.Distributions`.
    """
    levels = measure_levels(versions)
    as_of = str(versions["month"].iloc[0])
    latest = str(listings[LISTING_DATE].max())
    before = month_number(latest) - listings[LISTING_DATE].map(month_number).to_numpy(np.float64)
    ratios = measure_ratios(listings[before < _RECENT_MONTHS], levels)
    vehicles = listings["company"] + SEPARATOR + listings["model"]
    is_recent = listings["year"] > int(as_of[:4]) - _TYPICAL_YEARS
    is_known = vehicles.isin({*levels} & {*model.vehicle_years})
    expected = _expected_young(listings[is_recent & is_known], int(as_of[:4]), model, km_by_age)
    young = vehicles[age_at_listing(listings) <= ANCHORED_AGES[-1]].value_counts()
    return NewCars(
        as_of=as_of,
        ratios=ratios,
        levels=shifts_towards_levels(
            levels, ratios, expected, {str(name): float(count) for name, count in young.items()}
        ),
    )


def measure_levels(versions: pd.DataFrame) -> dict[str, NewCarLevel]:
    """The level of each model with enough versions."""
    found = {}
    for vehicle, group in versions.groupby("vehicle", sort=True):
        if len(group) >= MIN_VERSIONS:
            fuels, power = group["fuel"].dropna(), group["fiscal_power_cv"].dropna()
            found[str(vehicle)] = NewCarLevel(
                versions=len(group),
                level_mad=_rounded(float(group["price_mad"].median())),
                fuel=None if fuels.empty else str(fuels.mode().iloc[0]),
                fiscal_power_cv=None if power.empty else int(power.median()),
            )
    return found


def measure_ratios(
    listings: pd.DataFrame, levels: Mapping[str, NewCarLevel]
) -> dict[str, list[float]]:
    """[listings, median asking price as a share of the model's level] by age in years.

    Args:
        listings: recent ones, with known dates.
        levels: of new cars.
    """
    vehicles = listings["company"] + SEPARATOR + listings["model"]
    level = vehicles.map({name: float(each.level_mad) for name, each in levels.items()})
    share = listings[PRICE] / level
    ages = age_at_listing(listings)
    found: dict[str, list[float]] = {}
    for age in range(_MAX_AGE + 1):
        known = share[(ages == age) & share.notna()]
        if len(known) >= MIN_CELL_COUNT:
            found[str(age)] = [len(known), round(float(known.median()), 3)]
    return found


def shifts_towards_levels(
    levels: Mapping[str, NewCarLevel],
    ratios: Mapping[str, Sequence[float]],
    expected: Mapping[str, FloatArray],
    young: Mapping[str, float],
) -> dict[str, NewCarLevel]:
    """The levels with the shift of each model's young cars; unchanged without ratios.

    Args:
        levels: of new cars.
        ratios: see `NewCars`.
        expected: mean log price of the model's cars at the `ANCHORED_AGES` and one year older, by
            vehicle.
        young: number of listings of these ages, by vehicle.
    """
    if not ratios:
        return dict(levels)
    log_ratios = NewCars(ratios=ratios).log_ratios(np.array(ANCHORED_AGES, dtype=np.float64))
    found = {}
    for name, level in levels.items():
        shifts: tuple[float, ...] = ()
        if name in expected:
            weight = _PRIOR_LISTINGS / (_PRIOR_LISTINGS + young.get(name, 0.0))
            at_ages = expected[name][:-1]
            wanted = at_ages + weight * (np.log(level.level_mad) + log_ratios - at_ages)
            # A newer car is never cheaper, nor is one of the youngest unshifted year dearer.
            rising = np.maximum.accumulate([expected[name][-1], *wanted[::-1]])[:0:-1]
            shifts = tuple(round(float(each), _DIGITS) for each in rising - at_ages)
        found[name] = dataclasses.replace(level, shifts=shifts)
    return found


def _expected_young(
    typical: pd.DataFrame, year: int, model: HedonicModel, km_by_age: Mapping[str, Sequence[float]]
) -> dict[str, FloatArray]:
    """Mean log price of each model's usual versions at the `ANCHORED_AGES` and one year older."""
    if typical.empty:
        return {}
    predictor = HedonicPredictor(model)
    vehicles = (typical["company"] + SEPARATOR + typical["model"]).to_numpy()
    columns = []
    for age in (*ANCHORED_AGES, ANCHORED_AGES[-1] + 1):
        usual_km = km_by_age.get(str(age))
        km = np.nan if usual_km is None else usual_km[1 + KM_QUANTILES.index(0.50)]
        table = typical.assign(year=float(year - age), km_driven=km)
        columns.append(predictor.predict(car_columns(table), len(table)))
    means = pd.DataFrame(np.column_stack(columns)).groupby(vehicles).mean()
    return {str(name): row.to_numpy() for name, row in means.iterrows()}


def _read_csv(path: Path) -> pd.DataFrame:
    """The cells of a CSV file as texts, by lower-case header."""
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise ListingsError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # not UTF-8, not CSV, empty
        raise ListingsError(f"{path.name}: not a CSV table ({error})") from None
    return raw.rename(columns=lambda header: str(header).strip().casefold())


def _vehicles(companies: Iterable[str], models: Iterable[str]) -> list[str]:
    """Cell keys of the vehicles, by their canonical names; empty without a name."""
    found = []
    for company, model in zip(companies, models, strict=True):
        try:
            reading = read_names(fold(company), fold(model))
        except NamesMissing:
            found.append("")
        else:
            found.append(reading.company + SEPARATOR + reading.model)
    return found


def _fuel(text: str) -> str | None:
    words = fold(text).split()
    return _FUELS.get(words[0]) if words else None


def _rounded(price: float) -> int:
    return int(round(price / LEVEL_STEP_MAD) * LEVEL_STEP_MAD)

"""Reads prices of new cars and measures the levels and shares of `data.market.new_cars`."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from data.hedonic.model import SEPARATOR
from data.listings.cells import money, parse_month
from data.listings.files import ListingsError
from data.listings.table import LISTING_DATE, PRICE
from data.market.distributions import MIN_CELL_COUNT, age_at_listing
from data.market.new_cars import (
    LEVEL_STEP_MAD,
    MIN_VERSIONS,
    NewCarLevel,
    NewCars,
)
from data.market.reference import month_number
from shared.domain.names import fold
from shared.domain.reading import NamesMissing
from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason
from shared.vehicles.names import read_names

_MAX_AGE = 10
_RECENT_MONTHS = 18
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
        raise ListingsError(
            _("{name}: no column for {missing}").format(name=path.name, missing=", ".join(missing))
        )
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
        raise ListingsError(_("{name}: no version with a price and a date").format(name=path.name))
    latest = usable["month"] == usable["month"].max()
    return pd.DataFrame(usable[latest]).reset_index(drop=True)


def measure_new_cars(versions: pd.DataFrame, listings: pd.DataFrame) -> NewCars:
    """Levels of new cars, and the share of them that used cars are asked for.

    Args:
        versions: of new cars (`load_new_prices`).
        listings: a canonical table with known dates.
    """
    levels = measure_levels(versions)
    latest = str(listings[LISTING_DATE].max())
    before = month_number(latest) - listings[LISTING_DATE].map(month_number).to_numpy(np.float64)
    return NewCars(
        as_of=str(versions["month"].iloc[0]),
        ratios=measure_ratios(listings[before < _RECENT_MONTHS], levels),
        levels=levels,
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
                fuel=str(fuels.mode().iloc[0]) if len(fuels) >= MIN_VERSIONS else None,
                fiscal_power_cv=int(power.median()) if len(power) >= MIN_VERSIONS else None,
                fuels=_fuel_levels(group),
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


def _fuel_levels(versions: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """(versions, level) of each fuel with enough versions."""
    return {
        str(fuel): (len(group), _rounded(float(group["price_mad"].median())))
        for fuel, group in versions.groupby("fuel", sort=True)
        if len(group) >= MIN_VERSIONS
    }


def _read_csv(path: Path) -> pd.DataFrame:
    """The cells of a CSV file as texts, by lower-case header."""
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise ListingsError(f"{path}: {os_reason(error)}") from None
    except ValueError as error:  # not UTF-8, not CSV, empty
        raise ListingsError(
            _("{name}: not a CSV table ({error})").format(name=path.name, error=error)
        ) from None
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

"""What is usual for a model and year: fuel, gearbox, fiscal power and kilometres of its listings.

Read from `usual.json` of the active version, which the training writes for the worker
(`model_store.pricing.usual_cars`). The figures are for people: hints in a form and the start of an
explanation. The worker computes prices from the same file, with more care for rare models.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from model_store.registry.manifest import USUAL_FILE, ModelVersion
from shared.logging import get_logger

MIN_LISTINGS = 10.0
"""Fewest listings near the year from which a value is called usual."""
NEAR_YEARS = 2
"""Listings of so many years before and after count too, each year further away by half."""
MIN_SHARE = 0.05
KM_STEP = 1_000

log = get_logger("suggestions")


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """A usual value, and the share of the model's cars of about that year that have it."""

    value: str | int
    share: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class UsualValues:
    """The usual values of a model and year, the most frequent first; empty where unknown."""

    fuel: tuple[Share, ...] = ()
    transmission: tuple[Share, ...] = ()
    fiscal_power_cv: tuple[Share, ...] = ()
    """Of the most frequent fuel and gearbox, in all years."""
    km_driven: int | None = None
    """Of the most frequent fuel and gearbox, rounded to thousands."""


def usual_values(folder: Path | None, company: str, model: str, year: int) -> UsualValues:
    """The usual values of a vehicle.

    Args:
        folder: of the active model version; None without one.
        company: canonical name of the brand.
        model: canonical name of the model.
        year: of first registration.
    """
    given = _statistics(folder) if folder else None
    vehicle = f"{company}|{model}"
    if given is None or not (kinds := _kinds(given, vehicle, year)):
        return UsualValues()
    usual = max(kinds, key=lambda kind: kinds[kind])
    return UsualValues(
        fuel=_shares(kinds, 0),
        transmission=_shares(kinds, 1),
        fiscal_power_cv=_powers(given, vehicle, usual),
        km_driven=_kilometres(given, vehicle, usual, year),
    )


def _kinds(given: Mapping[str, Any], vehicle: str, year: int) -> dict[str, float]:
    """Weight of each fuel and gearbox (`Diesel|Manual`); empty if there are too few listings."""
    found: dict[str, float] = {}
    listings = 0.0
    for kind, by_year in given["kinds"].get(vehicle, {}).items():
        for away in range(-NEAR_YEARS, NEAR_YEARS + 1):
            count = by_year.get(str(year + away), 0.0)
            listings += count
            found[kind] = found.get(kind, 0.0) + count * 0.5 ** abs(away)
    return found if listings >= MIN_LISTINGS else {}


def _shares(kinds: Mapping[str, float], part: int) -> tuple[Share, ...]:
    """Shares of the fuels (part 0) or gearboxes (1)."""
    weights: dict[str, float] = {}
    for kind, weight in kinds.items():
        value = kind.split("|")[part]
        weights[value] = weights.get(value, 0.0) + weight
    return _frequent(weights)


def _powers(given: Mapping[str, Any], vehicle: str, kind: str) -> tuple[Share, ...]:
    counts = given["powers"].get(vehicle, {}).get(kind, {})
    if sum(counts.values()) < MIN_LISTINGS:
        return ()
    return _frequent({int(power): count for power, count in counts.items()})


def _frequent(weights: Mapping[Any, float]) -> tuple[Share, ...]:
    total = sum(weights.values())
    shares = [Share(value, round(weight / total, 3)) for value, weight in weights.items()]
    return tuple(
        sorted((one for one in shares if one.share >= MIN_SHARE), key=lambda one: -one.share)
    )


def _kilometres(given: Mapping[str, Any], vehicle: str, kind: str, year: int) -> int | None:
    by_age = given["km_by_age"]
    if not by_age:
        return None
    age = min(max(given["year"] - year, 0), len(by_age) - 1)
    factor = given["km_by_vehicle"].get(vehicle, 0.0) + given["km_by_kind"].get(kind, 0.0)
    km = float(by_age[age]) * math.exp(factor)
    return max(KM_STEP * round(km / KM_STEP), KM_STEP)


@lru_cache(maxsize=2)
def _statistics(folder: Path) -> Mapping[str, Any] | None:
    """The statistics of a version with the year of its data; None if it has none."""
    try:
        year = int(ModelVersion.read(folder).data_as_of[:4])
        given = json.loads((folder / USUAL_FILE).read_bytes())
        wanted = ("kinds", "powers", "km_by_age", "km_by_vehicle", "km_by_kind")
        return {name: given[name] for name in wanted} | {"year": year}
    except FileNotFoundError:
        return None  # versions of earlier releases
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("usual_values_unavailable", folder=str(folder), error=str(error))
        return None

"""Approximates what is usual for a car, for versions that do not store it (schema 4).

The baseline stores the number of listings behind each of its cells: those by fuel, gearbox and
fiscal power give the shares of the kinds, without their change over the years. The kilometres are
those of the reference market.
"""

import numpy as np

from data.hedonic.model import SEPARATOR, SPEC, HedonicModel
from data.market.typical_cars import typical_market
from model_store.pricing.usual_cars import AGE_BANDS, KIND_NAMES, MAX_AGE, UsualStatistics

_SPREAD = (-0.5, 0.5)
_KEYS = (SPEC, "fiscal_power_cv")


def approximate_statistics(hedonic: HedonicModel) -> UsualStatistics:
    """The statistics of the listings that a baseline was fitted on, as far as it shows them.

    Args:
        hedonic: the baseline. All cars of a vehicle count for its median year.
    """
    kinds: dict[str, dict[str, dict[str, float]]] = {}
    powers: dict[str, dict[str, dict[str, float]]] = {}
    for vehicle, kind, power, count in _counts(hedonic):
        if vehicle not in hedonic.vehicle_years:
            continue
        registered = str(int(hedonic.vehicle_years[vehicle]))
        of_year = kinds.setdefault(vehicle, {}).setdefault(kind, {})
        of_year[registered] = of_year.get(registered, 0) + count
        if power:
            powers.setdefault(vehicle, {}).setdefault(kind, {})[power] = count
    return UsualStatistics(
        kinds=kinds,
        powers=powers,
        km_by_age=reference_km_by_age(),
        km_by_vehicle={},
        km_by_kind={},
        km_spread=(_SPREAD,) * len(AGE_BANDS),
    )


def reference_km_by_age() -> tuple[float, ...]:
    """Median kilometres of the reference market at ages 0 to `MAX_AGE`."""
    known = typical_market().km_by_age
    ages = sorted(known)
    return tuple(np.interp(range(MAX_AGE + 1), ages, [known[age] for age in ages]).tolist())


def _counts(hedonic: HedonicModel) -> list[tuple[str, str, str, int]]:
    """Vehicle, kind, fiscal power ("" if not stated) and listings of each cell of a kind."""
    found = []
    for term in hedonic.terms:
        if term.keys != _KEYS:
            continue
        for name, cell in hedonic.cells[term.name].items():
            company, model, fuel, gearbox, power = name.split(SEPARATOR)
            kind = f"{fuel}{SEPARATOR}{gearbox}"
            if kind in KIND_NAMES:
                found.append((f"{company}{SEPARATOR}{model}", kind, power, cell.count))
    return found

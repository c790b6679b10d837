"""The terms of the hedonic model.

Their ridge penalties were chosen by cross-validation on real listings. Specific cells have a larger
penalty than general ones, so the price of a cell with few listings follows the more general terms.
"""

import dataclasses

from data.hedonic.model import BRAND_CLASS, SPEC, VEHICLE, WORD, PiecewiseLinear, Term

YEAR = PiecewiseLinear(
    variable="year",
    knots=(1990, 1998, 2003, 2006, 2009, 2012, 2015, 2017, 2019, 2021, 2023, 2026),
    origin=2015,
)
"""Depreciation of the market as a whole."""
COARSE_YEAR = PiecewiseLinear(variable="year", knots=(1990, 2005, 2012, 2018, 2026), origin=2015)
"""Deviation of the depreciation of a brand, model, fuel, ... from the market's."""
KM = PiecewiseLinear(
    variable="km_driven",
    knots=(0, 50_000, 100_000, 150_000, 200_000, 300_000),
    origin=130_000,
)
FISCAL = PiecewiseLinear(variable="fiscal_power_cv", knots=(3, 6, 8, 11, 15, 24), origin=8)
ENGINE = PiecewiseLinear(
    variable="engine_cc", knots=(600, 1000, 1300, 1600, 2000, 3000, 5000), origin=1500
)
POWER = PiecewiseLinear(
    variable="max_power_bhp", knots=(30, 60, 80, 110, 150, 220, 400), origin=100
)
TORQUE = PiecewiseLinear(variable="torque_nm", knots=(50, 120, 200, 300, 450, 800), origin=180)
MILEAGE = PiecewiseLinear(variable="mileage_mpg", knots=(15, 35, 50, 65, 80), origin=45)

_NUMERIC_TERMS = (
    Term(name="km", field="km_driven", curve=KM, penalty=0.3, non_increasing=True),
    Term(name="fiscal_power", field="fiscal_power_cv", curve=FISCAL, penalty=0.3),
    Term(name="engine", field="engine_cc", curve=ENGINE, penalty=0.3),
    Term(name="power", field="max_power_bhp", curve=POWER, penalty=0.3),
    Term(name="torque", field="torque_nm", curve=TORQUE, penalty=0.3),
    Term(name="mileage", field="mileage_mpg", curve=MILEAGE, penalty=0.3),
    Term(name="year", field="year", curve=YEAR, penalty=0.3),
)

_CATEGORICAL_TERMS = tuple(
    Term(name="_x_".join(keys), field=field, keys=keys, penalty=penalty)
    for keys, field, penalty in (
        (("fuel",), "fuel", 2.0),
        (("transmission",), "transmission", 2.0),
        (("owner",), "owner", 2.0),
        (("seller_type",), "seller_type", 2.0),
        (("condition",), "condition", 2.0),
        (("origin",), "origin", 2.0),
        (("city",), "city", 2.0),
        ((WORD,), "edition", 16.0),
        ((VEHICLE, WORD), "edition", 16.0),
        (("doors",), "doors", 4.0),
        ((BRAND_CLASS,), "company", 0.6),
        (("company",), "company", 0.6),
        ((VEHICLE,), "model", 2.0),
        ((VEHICLE, "fuel"), "fuel", 4.0),
        ((VEHICLE, "transmission"), "transmission", 4.0),
        (("fuel", "transmission"), "transmission", 4.0),
        ((VEHICLE, "year"), "year", 6.0),
        (("company", "origin"), "origin", 6.0),
        ((VEHICLE, "origin"), "origin", 8.0),
    )
)

_AGEING_TERMS = tuple(
    Term(name="_x_".join(keys) + "_ageing", field="year", keys=keys, curve=COARSE_YEAR, penalty=s)
    for keys, s in (
        ((BRAND_CLASS,), 2.0),
        (("company",), 2.0),
        ((VEHICLE,), 4.0),
        (("company", "fuel"), 4.0),
        (("fuel",), 2.0),
        (("origin",), 4.0),
        (("owner",), 4.0),
        ((SPEC,), 6.0),
    )
)

_POWER = tuple(
    Term(name=f"{key}_x_power", field="max_power_bhp", keys=(key,), curve=POWER, penalty=2.0)
    for key in ("company", "fuel")
)

TERMS: tuple[Term, ...] = (*_NUMERIC_TERMS, *_CATEGORICAL_TERMS, *_AGEING_TERMS, *_POWER)


def with_scaled_penalty(factor: float) -> tuple[Term, ...]:
    """`TERMS` with `factor` times the penalty, except for the terms without keys."""
    return tuple(
        dataclasses.replace(term, penalty=term.penalty * factor) if term.keys else term
        for term in TERMS
    )

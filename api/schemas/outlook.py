"""The extras of a valuation as the client sees them: next years, and typical cars like this one."""

from typing import Any

from marshmallow import Schema, fields

from shared.domain.outlook import Comparable, Depreciation, Pace, SimilarityReason
from shared.domain.valuation import COVERAGES, interval_of


class IntervalSchema(Schema):
    """Prices between which the real one lies with the stated probability."""

    low = fields.Float(required=True, metadata={"description": "MAD"})
    high = fields.Float(required=True, metadata={"description": "MAD"})
    coverage = fields.Float(required=True, metadata={"enum": list(COVERAGES)})


class DepreciationSchema(Schema):
    """The expected price of the same car some years on, at today's price level."""

    years = fields.Integer(required=True)
    km_driven = fields.Integer(required=True)
    price_mad = fields.Float(required=True, metadata={"description": "Never rises over the years"})
    interval = fields.Nested(IntervalSchema, required=True)


class PaceSchema(Schema):
    """How far the car is taken to be driven from now on."""

    km_per_year = fields.Integer(required=True)
    basis = fields.Enum(
        Pace,
        by_value=True,
        required=True,
        metadata={"description": "own: as the car was so far; market: as cars usually are"},
    )


class ComparableSchema(Schema):
    """A typical car of the reference market: statistics of ten or more listings, not one car."""

    company = fields.String(required=True)
    model = fields.String(required=True)
    year_from = fields.Integer(required=True)
    year_to = fields.Integer(required=True)
    km_driven = fields.Integer(required=True, metadata={"description": "Typical kilometres"})
    fuel = fields.String(required=True)
    transmission = fields.String(required=True)
    price_mad = fields.Float(required=True, metadata={"description": "Typical price by the model"})
    listings = fields.Integer(
        required=True, metadata={"description": "How many listings stand behind it, 10 or more"}
    )
    distance = fields.Float(
        required=True, metadata={"description": "0: the same in everything; at most 3"}
    )
    alike = fields.List(
        fields.Enum(SimilarityReason, by_value=True),
        required=True,
        metadata={"description": "In what it is like the car"},
    )


def dump_depreciation(depreciation: Depreciation, coverage: float) -> dict[str, Any]:
    """The members of the answer that tell the next years."""
    return {
        "depreciation": [
            {
                "years": point.years,
                "km_driven": point.km_driven,
                "price_mad": point.price_mad,
                "interval": dump_interval(point.quantiles_mad, coverage),
            }
            for point in depreciation.points
        ],
        "depreciation_pace": {
            "km_per_year": depreciation.km_per_year,
            "basis": str(depreciation.pace),
        },
    }


def dump_interval(quantiles_mad: tuple[float, ...], coverage: float) -> dict[str, float]:
    """One interval."""
    interval = interval_of(quantiles_mad, coverage)
    return {"low": interval.low_mad, "high": interval.high_mad, "coverage": interval.coverage}


def dump_comparable(one: Comparable) -> dict[str, Any]:
    """One typical car."""
    return {
        "company": one.company,
        "model": one.model,
        "year_from": one.year_from,
        "year_to": one.year_to,
        "km_driven": one.km_driven,
        "fuel": one.fuel,
        "transmission": one.transmission,
        "price_mad": one.price_mad,
        "listings": one.listings,
        "distance": one.distance,
        "alike": [str(likeness) for likeness in one.alike],
    }

"""The hedonic price model: log price as a sum of effects.

A `HedonicModel` is a list of terms. A term is a table with a cell for each value (or combination of
values) of a few of the car's fields; a cell has one or more coefficients. The predicted log price
is the sum of one effect of every term: a coefficient, or coefficients times a piecewise linear
basis of a number (kilometres, power). Because effects are only added, the effect of each field is
exact, and a car has the same price, to the bit, alone and in any group.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SEPARATOR = "|"
FIRST_YEAR = 1990
LAST_YEAR = 2035
YEARS = np.arange(FIRST_YEAR, LAST_YEAR + 1, dtype=np.float64)

BRAND_CLASS = "brand_class"
"""Derived key: the class of the company (`data.hedonic.ordinal_encoder`)."""
VEHICLE = "vehicle"
"""Derived key: company and model."""
SPEC = "spec"
"""Derived key: vehicle, fuel and transmission."""
WORD = "word"
"""Derived key: each word of the edition; a car has one cell for each of its words."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PiecewiseLinear:
    """Basis of a piecewise linear curve of one number; every column is zero at `origin`.

    Column `i` increases by 1 between knots `i` and `i + 1` and is constant elsewhere, so the curve
    does not extrapolate beyond the outer knots.
    """

    variable: str
    knots: tuple[float, ...]
    origin: float

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.knots) - 1

    def columns(self, values: FloatArray) -> FloatArray:
        """The columns (n, width) at `values` (n,); a missing value (NaN) counts as `origin`."""
        lows = np.asarray(self.knots[:-1])
        spans = np.diff(np.asarray(self.knots))
        known = np.where(np.isnan(values), self.origin, values)
        at_origin = np.clip((self.origin - lows) / spans, 0.0, 1.0)
        return np.asarray(np.clip((known[:, None] - lows) / spans, 0.0, 1.0) - at_origin)

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return {"variable": self.variable, "knots": list(self.knots), "origin": self.origin}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(variable=given["variable"], knots=tuple(given["knots"]), origin=given["origin"])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One table of effects on the log price.

    Args:
        name: of the term, unique in a model.
        field: the car's field that the effect is attributed to.
        keys: the fields (or derived keys) whose values identify a cell; empty for a single cell.
        curve: basis that the coefficients are multiplied by; None for a constant effect.
        penalty: ridge penalty: the weight of the prior "no effect" as a number of listings.
        non_increasing: the curve never rises: more kilometres never increase the price.
    """

    name: str
    field: str
    keys: tuple[str, ...] = ()
    curve: PiecewiseLinear | None = None
    penalty: float = 1.0
    non_increasing: bool = False

    @property
    def width(self) -> int:
        """Number of coefficients of a cell."""
        return self.curve.width if self.curve else 1

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return {
            "name": self.name,
            "field": self.field,
            "keys": list(self.keys),
            "bend": self.curve.to_json() if self.curve else None,
            "stiffness": self.penalty,
            "falling": self.non_increasing,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(
            name=given["name"],
            field=given["field"],
            keys=tuple(given["keys"]),
            curve=PiecewiseLinear.from_json(given["bend"]) if given["bend"] else None,
            penalty=given["stiffness"],
            non_increasing=given["falling"],
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """The coefficients of one cell and the number of listings they were estimated from."""

    count: int
    coefficients: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class HedonicModel:
    """Terms and their cells.

    Args:
        intercept: log price of a car of which no field is known.
        terms: the tables.
        cells: `cells[term name][cell key]`.
        vehicle_years: median year of each known vehicle, by its cell key; an unknown vehicle is
            priced by its company and its other fields.
        imputed: effect of a missing field, by field, then by cell key of a spec, a vehicle or a
            company ("" for all cars).
    """

    intercept: float
    terms: tuple[Term, ...]
    cells: Mapping[str, Mapping[str, Cell]]
    vehicle_years: Mapping[str, float]
    imputed: Mapping[str, Mapping[str, Cell]] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return {
            "intercept": self.intercept,
            "vehicle_years": dict(self.vehicle_years),
            "usual": {field: _cells_to_json(cells) for field, cells in self.imputed.items()},
            "terms": [
                {**term.to_json(), "cells": _cells_to_json(self.cells[term.name])}
                for term in self.terms
            ],
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(
            intercept=given["intercept"],
            terms=tuple(Term.from_json(term) for term in given["terms"]),
            cells={term["name"]: _cells_from_json(term["cells"]) for term in given["terms"]},
            vehicle_years=dict(given["vehicle_years"]),
            imputed={field: _cells_from_json(cells) for field, cells in given["usual"].items()},
        )


def split_vehicle(vehicle: str) -> tuple[str, str]:
    """Company and model of a vehicle's cell key."""
    company, model = vehicle.split(SEPARATOR)
    return company, model


def _cells_to_json(cells: Mapping[str, Cell]) -> dict[str, list[float]]:
    return {key: [cell.count, *cell.coefficients] for key, cell in cells.items()}


def _cells_from_json(given: Mapping[str, Sequence[float]]) -> dict[str, Cell]:
    return {key: Cell(int(cell[0]), tuple(cell[1:])) for key, cell in given.items()}

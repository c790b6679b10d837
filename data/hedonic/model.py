"""The hedonic price model: log price as a sum of published effects.

A `HedonicModel` is a list of terms. A term is a table: a cell for each value (or combination of
values) of a few of the car's fields, holding one or more coefficients. What a car is worth by
the model is the sum of one coefficient from every term, some of them multiplied by a column that
bends with a number (kilometres, power). Everything is additions, so the share of each field is
exact, and the same car gives the same bits alone and among thousands.
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
"""Derived key: the class of the company (`data.hedonic.codes`)."""
VEHICLE = "vehicle"
"""Derived key: company and model."""
SPEC = "spec"
"""Derived key: vehicle, fuel and transmission."""
WORD = "word"
"""Derived key: each word of the edition; a car stands in as many cells as it has words."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PiecewiseLinear:
    """A piecewise linear curve of one number, as columns that are zero at `origin`.

    Column `i` grows from 0 to 1 between knots `i` and `i + 1`; outside all knots the curve is
    flat, so that no car is priced by extrapolation.
    """

    variable: str
    knots: tuple[float, ...]
    origin: float

    @property
    def width(self) -> int:
        """How many columns the curve has."""
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
        keys: the fields (or derived keys) whose values name a cell; empty for one cell.
        bend: the number along which the effect bends; None for a plain shift.
        stiffness: ridge penalty; how many listings the prior "no effect" weighs.
        falling: the bend never rises: more kilometres never make a car dearer.
    """

    name: str
    field: str
    keys: tuple[str, ...] = ()
    bend: PiecewiseLinear | None = None
    stiffness: float = 1.0
    falling: bool = False

    @property
    def width(self) -> int:
        """Coefficients in one cell."""
        return self.bend.width if self.bend else 1

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return {
            "name": self.name,
            "field": self.field,
            "keys": list(self.keys),
            "bend": self.bend.to_json() if self.bend else None,
            "stiffness": self.stiffness,
            "falling": self.falling,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(
            name=given["name"],
            field=given["field"],
            keys=tuple(given["keys"]),
            bend=PiecewiseLinear.from_json(given["bend"]) if given["bend"] else None,
            stiffness=given["stiffness"],
            falling=given["falling"],
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
        intercept: log price of a car of which nothing is known.
        terms: the tables.
        cells: `cells[term name][cell key]`.
        vehicle_years: the usual year of each known vehicle, by its cell key; a vehicle that does
            not stand here is priced by its company and its other fields alone.
        usual: by field, then by cell key (of a spec, a vehicle or a company, "" for all cars):
            the field's usual effect, which counts for a car that does not state the field.
    """

    intercept: float
    terms: tuple[Term, ...]
    cells: Mapping[str, Mapping[str, Cell]]
    vehicle_years: Mapping[str, float]
    usual: Mapping[str, Mapping[str, Cell]] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON ready; the inverse of `from_json`."""
        return {
            "intercept": self.intercept,
            "vehicle_years": dict(self.vehicle_years),
            "usual": {
                field: {key: [cell.count, *cell.coefficients] for key, cell in cells.items()}
                for field, cells in self.usual.items()
            },
            "terms": [
                {
                    **term.to_json(),
                    "cells": {
                        key: [cell.count, *cell.coefficients]
                        for key, cell in self.cells[term.name].items()
                    },
                }
                for term in self.terms
            ],
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        return cls(
            intercept=given["intercept"],
            terms=tuple(Term.from_json(term) for term in given["terms"]),
            cells={
                term["name"]: {
                    key: Cell(int(cell[0]), tuple(cell[1:])) for key, cell in term["cells"].items()
                }
                for term in given["terms"]
            },
            vehicle_years=dict(given["vehicle_years"]),
            usual={
                field: {key: Cell(int(cell[0]), tuple(cell[1:])) for key, cell in cells.items()}
                for field, cells in given["usual"].items()
            },
        )


def cell_key(values: Sequence[Any]) -> str:
    """The name of the cell for the values of a term's keys; a missing value is empty.

    >>> cell_key(["dacia", None, 2018])
    'dacia||2018'
    """
    return SEPARATOR.join("" if value is None else str(value) for value in values)

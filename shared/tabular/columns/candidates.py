"""Columns that may be the column of a field, by their names, and the better of two."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from shared.fields.car import CAR_FIELDS
from shared.tabular import cell_evidence
from shared.tabular.cell_evidence import Column, unit_share
from shared.tabular.column_names import (
    ASKING_PRICE,
    NAME_MAX_CHARS,
    POWER_KEYS,
    USUAL_KEYS,
    are_of_two_objects,
    header_key,
    is_mileage,
    read_name,
)
from shared.tabular.columns.units import field_of_mileage, units_beside

RANKS = {"given": 5, "name": 4, "date": 1, "cells": 1, "near": 0}
"""Of the columns for one field; a usual alias has 3, another synonym 2."""

GOOD_SHARE, BAD_SHARE = 0.5, 0.2
"""Shares of valid cells that make one of two columns clearly better."""


class Candidate(NamedTuple):
    """A column that may be the column of a field."""

    column: int
    """Index of the column."""
    field: str
    basis: str
    unit: str | None = None
    """The unit that its header states."""
    rank: int = 3


def find_candidate(
    names: Sequence[str], index: int, cells_of: Callable[[int], Column]
) -> Candidate | None:
    """A column as that of the field which its name means, or its cells if the name is open.

    Args:
        names: of the file's columns.
        index: of the column.
        cells_of: the first cells of a column.

    Returns:
        None if the name means no field.
    """
    name, cells = names[index], cells_of(index)
    units = units_beside(names, index, cells_of)
    key = header_key(name).removesuffix(" amount") if len(name) <= NAME_MAX_CHARS else ""
    if is_mileage(name):
        field = field_of_mileage(cells, units)
        return Candidate(index, field, "cells", rank=RANKS["cells"]) if field else None
    found = read_name(name)
    if name not in CAR_FIELDS and key in POWER_KEYS:
        is_real = unit_share("max_power_bhp", units) > unit_share("fiscal_power_cv", units)
        if not is_real and cell_evidence.is_fiscal_power(cells):
            return Candidate(index, "fiscal_power_cv", "cells", rank=RANKS["cells"])
        return Candidate(index, "max_power_bhp", "alias", None if found is None else found.unit)
    if found is None or found.field == ASKING_PRICE:
        return None
    rank = RANKS.get(found.basis, 3 if key in USUAL_KEYS else 2)
    return Candidate(index, found.field, found.basis, found.unit, rank)


def better_candidate(
    one: Candidate,
    other: Candidate,
    names: Sequence[str],
    cells_of: Callable[[int], Column],
) -> Candidate | None:
    """The better of two columns for one field; None if they contradict each other.

    Args:
        one: a column.
        other: another column for the same field.
        names: of the file's columns.
        cells_of: the first cells of a column.
    """
    cells, other_cells = cells_of(one.column), cells_of(other.column)
    valid, other_valid = (
        cell_evidence.valid_share(one.field, each) for each in (cells, other_cells)
    )
    if valid >= GOOD_SHARE and other_valid < BAD_SHARE:
        return one
    if other_valid >= GOOD_SHARE and valid < BAD_SHARE:
        return other
    are_apart = are_of_two_objects(*(names[each.column] for each in (one, other)))
    if one.rank != other.rank and not are_apart:
        return max(one, other, key=lambda candidate: candidate.rank)
    agrees = cell_evidence.agreement(one.field, cells, other_cells, (one.unit, other.unit))
    return one if cells and agrees >= cell_evidence.AGREEMENT else None

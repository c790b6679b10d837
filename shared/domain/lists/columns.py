"""Columns of a list as they are stored: one value per car, or one for all cars."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from shared.domain.car import CATEGORIES, FIELD_NAMES

Column: TypeAlias = Sequence[Any]
"""One value per car, None where it is missing."""


def pack_column(column: Column) -> list[Any]:
    """A column as it is stored; one value stands for a column in which all are equal."""
    first = column[0]
    return [first] if column.count(first) == len(column) else list(column)


def unpack_column(stored: Sequence[Any], count: int) -> Column:
    """The column of `count` values that `pack_column` stored.

    Raises:
        ValueError: it has another length.
    """
    column = list(stored) * count if len(stored) == 1 else stored
    if len(column) != count:
        raise ValueError(f"{len(column)} values of {count} cars")
    return column


def unpack_cars(stored: Mapping[str, Sequence[Any]], count: int) -> dict[str, Column]:
    """The columns of the fields of `count` cars; those of a newer version are ignored.

    Raises:
        ValueError: a category has a value that this version does not know.
    """
    columns = {name: unpack_column(stored[name], count) for name in FIELD_NAMES if name in stored}
    for name, enum in CATEGORIES.items():
        if name in columns:
            values = {text: enum(text) for text in set(columns[name]) if text is not None}
            columns[name] = list(map(values.get, columns[name]))
    return columns

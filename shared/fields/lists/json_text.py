"""JSON of columns: the text of each distinct value is made once. The bytes are orjson's."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.domain.car import FIELD_NAMES
from shared.domain.lists.columns import Column


def json_text(value: Any) -> str:
    """A value as JSON."""
    return orjson.dumps(value).decode()


def json_numbers(column: Sequence[float]) -> list[str]:
    """The numbers of a column as JSON."""
    return orjson.dumps(column)[1:-1].decode().split(",")


def json_cars(cars: Mapping[str, Column], count: int) -> list[str]:
    """Cars as JSON objects of the fields that are known, as `CarFeatures.to_dict` has them.

    Args:
        cars: columns by name of the field; an absent one is missing in every car.
        count: number of cars.
    """
    columns = [(name, cars[name]) for name in FIELD_NAMES if name in cars]
    members = [_members(name, column) for name, column in columns]
    if any(None in column for _, column in columns):
        return ["{" + ",".join(filter(None, car)) + "}" for car in zip(*members, strict=True)]
    return ["{" + ",".join(car) + "}" for car in zip(*members, strict=True)] or ["{}"] * count


def _members(name: str, column: Column) -> list[str]:
    """The member of each car that has this name; "" for cars without a value."""
    texts = {value: f'"{name}":{json_text(value)}' for value in set(column) if value is not None}
    texts[None] = ""
    return list(map(texts.__getitem__, column))

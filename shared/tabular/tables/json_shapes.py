"""Tables in a single JSON value that is no list of objects: lists of rows, and those of pandas.

Forms, by their names in `pandas.DataFrame.to_json`: `columns` (and a list for each column), `index`
(an object of cars by their keys), `split` (names and rows apart), and `values` with a first row of
names.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.tabular.cell_evidence import is_car
from shared.tabular.column_names import field_for_header

Record = Mapping[str, Any]

MIN_NAMES = 2
"""Known names in a header, or in a car."""

KEY_COLUMN = "key"
"""Column of the keys by which an object holds its cars, unless they only count."""

_MAX_DEPTH = 3
"""Objects around a table."""

_COMMON_NAMES = 0.5
"""Share of the names of a car that another car of the same object has."""


def cars_in(members: Record, depth: int = 0) -> Iterator[Record] | None:
    """The cars of a table in one object; None if it is no table that leaves no doubt.

    >>> list(cars_in({"brand": {"0": "Kia"}, "year": {"0": 2018}}))
    [{'brand': 'Kia', 'year': 2018}]
    >>> list(cars_in({"columns": ["brand", "year"], "data": [["Kia", 2018]]}))
    [{'brand': 'Kia', 'year': 2018}]
    >>> list(cars_in({"a7": {"brand": "Kia", "year": 2018}}))
    [{'key': 'a7', 'brand': 'Kia', 'year': 2018}]
    >>> cars_in({"brand": "Kia", "year": 2018}) is None
    True
    """
    for read in (_by_column, _split, _by_key):
        cars = read(members)
        if cars is not None:
            return cars
    inner = [value for value in members.values() if isinstance(value, dict)]
    if depth < _MAX_DEPTH and len(inner) == 1 and known_names(members) == 0:
        return cars_in(inner[0], depth + 1)
    return None


def known_names(names: Any) -> int:
    """Number of texts that are names of fields."""
    fields = (field_for_header(name) for name in names if isinstance(name, str))
    return len({field for field in fields if field is not None})


def named_rows(rows: Iterator[Sequence[Any]]) -> Iterator[Record]:
    """Rows as objects, by the names in the first row; by numbers if the first one is a car."""
    first = next(rows, None)
    if first is None:
        return
    if is_nameless(first):
        names = [f"column_{place}" for place in range(1, len(first) + 1)]
        yield _named(names, first)
    else:
        # A repeated name stays apart from the first one; it is refused as in any other file.
        texts = [str(name).strip() for name in first]
        names = [text + " " * texts[:at].count(text) for at, text in enumerate(texts)]
    for row in rows:
        yield _named(names, row)


def is_nameless(first: Sequence[Any]) -> bool:
    """Whether the first row of a table is a car, and no header."""
    return is_car([str(cell) for cell in first])


def _named(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    more = [f"column_{place}" for place in range(len(names) + 1, len(row) + 1)]
    return dict(zip([*names, *more], row, strict=False))


def _by_column(members: Record) -> Iterator[Record] | None:
    """Objects of cells by row, or lists of cells, by the names of their columns."""
    columns = list(members.values())
    if known_names(members) < MIN_NAMES:
        return None
    if all(isinstance(column, list) for column in columns):
        lengths = {len(column) for column in columns}
        if len(lengths) != 1 or any(isinstance(cell, dict | list) for cell in _cells(columns)):
            return None
        rows = zip(*columns, strict=True)
        return (dict(zip(members, row, strict=True)) for row in rows)
    if not all(isinstance(column, dict) for column in columns):
        return None
    keys = list(columns[0])
    if not all(_is_label(key) for key in keys) or any(list(column) != keys for column in columns):
        return None
    return _keyed((key, {name: members[name][key] for name in members}) for key in keys)


def _cells(columns: Sequence[Sequence[Any]]) -> Iterator[Any]:
    return (cell for column in columns for cell in column)


def _is_label(key: str) -> bool:
    """Whether a key may be that of a row: it has a digit."""
    return any(map(str.isdigit, key))


def _split(members: Record) -> Iterator[Record] | None:
    """A list of names, and a list of rows of the same width."""
    lists = [value for value in members.values() if isinstance(value, list) and value]
    headers = [each for each in lists if known_names(map(_name_of, each)) >= MIN_NAMES]
    tables = [each for each in lists if all(isinstance(row, list) for row in each)]
    if len(headers) != 1 or len(tables) != 1:
        return None
    names = [str(_name_of(name)) for name in headers[0]]
    if any(len(row) != len(names) for row in tables[0]):
        return None
    return (_named(names, row) for row in tables[0])


def _name_of(column: Any) -> Any:
    """The name of a column that is described by an object: `{"name": "year", "type": "int"}`."""
    return column.get("name") if isinstance(column, dict) else column


def _by_key(members: Record) -> Iterator[Record] | None:
    """Cars by their keys."""
    if not members or known_names(members):
        return None
    cars = list(members.values())
    if not all(isinstance(car, dict) and known_names(car) >= MIN_NAMES for car in cars):
        return None
    if len(cars) == 1 and not _is_label(next(iter(members))):
        return None  # {"vehicle": {...}} is one car
    first = set(cars[0])
    if any(len(first & set(car)) < _COMMON_NAMES * len(car) for car in cars):
        return None
    return _keyed(members.items())


def _keyed(cars: Any) -> Iterator[Record]:
    """Cars with their keys in a column, unless these count the rows."""
    pairs = list(cars)
    numbers = [key for key, _ in pairs]
    counts = any(numbers == list(map(str, range(at, at + len(pairs)))) for at in (0, 1))
    for key, car in pairs:
        yield car if counts or KEY_COLUMN in car else {KEY_COLUMN: key, **car}

"""What the cells of a column or row say about their meaning, where no header says it."""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from marshmallow import ValidationError

from shared.domain.names import fold, fold_name
from shared.domain.reading import Match, NamesMissing
from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.category import Category
from shared.fields.kinds.number import CONVERTED, Number
from shared.fields.numbers import parse_number
from shared.fields.prices import find_currency
from shared.tabular.column_names import ASKING_PRICE, TITLE_KEYS, header_key, read_name
from shared.vehicles.arabic import to_latin
from shared.vehicles.catalogue import catalogue
from shared.vehicles.names import canonical_brand, read_names

FISCAL_POWER_MAX_CV = 30
"""Moroccan cars have 4 to 30 fiscal horsepower; few have so little real power."""

FUEL_ECONOMY_MAX_MPG = 400
"""Maximum of the field `mileage_mpg`."""

ODOMETER_MIN_KM = 1_000
"""A column of numbers whose mean is less is hardly one of odometers."""

OLD_CAR_YEARS, MIN_OLD_CARS = 3, 3
"""Cars of such an age have been driven; so many of them tell the unit of a column."""

MIN_SHARE = 0.5
AGREEMENT = 0.9
"""Share of equal rows from which on two columns of one field say the same."""

ROUNDING = 0.0002
"""Relative difference of two numbers that say the same."""

NAMED_MIN_SHARE = 0.1
"""Share of known cars in a column whose name says that it holds names of cars."""

WORD_MIN_CHARS = 3
"""A shorter cell (`M`, `1`) may spell a category by chance."""

BRAND_MAX_WORDS = 3
NAME_MAX_CHARS = 80
"""A longer text is not looked up as a name."""

VEHICLE_WORDS = frozenset({"car", "vehicle", "vehicule", "voiture", "auto", "fahrzeug"})
CAR_MIN_CELLS = 3
_YEAR = re.compile(r"(?:19[5-9]|20[0-4])\d")

CONFIDENCE = {
    "given": 1.0,
    "name": 1.0,
    "alias": 0.95,
    "alias-and-unit": 0.9,
    "date": 0.85,
    "cells": 0.85,
    "title": 0.8,
    "near": 0.7,
}
"""Confidence by the header alone; invalid cells lower it, at worst to half."""

Column = Sequence[str]


def is_brand(text: str) -> bool:
    """Whether a text is the name of a known brand, and of no model as well."""
    return len(text) <= NAME_MAX_CHARS and _is_brand(text)


@lru_cache(maxsize=4096)
def _is_brand(text: str) -> bool:
    folded = fold_name(text)
    try:
        read_names(None, folded)
    except NamesMissing:
        return canonical_brand(to_latin(folded)) in catalogue().brands
    return False


def is_known_car(brand: str | None, text: str) -> bool:
    """Whether a text names a known model: of a brand, or together with its brand."""
    if len(text) > NAME_MAX_CHARS or len(brand or "") > NAME_MAX_CHARS:
        return False
    return _is_known_car(brand, text)


@lru_cache(maxsize=4096)
def _is_known_car(brand: str | None, text: str) -> bool:
    try:
        return read_names(brand and fold_name(brand), fold_name(text)).match in (
            Match.EXACT,
            Match.ALIAS,
            Match.CORRECTED,
        )
    except NamesMissing:
        return False


def is_title(text: str) -> bool:
    """Whether a text names brand and model."""
    return begins_with_brand(text) or (" " in text.strip() and is_known_car(None, text))


def begins_with_brand(text: str) -> bool:
    """Whether a text is the name of a known brand and something else: `DACIA Logan`."""
    if is_brand(text):
        return False
    words = re.split(r"[\s/-]+", text.strip())
    most = min(BRAND_MAX_WORDS, len(words) - 1)
    return any(is_brand(" ".join(words[:count])) for count in range(1, most + 1))


def is_word_of(field: str, text: str) -> bool:
    """Whether a text is a word of a category: `Diesel`, `Manuelle`."""
    category = CAR_FIELDS[field]
    if not isinstance(category, Category) or len(text.strip()) < WORD_MIN_CHARS:
        return False
    return not text.strip().isdigit() and category.member(text) is not None


def is_known_word(text: str) -> bool:
    """Whether a text is the name of a column or a brand, or a word of a category."""
    return (
        read_name(text) is not None
        or is_brand(text)
        or any(is_word_of(field, text) for field in ("fuel", "transmission", "condition"))
    )


def is_year(text: str) -> bool:
    """Whether a text is a year of registration, or a date with one."""
    return _YEAR.fullmatch(text.strip()) is not None or (
        len(text.strip()) > len("2018") and is_valid("year", text)
    )


def is_valid(field: str, cell: str) -> bool:
    """Whether a cell has a normal form of a field."""
    try:
        return CAR_FIELDS[field].read(cell) is not None
    except ValidationError:
        return False


def is_car(cells: Sequence[str]) -> bool:
    """Whether a row is a car, and no header: it has a year, and a brand, a fuel or a gearbox."""
    filled = [cell.strip() for cell in cells if not is_blank(cell)]
    if len(filled) < CAR_MIN_CELLS or any(read_name(cell) is not None for cell in filled):
        return False
    return any(map(is_year, filled)) and any(
        is_brand(cell)
        or begins_with_brand(cell)
        or is_word_of("fuel", cell)
        or is_word_of("transmission", cell)
        for cell in filled
    )


def may_describe_car(cell: str) -> bool:
    """Whether a cell is a number, a year, or the name of a brand or model."""
    return (
        parse_number(cell, whole=True) is not None
        or is_year(cell)
        or is_brand(cell)
        or _names_vehicle(cell)
    )


def share(cells: Column, holds: Callable[[str], bool]) -> float:
    """Share of the filled cells for which something holds; 0 if none is filled."""
    filled = [cell for cell in cells if not is_blank(cell)]
    return sum(map(holds, filled)) / len(filled) if filled else 0.0


def looks_like(field: str, cells: Column) -> bool:
    """Whether most cells of a column are typical of a field."""
    typical: dict[str, Callable[[str], bool]] = {
        "company": is_brand,
        "title": is_title,
        "year": is_year,
        "fuel": lambda cell: is_word_of("fuel", cell),
        "transmission": lambda cell: is_word_of("transmission", cell),
        "condition": lambda cell: is_word_of("condition", cell),
        "km_driven": lambda cell: fold(cell).endswith((" km", " kms")),
        ASKING_PRICE: lambda cell: find_currency(cell) is not None,
    }
    return field in typical and share(cells, typical[field]) > MIN_SHARE


def confidence_of(basis: str, field: str, cells: Column) -> float:
    """Confidence that a column with these cells is a field, given the evidence of its header."""
    filled = [cell for cell in cells if not is_blank(cell)]
    valid = share(cells, lambda cell: is_valid(field, cell))
    return round(CONFIDENCE[basis] * (0.5 + 0.5 * (valid if filled else 1.0)), 2)


def valid_share(field: str, cells: Column) -> float:
    """Share of the filled cells that have a normal form; brands must be known ones."""
    if field == "company":
        return share(cells, is_brand)
    return share(cells, lambda cell: is_valid(field, cell))


def are_odometers(cells: Column) -> bool:
    """Whether the cells are bare numbers as large as those of odometers or prices."""
    numbers = [parse_number(cell, whole=True) for cell in cells if not is_blank(cell)]
    known = [number for number in numbers if number is not None]
    return (
        len(known) > MIN_SHARE * len(numbers)
        and sum(known) / len(known) >= ODOMETER_MIN_KM
        and not looks_like("year", cells)
    )


def is_fiscal_power(cells: Column) -> bool:
    """Whether the cells of a column named "power" are fiscal horsepower: `7`, `8 CV`."""
    return _mostly(cells, ("cv",), lambda number: number <= FISCAL_POWER_MAX_CV)


def is_odometer(cells: Column) -> bool:
    """Whether the cells of a column named "mileage" are distances or too large for an economy."""
    units = ("km", "kms", "mi", "miles")
    if share(cells, lambda cell: fold(cell).strip("0123456789 ") in units) > MIN_SHARE:
        return True
    return _mostly(cells, units, lambda number: number > FUEL_ECONOMY_MAX_MPG)


def _mostly(cells: Column, units: Sequence[str], holds: Callable[[float], bool]) -> bool:
    """Whether more than half of the filled cells are numbers, with a unit or none, that hold."""

    def is_such(cell: str) -> bool:
        text = fold(cell)
        for unit in units:
            text = text.removesuffix(unit)
        number = parse_number(text, whole=True)
        return number is not None and holds(number)

    return share(cells, is_such) > MIN_SHARE


def states_numbers(cells: Column) -> bool:
    """Whether a cell of a column is a number alone."""
    return any(parse_number(cell, whole=True) is not None for cell in cells)


def unit_share(field: str, cells: Column) -> float:
    """Share of the filled cells that are a unit of a field, or a currency, without a number."""
    kind = CAR_FIELDS[field]
    if not isinstance(kind, Number) or states_numbers(cells):
        return 0.0
    return share(cells, lambda cell: kind.find_unit(cell) is not None)


def may_count_thousands(cells: Column) -> bool:
    """Whether the cells of a column of distances are small numbers, some of them with decimals."""
    filled = [cell for cell in cells if not is_blank(cell)]
    numbers = [parse_number(cell, whole=False) for cell in filled]
    known = [number for number in numbers if number is not None]
    decimals = sum(not is_valid("km_driven", cell) for cell in filled)
    is_small = bool(known) and max(known) < ODOMETER_MIN_KM
    return is_small and len(known) == len(filled) and decimals > MIN_SHARE * len(known) / 2


def are_low_for_age(cells: Column, years: Column) -> bool:
    """Whether bare numbers of kilometres are too small for the age of the cars, in all old ones.

    Args:
        cells: of the column of distances.
        years: cells of the column of years, in the same rows.
    """
    oldest = datetime.now(UTC).year - OLD_CAR_YEARS
    driven = [
        number
        for cell, year in zip(cells, years, strict=False)
        if (number := parse_number(cell, whole=True)) is not None
        and is_valid("year", year)
        and CAR_FIELDS["year"].read(year) <= oldest
    ]
    return len(driven) >= MIN_OLD_CARS and all(0 < number < ODOMETER_MIN_KM for number in driven)


def have_letters(cells: Column) -> bool:
    """Whether a cell of a column has a letter, so that it may state a unit."""
    return any(character.isalpha() for cell in cells for character in cell)


def state_other_units(field: str, cells: Column) -> bool:
    """Whether most cells state another unit than the field's, so that a bare number is unclear."""
    kind = CAR_FIELDS[field]
    if not isinstance(kind, Number) or kind.litres:
        return False
    return share(cells, lambda cell: kind.remark(cell) == CONVERTED) > MIN_SHARE


def agreement(
    field: str, one: Column, other: Column, units: tuple[str | None, str | None] = (None, None)
) -> float:
    """Share of the rows in which two columns of a field do not contradict each other.

    Args:
        field: the field.
        one: cells of a column.
        other: cells of the other column.
        units: of whole columns, if their headers state them.
    """
    pairs = [
        (_normal(field, left, units[0]), _normal(field, right, units[1]))
        for left, right in zip(one, other, strict=False)
        if not is_blank(left) and not is_blank(right)
    ]
    return sum(_are_equal(*pair) for pair in pairs) / len(pairs) if pairs else 1.0


def completes(
    field: str,
    one: Column,
    other: Column,
    units: tuple[str | None, str | None],
    *,
    needs_proof: bool,
) -> bool:
    """Whether a column says the same as another one, so that it can be read where that is blank.

    Args:
        field: the field.
        one: cells of a column.
        other: cells of the column that may complete it.
        units: of whole columns, if their headers state them.
        needs_proof: whether a row must have both.
    """
    pairs = zip(one, other, strict=False)
    has_proof = any(not is_blank(left) and not is_blank(right) for left, right in pairs)
    return (has_proof or not needs_proof) and agreement(field, one, other, units) >= AGREEMENT


def _normal(field: str, cell: str, unit: str | None) -> object:
    kind = CAR_FIELDS[field]
    try:
        return kind.read_with_code(cell, unit)[0] if isinstance(kind, Number) else kind.read(cell)
    except ValidationError:
        return fold(cell)


def _are_equal(one: object, other: object) -> bool:
    """Equal, or numbers that differ by one, or by rounding: model year and date, kW and PS."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= max(1.0, ROUNDING * abs(one))
    return one == other


def find_title_column(
    header: Sequence[str],
    taken: Collection[int],
    cells_of: Callable[[int], Column],
    *,
    company: int | None,
    model: int | None,
    has_brand: bool,
) -> int | None:
    """The column that holds brand and model together, or the model under a name like "Name".

    Args:
        header: the names of the file's columns.
        taken: indexes of the columns that are fields of the car.
        cells_of: the first cells of a column.
        company: index of the column of brands, if there is one.
        model: index of the column of models, if there is one.
        has_brand: whether the brand is known otherwise, in a column or for the whole file.
    """
    if model is not None:  # without a column of brands
        return model if share(cells_of(model), is_title) > MIN_SHARE else None
    named = [
        index
        for index, name in enumerate(header)
        if index not in taken and header_key(name) in TITLE_KEYS
    ]
    shares = {index: share(cells_of(index), _names_vehicle) for index in named}
    best = max(named, key=shares.__getitem__, default=None)
    if best is not None:
        needed = NAMED_MIN_SHARE if _names_a_car(header[best]) else MIN_SHARE
        if shares[best] > needed:
            return best
    if has_brand and company is not None:
        if share(cells_of(company), is_title) > MIN_SHARE:
            return company
        brands = cells_of(company)
        for index in named:
            if _are_models(brands, cells_of(index)) or _names_a_car(header[index]):
                return index
    elif has_brand:
        return next((index for index in named if _names_a_car(header[index])), None)
    return None


def find_models(free: Sequence[int], cells_of: Callable[[int], Column], company: int) -> int | None:
    """The column of the models of the brands in a column, of a table without a header.

    Args:
        free: indexes of the columns that are no field yet.
        cells_of: the first cells of a column.
        company: index of the column of brands.
    """
    known = next((at for at in free if _are_models(cells_of(company), cells_of(at))), None)
    if known is not None:
        return known
    beside = company + 1
    return beside if beside in free and not are_odometers(cells_of(beside)) else None


def _names_vehicle(text: str) -> bool:
    """Whether a text names a model, with its brand or without."""
    return begins_with_brand(text) or is_known_car(None, text)


def _names_a_car(name: str) -> bool:
    """Whether a column's name says that it holds names of cars, not of people."""
    return not VEHICLE_WORDS.isdisjoint(fold(name.replace("_", " ")).split())


def _are_models(brands: Column, names: Column) -> bool:
    """Whether most names are known models of the brands beside them."""
    pairs = [(brand, name) for brand, name in zip(brands, names, strict=False) if brand and name]
    known = sum(is_known_car(brand, name) for brand, name in pairs)
    return known > MIN_SHARE * len(pairs)

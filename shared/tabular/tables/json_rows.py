"""Converts JSON Lines, or a JSON array of objects, to numbered CSV, in bounded memory.

The file is read twice: the first time for the names of all members, which are the columns. Members
of an object within an object become columns of their own, as `vehicle.make`. A list of objects may
also stand in an object around it: `{"data": [...]}`.
"""

import codecs
import itertools
import json
import re
from collections.abc import Collection, Generator, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.fields.car import CAR_FIELDS
from shared.tabular.cell_evidence import is_brand
from shared.tabular.column_names import field_for_header
from shared.tabular.csv_reader import COLUMNS_MAX, replace_unreadable
from shared.tabular.tables.cells import json_cell
from shared.tabular.tables.json_shapes import (
    MIN_NAMES,
    cars_in,
    is_nameless,
    known_names,
    named_rows,
)
from shared.tabular.tables.rows import RowWriter

BLOCK_BYTES = 1 << 18
RECORD_MAX_CHARS = 2_000_000
PREVIEW_RECORDS = 2_000
"""Objects whose members are the columns of a preview."""

CAR_MIN_MEMBERS = 2
"""An object with so many known names is a car, whatever lists it holds."""

AMOUNT_NAMES = frozenset({"value", "amount"})
"""Members of an object that are a number, whose unit or currency is another member."""

INNER_LIST_MAX = 10_000
"""Objects in a list that is a member of a car."""

MAX_DEPTH = 4
"""Objects around the list of cars."""

SEEN_CHARS, NAME_MAX_CHARS = 20, 60
"""Characters of the text, and of a name, that a refusal quotes."""

COMPANY = "company"
_WORD = re.compile(r"(?:true|false|null)\b")
_SPACES = re.compile(r"[ \t\r\n]*")


class _RepeatedMemberError(Exception):
    """An object names a member twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object.

    Raises:
        _RepeatedMemberError: two have the same name, and different values.
    """
    members = dict(pairs)
    if len(members) < len(pairs):
        for name, value in pairs:
            if members[name] != value:
                raise _RepeatedMemberError(name)
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
_NEXT_LINE = re.compile(r"\n\{")
"""The next object of JSON Lines."""

Record = Mapping[str, Any]
Walk = Generator["NumberedRecord", None, dict[str, Any] | None]
"""Gives out the cars of a list; returns the members of an object that holds no such list."""


class NumberedRecord(NamedTuple):
    """An object of a file."""

    number: int
    """Its line in JSON Lines, its place in an array; from 1."""
    record: Record


def convert_json(stream: BinaryIO, writer: RowWriter) -> None:
    """Write the objects of a file as numbered CSV.

    Raises:
        UnreadableUpload: it is damaged, or is no list of objects.
    """
    names: dict[str, None] = {}
    reader = _JsonReader(stream)
    looked_at = None if writer.max_rows is None else PREVIEW_RECORDS
    for _, record in itertools.islice(reader.records(), looked_at):
        names |= dict.fromkeys(_flatten(record))
        if len(names) > COLUMNS_MAX:
            break
    amounts = _amounts(names)
    for name in amounts:
        del names[name]
    if not names:
        return
    kinds = {name: CAR_FIELDS.get(field_for_header(name) or "") for name in names}
    if not reader.has_nameless_rows:
        writer.header([replace_unreadable(name) for name in names])
    rows = (
        (number, [json_cell(cells.get(name), kinds[name]) for name in names])
        for number, cells in (
            (number, _rename(_flatten(record), amounts))
            for number, record in _JsonReader(stream).records()
        )
    )
    if reader.has_nameless_rows:
        number, first = next(rows)
        writer.header(first, number)
    writer.rows(rows, len(names))


def _flatten(record: Record) -> dict[str, Any]:
    """The members of an object, and those of its objects under names with a dot.

    >>> _flatten({"id": 1, "vehicle": {"make": "Kia"}})
    {'id': 1, 'vehicle.make': 'Kia'}
    """
    flat: dict[str, Any] = {}
    for name, value in zip(record, map(_plain, record.values()), strict=True):
        if not isinstance(value, dict):
            flat[name] = value
            continue
        for inner, member in zip(value, map(_plain, value.values()), strict=True):
            if isinstance(member, dict) and _has_columns(member):
                flat |= {f"{name}.{inner}.{last}": _plain(part) for last, part in member.items()}
            else:
                flat[f"{name}.{inner}"] = member
    return flat


def _has_columns(member: Record) -> bool:
    """Whether the members of an object two levels down are columns."""
    return not AMOUNT_NAMES.isdisjoint(member) or known_names(member) >= MIN_NAMES


def _plain(value: Any) -> Any:
    """The value in an object that only states its type, as MongoDB exports it.

    >>> _plain({"$numberInt": "2018"}), _plain({"$date": {"$numberLong": "0"}}), _plain({"a": 1})
    ('2018', '0', {'a': 1})
    """
    while isinstance(value, dict) and len(value) == 1:
        name, inner = next(iter(value.items()))
        if not name.startswith("$"):
            break
        value = inner
    return value


def _amounts(names: Collection[str]) -> dict[str, str]:
    """Columns of plain values by name, with the column of the values that have a unit beside them.

    >>> _amounts(["km", "km.value", "km.unit", "year"])
    {'km': 'km.value'}
    """
    return {
        name: f"{name}.{amount}"
        for name in names
        for amount in sorted(AMOUNT_NAMES)
        if f"{name}.{amount}" in names
    }


def _rename(cells: dict[str, Any], amounts: Mapping[str, str]) -> Mapping[str, Any]:
    """The cells of an object with its plain values in the column of those with a unit."""
    for name in amounts.keys() & cells.keys():
        if cells[name] is not None:
            cells[amounts[name]] = cells[name]
    return cells


def _names_fields(record: Record) -> bool:
    return any(field_for_header(name) is not None for name in _flatten(record))


def _is_brand_of(name: str, car: Record) -> bool:
    """Whether a list's name is the brand of its cars, the first of which states none."""
    fields = {field_for_header(member) for member in _flatten(car)}
    return COMPANY not in fields and is_brand(name)


def _encoding(stream: BinaryIO) -> str:
    """The Unicode encoding of a JSON text, which begins with an ASCII sign."""
    head = stream.read(2)
    stream.seek(0)
    if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if head[1:] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if head[:1] == b"\0" else "utf-8-sig"


class _JsonReader:
    """Reads the objects of a file one by one.

    Args:
        stream: the file, binary and seekable; UTF-8 or UTF-16.
    """

    def __init__(self, stream: BinaryIO) -> None:
        stream.seek(0)
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(_encoding(stream))()
        self.has_nameless_rows = False
        """Whether the file is a list of lists, the first of which is a car."""
        self._text = ""
        self._at = 0
        self._lines_before = 0
        self._is_whole = False
        self._cars = 0
        """Cars given out from the lists within an object."""
        self._are_by_brand = False
        """Whether the name of such a list is the brand of its cars."""

    def records(self) -> Iterator[NumberedRecord]:
        """The objects, with their numbers.

        Raises:
            UnreadableUpload: at what is no JSON, or no list of objects.
        """
        if self._peek() == "[":
            yield from self._array()
            if self._peek():
                raise self._error("wrong-json")
            return
        if self._peek() not in ("{", ""):
            raise self._no_object()
        line = self._line()
        members = yield from self._first_object({}, 0)
        if members is not None:
            cars = None if self._peek() else cars_in(members)
            if cars is not None:
                yield from itertools.starmap(NumberedRecord, enumerate(cars, start=1))
                return
            yield NumberedRecord(line, members)
        while self._peek():
            line = self._line()
            if self._peek() != "{" or members is None:
                raise self._error("wrong-json")
            yield NumberedRecord(line, self._value())

    def _array(self) -> Iterator[NumberedRecord]:
        """The objects of an array."""
        self._expect("[")
        if self._peek() == "]":
            self._at += 1
            return
        if self._peek() == "[":
            yield from self._rows(self._lists())
            return
        if self._peek() != "{":
            yield from self._lines_of_lists()
            return
        yield NumberedRecord(1, self._element())
        yield from self._rest_of_array()

    def _rest_of_array(self) -> Iterator[NumberedRecord]:
        """The objects of an array after the first one."""
        number = 1
        while self._peek() != "]":
            self._expect(",")
            number += 1
            yield NumberedRecord(number, self._element())
        self._at += 1

    def _lines_of_lists(self) -> Iterator[NumberedRecord]:
        """The rows of a file with a list in each line, the first of which has begun."""
        at = self._at
        self._at = start = self._text.rindex("[", 0, at)
        self._value()
        is_table = self._peek() == "["
        self._at = start if is_table else at
        if not is_table:
            raise self._no_object()

        def following() -> Iterator[list[Any]]:
            while sign := self._peek():
                if sign != "[":
                    raise self._error("wrong-json")
                yield self._value()

        yield from self._rows(following())

    def _no_object(self) -> UnreadableUpload:
        """The error at what is no object."""
        sign = self._peek()
        if not sign:
            return self._error("truncated-json")
        is_value = sign in '["-0123456789' or _WORD.match(self._text, self._at) is not None
        return self._error("json-shape" if is_value else "wrong-json")

    def _rows(self, following: Iterator[list[Any]]) -> Iterator[NumberedRecord]:
        """Lists as objects, by the names in the first one, which begins at this place.

        Args:
            following: the other lists.
        """
        first: list[Any] = self._value()
        self.has_nameless_rows = is_nameless(first)
        if not self.has_nameless_rows and known_names(first) < MIN_NAMES:
            self._at = self._text.rindex("[", 0, self._at)
            raise self._error("json-shape")
        rows = itertools.chain([first], following)
        yield from itertools.starmap(
            NumberedRecord, enumerate(named_rows(rows), start=1 + (not self.has_nameless_rows))
        )

    def _lists(self) -> Iterator[list[Any]]:
        while self._peek() != "]":
            self._expect(",")
            if self._peek() != "[":
                raise self._no_object()
            yield self._value()
        self._at += 1

    def _list(self) -> list[Any]:
        """A list, read value by value."""
        self._expect("[")
        values: list[Any] = []
        while (sign := self._peek()) != "]":
            if not sign:
                raise self._error("truncated-json")
            if values:
                self._expect(",")
                self._peek()
            values.append(self._value())
        self._at += 1
        return values

    def _element(self) -> dict[str, Any]:
        if self._peek() != "{":
            raise self._no_object()
        element: dict[str, Any] = self._value()
        return element

    def _first_object(self, known: dict[str, None], depth: int) -> Walk:
        """The cars in an object around their list; or its members if it is a car itself."""
        self._expect("{")
        members: dict[str, Any] = {}
        found_list = False
        while (sign := self._peek()) != "}":
            if members or found_list:
                self._expect(",")
                sign = self._peek()
            if sign != '"':
                raise self._error("wrong-json" if sign else "truncated-json")
            name = self._value()
            self._expect(":")
            sign = self._peek()
            is_car = len(known) >= CAR_MIN_MEMBERS
            if sign == "[" and not is_car and self._peek(1) == "{":
                self._expect("[")
                first = self._element()
                if _names_fields(first):
                    by_brand = _is_brand_of(name, first)
                    if found_list and not (by_brand and self._are_by_brand):
                        raise self._error("several-json-lists", seen=name)
                    found_list, self._are_by_brand = True, by_brand
                    cars = itertools.chain([first], (car for _, car in self._rest_of_array()))
                    for car in cars:
                        self._cars += 1
                        yield NumberedRecord(
                            self._cars, {COMPANY: name, **car} if by_brand else car
                        )
                else:
                    rest = itertools.islice(self._rest_of_array(), INNER_LIST_MAX)
                    self._keep(members, name, [first, *(record for _, record in rest)])
            elif sign == "{" and not is_car and depth < MAX_DEPTH:
                inner = yield from self._first_object(known, depth + 1)
                found_list = found_list or inner is None
                self._keep(members, name, inner)
            else:
                self._keep(members, name, self._list() if sign == "[" else self._value())
            field = field_for_header(name)
            if field is not None:
                known[field] = None
        self._at += 1
        return None if found_list else members

    def _keep(self, members: dict[str, Any], name: str, value: Any) -> None:
        if name in members and members[name] != value:
            raise self._error("repeated-json-member", seen=name)
        members[name] = value

    def _value(self) -> Any:
        """The value at this place."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except _RepeatedMemberError as error:
                raise self._error("repeated-json-member", seen=str(error)) from None
            except (ValueError, RecursionError) as error:
                place = getattr(error, "pos", self._at)
                if self._is_whole or len(self._text) - self._at > RECORD_MAX_CHARS:
                    raise self._decode_error(place) from None
            else:
                if end < len(self._text) or self._is_whole:  # a number may go on
                    self._at = end
                    return value
            self._read()

    def _decode_error(self, place: int) -> UnreadableUpload:
        is_cut = self._is_whole and not self._text[place:].strip(' \t\r\n"')
        is_open = self._is_whole and self._text[place : place + 1] == '"'
        if _NEXT_LINE.search(
            self._text, self._at, place + 1
        ):  # not the file is cut, but this object
            return self._error("wrong-json")
        return self._error("truncated-json" if is_cut or is_open else "wrong-json", place)

    def _peek(self, skip: int = 0) -> str:
        """The sign at this place, or `skip` signs further, after white space; empty at the end."""
        at = self._at
        for _ in range(skip + 1):
            while True:
                at = _SPACES.match(self._text, at).end()  # type: ignore[union-attr]
                if at < len(self._text) or self._is_whole:
                    break
                before = self._at
                self._read()
                at -= before - self._at
            if not skip:
                self._at = at
            at += 1
        return self._text[at - 1 : at]

    def _expect(self, sign: str) -> None:
        found = self._peek()
        if found != sign:
            raise self._error("wrong-json" if found else "truncated-json")
        self._at += 1

    def _read(self) -> None:
        """Append the next block to the text that is left."""
        self._lines_before += self._text.count("\n", 0, self._at)
        block = self._stream.read(BLOCK_BYTES)
        try:
            more = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError:
            raise self._error("json-not-utf8") from None
        self._text, self._at = self._text[self._at :] + more, 0
        self._is_whole = not block

    def _line(self) -> int:
        return self._lines_before + self._text.count("\n", 0, self._at) + 1

    def _error(
        self, code: str, place: int | None = None, seen: str | None = None
    ) -> UnreadableUpload:
        if place is not None:
            self._at = place
        line = self._line()
        if seen is None:
            seen = self._text[self._at : self._at + SEEN_CHARS].strip()
        seen = seen[:NAME_MAX_CHARS]
        return UnreadableUpload([FieldProblem(f"/line/{line}", code, line=line, seen=seen)])

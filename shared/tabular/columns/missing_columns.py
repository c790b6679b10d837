"""Columns that are needed and were not found: near names, suggestions, and the problem."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from rapidfuzz import fuzz

from shared.domain.errors import FieldProblem
from shared.domain.table import ColumnMatch, Notice
from shared.fields.blanks import is_blank
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.text import WRONG_TYPE
from shared.tabular.cell_evidence import Column, is_brand, is_valid, is_year, looks_like
from shared.tabular.column_names import (
    ASKING_PRICE,
    FIELD_BY_KEY,
    NAME_MAX_CHARS,
    header_key,
    read_name,
)

HEADER_MAX_CHARS = 80
HEADERS_SHOWN = 40
HEADERS_SHOWN_MAX = 200
"""Columns that a problem lists with their first cells, for a form that lets people map them."""
SAMPLES_SHOWN = 2
SAMPLE_MAX_CHARS = 30
ALIASES_SHOWN = 2
"""Aliases shown per column when several columns are missing."""

COLUMNS_LOOKED_AT = 30
"""Columns whose cells are looked at for a suggestion."""

SEPARATED_MIN_NAMES = 3
"""So many names of fields in one column's name are a header that was not separated."""
_OTHER_SEPARATORS = re.compile(r"""[\s,;|^~:#/\\"'\x1f\xa6\xa7]+""")

SIMILAR_RATIO = 75.0
WORD_MIN_CHARS = 4
_LOST_LETTERS = re.compile(
    "[A-Za-z](?:[?]+|[^\\x00-\\x7fÀ-ÖØ-öø-ſ’])(?=[A-Za-z])"  # noqa: RUF001
    "|[a-z][À-ÖØ-Þ](?=[a-z])|[ÃÂØÙ][\u00a1-\u00bf\u201a-\u2122]|[\x80-\x9f\ufffd]"
)
"""Signs of letters that were read in a wrong encoding, or replaced."""


def missing_columns(
    header: Sequence[str],
    missing: Sequence[str],
    taken: Collection[int],
    cells_of: Callable[[int], Column],
) -> list[FieldProblem]:
    """One problem for all missing columns, and another if the encoding seems to be wrong.

    Args:
        header: the names of the file's columns.
        missing: required fields without a column.
        taken: indexes of the columns of other fields.
        cells_of: the first cells of a column.
    """
    free = [index for index in range(len(header)) if index not in taken]
    plausible = dict(_plausible(header, missing, free, cells_of))
    mapping = ",".join(
        f"{field}:{_mapping_name(header, index)}" for field, index in plausible.items()
    )
    named = ALIASES_SHOWN if len(missing) > 1 else None
    problem = FieldProblem(
        "/header",
        "missing-column",
        fields=list(missing),
        columns=", ".join(
            f"{name} ({', '.join(CAR_FIELDS[name].aliases[:named])})" for name in missing
        ),
        found=format_header(header),
        mapping=f"columns={mapping or missing[0] + ':…'}",
        matched=plausible,
    )
    if _holds_several_names(header):
        return [FieldProblem("/header", "other-delimiter", found=format_header(header))]
    problems = [problem]
    if any(is_year(name) or is_brand(name) for name in header):
        cells = format_header(header)
        problems.insert(0, FieldProblem("/header", "car-as-header", found=cells))
    lost = [name for name in header if _LOST_LETTERS.search(name)]
    if lost:
        problems.append(FieldProblem("/header", "suspect-encoding", values=format_header(lost)))
    return problems


def _holds_several_names(header: Sequence[str]) -> bool:
    """Whether a single column's name is a header that was not separated: `make^model^year`."""
    if len(header) != 1:
        return False
    words = _OTHER_SEPARATORS.split(header[0][:NAME_MAX_CHARS])
    named = {found.field for word in words if word and (found := read_name(word)) is not None}
    return len(named) >= SEPARATED_MIN_NAMES


def _plausible(
    header: Sequence[str],
    missing: Sequence[str],
    free: Sequence[int],
    cells_of: Callable[[int], Column],
) -> Iterator[tuple[str, int]]:
    """For each missing field the column that may be meant, by its name or else by its cells."""
    left = list(free) if len(header) > 1 else []  # a single column holds no single field
    for field in missing:
        found = _most_similar(field, header, left, cells_of)
        if found is None:
            looked_at = left[:COLUMNS_LOOKED_AT]
            found = next((at for at in looked_at if looks_like(field, cells_of(at))), None)
        if found is not None:
            left.remove(found)
            yield field, found


def _may_hold(field: str, cells: Column) -> bool:
    """Whether a field accepts a cell of a column, or all its cells are blank."""
    filled = [cell for cell in cells if not is_blank(cell)]
    return not filled or any(is_valid(field, cell) for cell in filled)


def _most_similar(
    field: str, header: Sequence[str], free: Sequence[int], cells_of: Callable[[int], Column]
) -> int | None:
    known = [key for key, name in FIELD_BY_KEY.items() if name == field]
    best, place = SIMILAR_RATIO, None
    for index in free:
        ratio = _similarity(header_key(header[index][:NAME_MAX_CHARS]), known)
        if ratio > best and _may_hold(field, cells_of(index)):
            best, place = ratio, index
    return place


def _similarity(key: str, known: Sequence[str]) -> float:
    """From 0 to 100, which is a word of the key that is a known name itself."""
    words = {word for word in key.split() if len(word) >= WORD_MIN_CHARS}
    if words.intersection(known):
        return 100.0
    return float(max((fuzz.ratio(key, name) for name in known), default=0.0))


def list_columns(
    header: Sequence[str], matched: Mapping[str, int], cells_of: Callable[[int], Column]
) -> dict[str, Any]:
    """Parameters of a problem from which a form can be made that asks for the columns.

    Args:
        header: the names of the file's columns.
        matched: indexes of the columns of fields, as far as they are known or suggested.
        cells_of: the first cells of a column.
    """
    shown = [shorten(name) for name in header[:HEADERS_SHOWN_MAX]]
    samples = [_samples(cells_of(index)) for index in range(len(shown))]
    return {"header": shown, "samples": samples, "matched": dict(matched)}


def _samples(cells: Column) -> list[str]:
    """The first different cells of a column that are filled, cut short."""
    plain = (cell.removesuffix(WRONG_TYPE).strip() for cell in cells)
    filled = dict.fromkeys(cell[:SAMPLE_MAX_CHARS] for cell in plain if cell)
    return list(islice(filled, SAMPLES_SHOWN))


def _mapping_name(header: Sequence[str], index: int) -> str:
    """How the option `columns` names a column."""
    name = header[index]
    return shorten(name) if "," not in name and len(name) <= HEADER_MAX_CHARS else f"#{index + 1}"


def format_header(header: Sequence[str]) -> str:
    """The names of a header for a message."""
    names = ", ".join(shorten(name) for name in islice(header, HEADERS_SHOWN))
    return names + ", …" if len(header) > HEADERS_SHOWN else names


def shorten(name: str) -> str:
    """A name of a column for a message."""
    return name if len(name) <= HEADER_MAX_CHARS else name[: HEADER_MAX_CHARS - 1] + "…"


def repeated_names(header: Sequence[str]) -> list[FieldProblem]:
    """A problem for each name that occurs before."""
    first: dict[str, int] = {}
    places = [(first.setdefault(name, index), index) for index, name in enumerate(header)]
    return [
        FieldProblem(
            f"/header/{index}", "duplicate-column",
            column=shorten(header[index]), position=index + 1, first=before + 1,
            meaning=_meaning(header[index]),
        )
        for before, index in places
        if before < index
    ]  # fmt: skip


def _meaning(name: str) -> str:
    """The field that a known name means."""
    found = read_name(name)
    return "" if found is None else found.field


def ambiguous_column(header: Sequence[str], field: str, one: int, other: int) -> FieldProblem:
    """The problem of two columns of one required field that contradict each other."""
    return FieldProblem(
        f"/header/{other}",
        "ambiguous-column",
        column=shorten(header[other]),
        other=shorten(header[one]),
        meaning=field,
    )


def unknown_column(header: Sequence[str], wanted: str) -> FieldProblem:
    """The problem of an option that names a column which the file has not."""
    return FieldProblem(
        "?columns", "unknown-column", column=shorten(wanted), found=format_header(header)
    )


def no_header(columns: Mapping[str, ColumnMatch], asking: ColumnMatch | None) -> Notice:
    """The notice that a file has no header, with what its columns were taken for."""
    fields = {match.index: field for field, match in columns.items()}
    if asking is not None:
        fields[asking.index] = ASKING_PRICE
    return Notice(
        code="no-header", values=tuple(f"#{index + 1}: {fields[index]}" for index in sorted(fields))
    )

"""The form of a draft: sheet, header, columns with their units and confidence, constants."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.pages.files.upload_form import (
    COLUMN,
    CONSTANT,
    CONSTANT_FIELDS,
    ENCODINGS,
    MAPPED_FIRST,
    MAPPED_LATER,
    NO_COLUMN,
    UNIT,
    UNIT_FIELDS,
    constant_entry,
    option_values,
    translated_choices,
)
from api.pages.language import gettext as _
from api.pages.language import page_language
from shared.domain.batch import BatchOptions
from shared.domain.files.draft import Draft
from shared.domain.table import ColumnMatch, Dialect, FileKind
from shared.fields.car import CAR_FIELDS
from shared.fields.prices import DIRHAM, THOUSAND_DIRHAM
from shared.fields.units import own_unit
from shared.i18n.catalogue import mark
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.columns.given_units import OTHER_CURRENCY, unit_choices

SHOWN = "shown-"
"""Prefix of hidden fields with what a select showed: only what differs from it was chosen."""
HEADER_ROWS_MAX = 20

CONFIDENCES = {
    "chosen": mark("your choice"),
    "certain": mark("certain"),
    "likely": mark("likely"),
    "unsure": mark("unsure"),
}
_BY_BASIS = {
    "given": "chosen",
    "name": "certain",
    "alias": "certain",
    "alias-and-unit": "certain",
    "date": "certain",
    "near": "likely",
    "title": "likely",
}
"""How a column was recognised: by its exact name, by a near one; else by its cells: unsure."""
_MIN_SURE = 0.65
"""Below this confidence many cells do not fit the field, whatever the name says."""

UNIT_NAMES = {
    "km": mark("kilometres"),
    "miles": mark("miles"),
    "thousand km": mark("thousands of km"),
    "cc": mark("cubic centimetres (cm³)"),
    "litres": mark("litres"),
    "bhp": mark("horsepower (hp, bhp)"),
    "PS": mark("metric horsepower (ch, PS)"),
    "CV": mark("metric horsepower (CV)"),
    "kW": mark("kilowatts (kW)"),
    "mpg": mark("miles per US gallon"),
    "mpg-imperial": mark("miles per imperial gallon"),
    "l/100km": mark("litres per 100 km"),
    "km/l": mark("km per litre"),
    "km/kg": mark("km per kg"),
    "Nm": mark("newton metres (Nm)"),
    "kgm": mark("kilogram metres (kgm)"),
    "lb-ft": mark("pound-feet (lb-ft)"),
    DIRHAM: mark("dirhams"),
    THOUSAND_DIRHAM: mark("thousands of dirhams"),
    OTHER_CURRENCY: mark("another currency (not read)"),
}


def confidence_of(match: ColumnMatch) -> str:
    """How sure it is that a column is the column of its field: a key of `CONFIDENCES`."""
    level = _BY_BASIS.get(match.basis, "unsure")
    if level in {"certain", "likely"} and match.confidence < _MIN_SURE:
        return "unsure"
    return level


def build_draft_form(
    draft: Draft, preview: Mapping[str, Any], values: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The form of a draft.

    Args:
        draft: the draft.
        preview: of its first rows (`worker.batches.drafts.previews`).
        values: of the fields as they were sent, if they were refused; they are kept.
    """
    kept = values or {}
    chosen = option_values(draft.options) | dict(kept)
    table = _Columns.of(preview)
    mapping = None if table is None else table.form(kept)
    return {
        "sheets": _sheets(preview, chosen.get("sheet", "")),
        "encodings": (
            translated_choices(ENCODINGS, chosen.get("encoding", ""))
            if draft.dialect.kind is FileKind.CSV
            else []
        ),
        "headers": _headers(preview, chosen.get("header", "")),
        "header_found": _header_found(preview),
        "mapping": mapping,
        "constants": [
            constant_entry(name, chosen.get(CONSTANT + name, "")) for name in CONSTANT_FIELDS
        ],
    }


def _sheets(preview: Mapping[str, Any], chosen: str) -> list[dict[str, Any]]:
    """The sheets of a workbook; the one that was read is selected."""
    selected = chosen or preview["sheet"]
    return [
        {"value": name, "label": name, "selected": name == selected} for name in preview["sheets"]
    ]


def _headers(preview: Mapping[str, Any], chosen: str) -> list[dict[str, Any]]:
    """The rows that may be the header, and "none"."""
    rows = [(f"#{number}", f"{number}: {text}") for number, text in preview["lines"]]
    if chosen.startswith("#") and chosen not in dict(rows):
        rows.append((chosen, chosen.removeprefix("#")))
    rows = [*rows[:HEADER_ROWS_MAX], ("no", _("None: the first row is a car"))] if rows else []
    return [{"value": value, "label": label, "selected": value == chosen} for value, label in rows]


def _header_found(preview: Mapping[str, Any]) -> str:
    """The label of the choice that leaves it to the service to find the header."""
    row = preview["header_row"]
    if row is None:
        return _("Recognised automatically")
    return _("Recognised automatically: row {row}").format(row=row)


class _Columns:
    """The columns of a file and what they are read as."""

    def __init__(
        self,
        header: Sequence[str],
        samples: Sequence[Sequence[str]],
        found: Mapping[str, tuple[int, str]],
        units: Mapping[str, str],
        *,
        are_read: bool = True,
    ) -> None:
        """Keep what the selects show.

        Args:
            header: the names of the columns.
            samples: the first cells of each column.
            found: index and confidence of the columns of fields.
            units: units by field that are not the field's own.
            are_read: whether the columns are read so without a choice; otherwise they are
                suggestions, which count once the form is sent.
        """
        self._are_read = are_read
        self._header = header
        self._samples = samples
        self._found = found
        self._units = units

    @classmethod
    def of(cls, preview: Mapping[str, Any]) -> "_Columns | None":
        """From a preview; None if it does not list the columns."""
        if preview["dialect"] is None:
            listed = next(
                (params for _p, _c, params in preview["problems"] if "header" in params), None
            )
            if listed is None:
                return None
            found = {field: (index, "unsure") for field, index in listed["matched"].items()}
            return cls(listed["header"], listed["samples"], found, {}, are_read=False)
        dialect = Dialect.from_json(preview["dialect"])
        matches = dict(dialect.columns)
        if dialect.asking is not None:
            matches[ASKING_PRICE] = dialect.asking
        found = {field: (match.index, confidence_of(match)) for field, match in matches.items()}
        price = preview["price_column"]
        if dialect.currency is not None and price is not None:
            found.setdefault(ASKING_PRICE, (price, "certain"))
        return cls(dialect.header, preview["samples"], found, _units_of(dialect))

    def form(self, kept: Mapping[str, str]) -> dict[str, Any]:
        """The selects, those of usual fields and found columns first.

        Args:
            kept: values of fields that were sent and are kept.
        """
        first = [*MAPPED_FIRST, *(name for name in MAPPED_LATER if name in self._found)]
        later = [name for name in MAPPED_LATER if name not in self._found]
        return {
            "first": [self._field(name, kept) for name in first],
            "later": [self._field(name, kept) for name in later],
        }

    def _field(self, name: str, kept: Mapping[str, str]) -> dict[str, Any]:
        index, confidence = self._found.get(name, (None, ""))
        shown = "" if index is None else f"#{index + 1}"
        chosen = kept.get(COLUMN + name, shown)
        columns = [
            {"value": f"#{at}", "label": title, "selected": chosen == f"#{at}"}
            for at, title in enumerate(self._header[: len(self._samples) or None], start=1)
        ]
        is_doubtful = confidence == "unsure" or (index is None and name in MAPPED_FIRST[:3])
        return {
            "field": name,
            "name": COLUMN + name,
            "label": CAR_FIELDS[name].label(page_language()),
            "shown": shown if self._are_read else "",
            "no_column": NO_COLUMN if shown else "",
            "columns": columns,
            "confidence": confidence,
            "confidence_text": _(CONFIDENCES[confidence]) if confidence else "",
            "is_doubtful": is_doubtful,
            "samples": self._samples[index] if index is not None and self._samples else (),
            "unit": self._unit(name, kept) if name in UNIT_FIELDS else None,
        }

    def _unit(self, name: str, kept: Mapping[str, str]) -> dict[str, Any]:
        """The select of a column's unit; "" stands for the unit that each cell or row states."""
        detected = self._units.get(name, own_unit(name) or "")
        chosen = kept.get(UNIT + name, detected)
        choices = [(each, _(UNIT_NAMES.get(each, each))) for each in unit_choices(name)]
        if detected == "" or chosen == "":
            choices.insert(0, ("", _("as each row states it")))
        return {
            "name": UNIT + name,
            "shown": detected,
            "choices": [
                {"value": value, "label": label, "selected": value == chosen}
                for value, label in choices
            ],
        }


def _units_of(dialect: Dialect) -> dict[str, str]:
    """The unit of each field's column, as far as it is not the field's own."""
    units = dict(dialect.units)
    units |= {name: "" for name, column in dialect.unit_columns.items() if column.usual is None}
    if dialect.currency is not None:
        units[ASKING_PRICE] = OTHER_CURRENCY
    elif any(notice.code == "price-scale" for notice in dialect.notices):
        units[ASKING_PRICE] = THOUSAND_DIRHAM
    return units


def chosen_values(values: Mapping[str, str], before: BatchOptions) -> dict[str, str]:
    """The values of a form that were chosen: now, or before.

    A select that stands as the page showed it is no choice: its column stays a detected one, so
    that the file is read as without the page. With another sheet or header the columns that were
    chosen before mean nothing.

    Args:
        values: of the form's fields.
        before: the choices that the page showed.
    """
    earlier = option_values(before)
    is_moved = any(
        name in values and values[name] != values.get(SHOWN + name, earlier.get(name, ""))
        for name in ("sheet", "header")
    )
    chosen = {}
    for name, value in values.items():
        if name.startswith(SHOWN):
            continue
        is_mapping = name.startswith((COLUMN, UNIT))
        if is_mapping and is_moved:
            continue
        if SHOWN + name in values and value == values[SHOWN + name]:
            chosen[name] = earlier.get(name, "")
        else:
            chosen[name] = value
    return chosen

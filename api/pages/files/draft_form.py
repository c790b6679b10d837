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
from shared.blobs.draft_files import choices_digest
from shared.domain.files.draft import Draft
from shared.domain.table import ColumnMatch, Dialect, FileKind
from shared.fields.car import CAR_FIELDS
from shared.fields.prices import DIRHAM, THOUSAND_DIRHAM
from shared.fields.units import own_unit
from shared.i18n.catalogue import mark
from shared.tabular.column_names import ASKING_PRICE
from shared.tabular.columns.given_units import OTHER_CURRENCY, unit_choices

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
    before = option_values(draft.options)
    chosen = before | dict(kept)
    table = _Columns.of(preview, dict(draft.options.units))
    mapping = None if table is None else table.form(kept)
    read = before["sheet"] if preview["dialect"] is None else ""
    constants = [constant_entry(name, chosen.get(CONSTANT + name, "")) for name in CONSTANT_FIELDS]
    return {
        "revision": choices_digest(draft.options),
        "sheets": _sheets(preview, read, kept.get("sheet", "")),
        "encodings": (
            translated_choices(ENCODINGS, chosen.get("encoding", ""))
            if draft.dialect.kind is FileKind.CSV
            else []
        ),
        "headers": _headers(preview, before.get("header", ""), chosen.get("header", "")),
        "header_found": _header_found(preview),
        "mapping": mapping,
        "constants": constants,
        "has_constants": any(one["value"] for one in constants),
    }


def _sheets(preview: Mapping[str, Any], asked: str, kept: str) -> list[dict[str, Any]]:
    """The sheets of a workbook; the one that was read is selected unless another one is kept.

    Args:
        preview: of the draft.
        asked: the sheet that was asked for if the file could not be read.
        kept: the sheet of a form that was refused.
    """
    names, current = preview["sheets"], asked or preview["sheet"]
    return _moving_choices([(name, name) for name in names], current, kept or current)


def _headers(preview: Mapping[str, Any], before: str, chosen: str) -> list[dict[str, Any]]:
    """The rows that may be the header, and "none"."""
    rows = [(f"#{number}", f"{number}: {text}") for number, text in preview["lines"]]
    rows += [
        (value, value.removeprefix("#"))
        for value in dict.fromkeys([before, chosen])
        if value.startswith("#") and value not in dict(rows)
    ]
    rows = [*rows[:HEADER_ROWS_MAX], ("no", _("None: the first row is a car"))] if rows else []
    return _moving_choices(rows, before, chosen)


def _moving_choices(
    labels: Sequence[tuple[str, str]], effective: str, selected: str
) -> list[dict[str, Any]]:
    """Choices of which table is read: the one in effect is not selected if another is kept."""
    return [
        {
            "value": value,
            "label": label,
            "selected": value == selected,
            "is_effective": value == effective,
        }
        for value, label in labels
    ]


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
    def of(cls, preview: Mapping[str, Any], given: Mapping[str, str]) -> "_Columns | None":
        """From a preview; None if it does not list the columns.

        Args:
            preview: of the draft.
            given: units that were chosen, by field; they hold even where no column is found yet.
        """
        given = {
            name: unit if unit in unit_choices(name) else OTHER_CURRENCY
            for name, unit in given.items()
        }
        if preview["dialect"] is None:
            listed = next(
                (params for _p, _c, params in preview["problems"] if "header" in params), None
            )
            if listed is None:
                return None
            found = {field: (index, "unsure") for field, index in listed["matched"].items()}
            return cls(listed["header"], listed["samples"], found, given, are_read=False)
        dialect = Dialect.from_json(preview["dialect"])
        matches = dict(dialect.columns)
        if dialect.asking is not None:
            matches[ASKING_PRICE] = dialect.asking
        found = {field: (match.index, confidence_of(match)) for field, match in matches.items()}
        price = preview["price_column"]
        if dialect.currency is not None and price is not None:
            found.setdefault(ASKING_PRICE, (price, "certain"))
        return cls(dialect.header, preview["samples"], found, given | _units_of(dialect))

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

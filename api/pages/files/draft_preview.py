"""The first rows of a draft as the page shows them, with the problems of each row."""

from collections.abc import Mapping
from typing import Any

from api.batches.detection_schemas import file_notices
from api.pages.files.sentences import NOTICES, problem_sentences
from api.pages.language import gettext as _
from api.pages.language import page_language
from shared.domain.errors import FieldProblem
from shared.domain.files.draft import Draft
from shared.domain.reading import Match
from shared.domain.table import Dialect, FileKind
from shared.fields.car import CAR_FIELDS
from shared.fields.kinds.number import CONVERTED
from shared.i18n.catalogue import mark
from shared.i18n.numbers import COMMA
from shared.messages.texts import describe_note, describe_row_error
from shared.tabular.column_names import ASKING_PRICE

OTHER_COLUMNS_MAX = 6
"""Columns that are no field, and are shown after the others."""

ISOLATED, ISOLATED_END = "\u2068", "\u2069"
"""Around a name whose direction may differ from that of the text."""

KINDS = {
    FileKind.CSV: mark("Text (CSV)"),
    FileKind.XLSX: mark("Excel workbook"),
    FileKind.PARQUET: "Parquet",
    FileKind.JSON: "JSON",
}
MATCHES = {
    Match.ALIAS: mark("known under another name"),
    Match.CORRECTED: mark("corrected"),
    Match.AMBIGUOUS: mark("uncertain"),
    Match.UNKNOWN: mark("not known"),
}


def preview_view(draft: Draft, preview: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of a preview.

    Args:
        draft: the draft.
        preview: of its first rows (`worker.batches.drafts.previews`).
    """
    problems = [
        FieldProblem(pointer, code, **params) for pointer, code, params in preview["problems"]
    ]
    view: dict[str, Any] = {
        "problems": problem_sentences(problems),
        "kind": _(KINDS[draft.dialect.kind]),
        "notices": [],
        "rows": [],
        "columns": [],
        "is_whole": preview["is_whole"],
        "sheet_count": len(preview["sheets"]),
        "encoding": draft.options.encoding or draft.dialect.encoding,
    }
    if preview["dialect"] is None:
        return view
    dialect = Dialect.from_json(preview["dialect"])
    shown = _shown_columns(dialect)
    rows = [_row(row, shown, dialect) for row in preview["rows"]]
    return view | {
        "encoding": dialect.encoding,
        "columns": [
            {"name": dialect.header[index], "label": label} for index, label in shown.items()
        ],
        "hidden": len(dialect.header) - len(shown),
        "rows": rows,
        "notices": file_notices(dialect, page_language(), NOTICES),
        "rejected": sum(row["is_rejected"] for row in rows),
    }


def _shown_columns(dialect: Dialect) -> dict[int, str]:
    """Labels of the columns that are shown, by index: those of fields, then a few others."""
    matches = dict(dialect.columns)
    if dialect.asking is not None:
        matches[ASKING_PRICE] = dialect.asking
    language = page_language()
    order = [name for name in CAR_FIELDS if name in matches]
    shown: dict[int, str] = {}
    for name in order:
        index, label = matches[name].index, CAR_FIELDS[name].label(language)
        shown[index] = f"{shown[index]}, {label}" if index in shown else label
    others = [index for index in range(len(dialect.header)) if index not in shown]
    return shown | dict.fromkeys(others[:OTHER_COLUMNS_MAX], "")


def _row(row: Mapping[str, Any], shown: Mapping[int, str], dialect: Dialect) -> dict[str, Any]:
    """One row with its cells, those with a problem marked, and its sentences."""
    language = page_language()
    by_column: dict[int, list[str]] = {}
    others: list[str] = []
    places = dict(dialect.column_indexes)
    if dialect.asking_index is not None:
        places[ASKING_PRICE] = dialect.asking_index
    for error in row["errors"]:
        sentence = describe_row_error(error, language)
        _place(by_column, others, shown, places.get(error["field"] or ""), sentence)
    wrong = set(by_column)
    for note in row["notes"]:
        sentence = describe_note(note["field"], note["code"], note["cell"], language)
        if sentence and note["code"] != CONVERTED:
            _place(by_column, others, shown, places.get(note["field"]), sentence)
    match = MATCHES.get(Match(row["match"])) if row["read_as"] else None
    return {
        "line": row["line"],
        "cells": [
            {
                "text": row["cells"][index],
                "problems": by_column.get(index, []),
                "is_wrong": index in wrong,
            }
            for index in shown
        ],
        "problems": others,
        "is_rejected": bool(row["errors"]),
        # A phone shows the start of the row only: it says where to scroll.
        "wrong_columns": COMMA[language].join(
            f"{ISOLATED}{dialect.header[index]}{ISOLATED_END}" for index in shown if index in wrong
        ),
        "read_as": row["read_as"],
        "match": _(match) if match else "",
        "suggestions": row["suggestions"],
    }


def _place(
    by_column: dict[int, list[str]],
    others: list[str],
    shown: Mapping[int, str],
    index: int | None,
    sentence: str,
) -> None:
    """Put a sentence under its cell, or under the row if the cell is not shown."""
    target = others if index is None or index not in shown else by_column.setdefault(index, [])
    if sentence not in target:
        target.append(sentence)

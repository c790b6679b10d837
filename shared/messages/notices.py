"""Texts of what is noticed about a file."""

from shared.i18n.catalogue import mark

NOTICE_MESSAGES: dict[str, str] = {
    "data-old": mark(
        "Most listings of the model are at least {values} months old: the market may have "
        "changed since, and the intervals are widened accordingly."
    ),
    "columns-without-effect": mark(
        "Without an effect on the prices of this model, whatever the value: {values}."
    ),
    "near-header": mark(
        "Header {values} is not known, but nearly: it is read as {label}. If it is not, "
        "use ?columns=."
    ),
    "no-header": mark(
        "No header row: the first row is a car. Columns recognised: {values}. To name "
        "others: ?columns=field:#number; if the first row is the header: ?header=yes."
    ),
    "other-column": mark("Several columns could be {label}: {column} is read, {values} is not."),
    "contradicting-columns": mark(
        "Several columns could be {label} and contradict each other: {values}. None is read; "
        "choose one by ?columns=."
    ),
    "constant-over-column": mark(
        "{label} is the constant stated with the upload; column of the file that is not "
        "read: {values}."
    ),
    "title-column": mark("Brand and model are read from column {values}."),
    "unit-converted": mark("Column {column}: stated in {values}, converted to {unit}."),
    "mixed-units": mark("Column {values} mixes several units: it is not read."),
    "units-by-row": mark(
        "Column {column}: each row is read in the unit or currency that its column {values} "
        "states; a value without a known unit is ignored."
    ),
    "units-below-header": mark("The row below the header states units ({values}); it is no car."),
    "units-above-header": mark("The row above the header states units: {values}."),
    "unclear-unit": mark(
        "Column {column}: its unit is not clear ({values}); only those of its values are "
        "read that state their unit. Write it in the header: {label} ({unit}), for example."
    ),
    "shared-affix": mark(
        "Headers are read without what several have in common: {values}. If that is wrong, "
        "use ?columns=."
    ),
    "read-where-blank": mark(
        "Column {column}: where it is blank, the value is read from another column: {values}."
    ),
    "unpriced-constant": mark(
        "{label}: the constant stated with the upload ({values}) is valued as damaged at "
        "best, for lack of comparable listings; such a car is worth less."
    ),
    "open-range-constant": mark(
        "{label}: the constant stated with the upload is an open range, read as its bound "
        "({values})."
    ),
    "foreign-currency": mark(
        "The prices are not in dirhams (column, currency: {values}): they are not compared "
        "with the estimates."
    ),
    "price-scale": mark(
        "Column {values} counts in thousands: these prices are not compared with the "
        "estimates. State them in dirhams."
    ),
    "row-names": mark(
        "Each row has one cell more than the header: the first one is taken for the name of "
        "the row ({values})."
    ),
    "repeated-keys": mark(
        "The key_column does not tell all rows apart (repeated or empty: {values}); the "
        "reports state the line, too."
    ),
    "assumed-encoding": mark(
        "Encoding recognised by its words: {values}. If it is another one, use ?encoding=."
    ),
    "other-charset": mark(
        "The upload states another encoding than that of the file (stated, read: {values})."
    ),
    "misread-text": mark(
        "The file is encoded twice: its accented letters had been read as {values}. They are "
        "restored."
    ),
    "quoted-lines": mark("Each whole line stands in quotes; these are removed."),
    "space-before-quotes": mark("Spaces before quotes are ignored."),
    "litres": mark("Column {column}: read as litres where the number is less than ten ({values})."),
    "unit-not-stated": mark(
        "Column {column}: its unit is not stated, read as km. If it is in miles, write so "
        "in its header: {column} (miles)."
    ),
    "unknown-category": mark("Column {column}: unknown words, ignored ({values})."),
    "titles-left-out": mark("Rows above the header, left out: {values}."),
    "options-without-use": mark("Of no use for a file of this format: {values}."),
    "other-sheets": mark("Other sheets, not read: {values}. Choose one with ?sheet=."),
    "mixed-encodings": mark(
        "The file mixes two encodings: {values} accented letters are UTF-8 and will be "
        "misread. Save all of it as UTF-8 and upload it again."
    ),
    "hidden-rows": mark(
        "Number of hidden rows of the sheet, which were read like the others: {values}."
    ),
    "hidden-columns": mark(
        "Hidden columns of the sheet, which were read like the others: {values}."
    ),
    "hidden-sheet": mark("The sheet that was read is hidden in the workbook: {values}."),
    "merged-cells": mark(
        "Number of cells that were given the value of their block of merged cells: {values}."
    ),
    "formulas-without-values": mark(
        "Number of formulas without a saved value, read as blank cells: {values}. Open the "
        "workbook in Excel or LibreOffice and save it to compute them."
    ),
    "cells-beyond-header": mark(
        "Cells to the right of the last column name, left out; rows: {values}."
    ),
    "macros-ignored": mark("The workbook's macros are neither read nor run."),
}
"""Remarks on an uploaded file that are no errors, by code."""

NOTICE_SCOPE = mark(" Seen in the first {rows} rows; those that follow are read in the same way.")
"""Appended to a notice that is based on the first rows only."""

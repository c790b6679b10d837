"""Messages about uploaded files, by code."""

from shared.i18n.catalogue import mark

ProblemTexts = tuple[str, str]
"""Title and detail."""

UPLOAD_MESSAGES: dict[str, str] = {
    "empty-file": mark("The file is empty; expected a header line, then one car a line."),
    "no-rows": mark("The file has a header line only; expected at least one car."),
    "binary-file": mark("Line {line} holds NUL bytes; expected a CSV text file."),
    "line-too-long": mark(
        "Line {line} is longer than {maximum} bytes; expected a CSV with one car a line."
    ),
    "too-many-columns": mark("At most {maximum} columns (found {count})."),
    "missing-column": mark(
        "Needed columns that are missing (with headers that are recognised): {columns}. "
        "Headers found: {found}. If one of these means such a column, say so: {mapping} "
        "(field:header, or field:#3 for the third column; several separated by commas)."
    ),
    "other-delimiter": mark(
        "The headers are not separated (a single column: '{found}'). Delimiters that are "
        "read: comma, semicolon, tab, vertical bar; save the file with one of them, or correct "
        "delimiter=."
    ),
    "car-as-header": mark(
        "The first row seems to be a car and not the names of columns: {found}. If the file "
        "has no header, say so: ?header=no, and if needed ?columns=company:#1,model:#2,year:#3."
    ),
    "duplicate-column": mark(
        "Header {column} (column {position}) is already that of column {first}; choose one "
        "in the query: ?columns={meaning}:#{first} or ?columns={meaning}:#{position}."
    ),
    "ambiguous-column": mark(
        "Both {column} and {other} could be {meaning}; choose one in the query: "
        "?columns={meaning}:{other}."
    ),
    "suspect-encoding": mark(
        "Letters of these headers seem to be read in a wrong encoding: {values}. Name it by "
        "encoding= (mac-roman, cp850, cp1256 or cp1252, for example), or save the file as UTF-8."
    ),
    "wrong-json": mark("Line {line}: this is no valid JSON (from {seen!r} on)."),
    "truncated-json": mark("The JSON file stops before its end, on line {line}."),
    "json-shape": mark(
        "Line {line}: expected a list of objects, one a car, like "
        '[{{"brand": "Dacia", "model": "Logan", "year": 2018}}], or one object a line (found '
        "{seen!r})."
    ),
    "repeated-json-member": mark(
        "Line {line}: member {seen!r} is given twice in one object, with different values; "
        "keep one."
    ),
    "several-json-lists": mark(
        "Line {line}: the object holds several lists of objects ({seen!r} is the second "
        "one); keep that of the cars, or send a file for each list."
    ),
    "json-not-utf8": mark("Line {line}: the JSON file is not UTF-8; save it as such."),
    "missing-correction-columns": mark(
        "Columns of the rejected rows that are missing: {columns}. Headers found: {found}. "
        "Download the rejected rows, correct their cells and keep their headers."
    ),
    "not-a-rejected-row": mark(
        "Line {line}: row_line is {value}; the batch has no rejected row of that number."
    ),
    "repeated-correction": mark("Line {line}: row {value} is corrected above already."),
    "unreadable-correction": mark(
        "Line {line} cannot be read ({found} cells instead of {expected}, or wrong quotes "
        "or characters)."
    ),
    "correction-cell-too-long": mark("Line {line}: a cell is longer than 100,000 characters."),
    "unordered-corrections": mark("In a file of this size the rows have to be sorted by row_line."),
    "corrected-batch-gone": mark("Batch {batch}, whose rows these are, is gone."),
    "unknown-header-row": mark(
        "There is no header in row {row}; filled rows at the start: {found}."
    ),
    "unknown-key-column": mark("key_column: there is no column {column}. Headers found: {found}."),
    "unknown-column": mark("There is no column {column}. Headers found: {found}."),
    "unknown-sheet": mark("sheet: there is no sheet {sheet}. Sheets found: {found}."),
    "other-sheets": mark(
        "The sheet {sheet} was read; the cars may be on another one: {found}. Choose it by sheet=."
    ),
    "nested-column": mark(
        "Column {column} holds {type}; expected one text, number, date or boolean a cell."
    ),
    "wrong-workbook": mark("The workbook is damaged, or is no Excel workbook."),
    "truncated-workbook": mark("The workbook stops before its end."),
    "wrong-parquet": mark("The Parquet file is damaged, or of an unknown variant."),
    "truncated-parquet": mark("The Parquet file stops before its end."),
    "table-too-large": mark("Unpacked, the table is more than can be read; send it as CSV."),
    "truncated-upload": mark("The upload breaks off before its end, after {received} bytes."),
    "truncated-form": mark("The multipart form stops before its end."),
    "wrong-form": mark("The multipart form cannot be read."),
    "truncated-gzip": mark("The gzip data stop before their end."),
    "wrong-gzip": mark("These are not valid gzip data."),
    "truncated-zstd": mark("The zstd data stop before their end."),
    "wrong-zstd": mark("These are not valid zstd data."),
    "zstd-window": mark(
        "The zstd window is larger than {maximum} MB; compress without --long or --ultra."
    ),
    "missing-file-part": mark("The form has no field `file` with the file."),
    "file-without-name": mark("The field `file` holds text, not a file: curl -F file=@cars.csv."),
    "unknown-part": mark(
        "Unknown form field {part}. Only `file` is read; options are query parameters."
    ),
}
"""Messages of `UnreadableUpload`, one for each invalid part of the file."""

UPLOAD_PROBLEM_MESSAGES: dict[str, ProblemTexts] = {
    "unreadable-upload": (mark("Unreadable file"), "{first}{more}"),
    "upload-too-large": (mark("File too large"), mark("At most {maximum} bytes, decompressed.")),
    "upload-overpacked": (
        mark("File packed too densely"),
        mark("It unpacks to more than {ratio} times its size; send it uncompressed."),
    ),
    "unsupported-upload": (
        mark("Unsupported format"),
        mark(
            "Expected {expected} (got {given}). Unpack an archive (ZIP, 7-Zip, RAR) and send "
            "the file in it. Otherwise open the file in Excel or the program that wrote it, "
            "and save it as .xlsx or CSV."
        ),
    ),
    "batch-already-ended": (
        mark("Batch already ended"),
        mark("Batch {id} has ended: there is nothing to cancel."),
    ),
    "storage-unavailable": (
        mark("Storage unavailable"),
        mark("The file cannot be stored or read; try again later."),
    ),
    "range-not-satisfiable": (mark("Range not satisfiable"), mark("The file has {size} bytes.")),
}

BATCH_ERROR_MESSAGES: dict[str, str] = {
    "row-rejected": mark(
        "Stopped after a rejected row, as asked (on_error=abort); what was under way has "
        "been finished."
    ),
    "attempts-exhausted": mark("Given up after several attempts; the incident is on record."),
    "car-limit-reached": mark("Stopped: the file has more cars than your key allows today."),
    "rows-missing": mark("Rows are missing in the results; the incident is on record."),
    "line-too-long": mark("A line is too long for a CSV."),
    "unreadable-table": mark("The file cannot be read as a table of cars; see errors."),
    "correction-refused": mark(
        "These are no corrections of rejected rows of that batch; see errors. Nothing was changed."
    ),
    "correction-outdated": mark(
        "The corrected batch is gone, or its rows are no longer rejected; nothing was "
        "changed in it."
    ),
}
"""Why a batch ended early."""

ROW_MESSAGES: dict[str, str] = {
    "repeated-header": mark("The row repeats the header."),
    "units-row": mark("The row states units, it is no car; they hold for the rows below."),
    "after-other-header": mark(
        "A header further up in the file has other columns than the first one: upload these "
        "rows in a file of their own."
    ),
    "summary-row": mark("A row of totals or averages ({value}), not a car."),
    "wrong-cell-count": mark("Number of cells in the row: {found} instead of {expected}."),
    "open-quote": mark("A quote is opened and not closed."),
    "unreadable-text": mark("The row holds bytes that are no text in the file's encoding."),
    "attempts-exhausted": BATCH_ERROR_MESSAGES["attempts-exhausted"],
    "cell-too-long": mark("A cell is longer than 100,000 characters."),
}
"""Errors of whole rows; those of single cells are in `shared.messages.texts`."""

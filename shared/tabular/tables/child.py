"""A process that turns one workbook or Parquet file into numbered CSV, and ends.

Whatever a hostile file does to a reader, it does it here: this process has its own, small limits
of memory and time, and a crash of it is an answer like any other. It reads a file that is open
already, writes the rows to its standard output, and says at the end, as one line of JSON on
standard error, what it found or why it gave up.

    python -m shared.tabular.tables.child '{"kind": "xlsx", "fd": 7, …}'
"""

import contextlib
import gc
import os
import resource
import sys
import threading
from collections.abc import Sequence
from typing import Any, BinaryIO

import orjson

from shared.domain.errors import FieldProblem, UnreadableUpload
from shared.domain.table import FileKind
from shared.tabular.files.file_kinds import ZIP_DAMAGE
from shared.tabular.tables.json_rows import convert_json
from shared.tabular.tables.rows import RowWriter

MEMORY_MAX_BYTES = 450_000_000
"""Of data; program and libraries come to some 100 MB more."""

CPU_MAX_S = 1_800
NOTICE_SHEETS = 20
SHEETS_LISTED = 200
"""Sheets from which the page of a draft lets people choose."""


def main(arguments: Sequence[str]) -> int:
    """Convert the file that the arguments name; 0 if that went well, 3 if it is refused."""
    order = orjson.loads(arguments[0])
    # Millions of rows and cells hold no cycles: searching for some takes a tenth of the time.
    gc.disable()
    gc.freeze()
    _set_resource_limits()
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        with os.fdopen(order["fd"], "rb") as source:
            report = _convert(order, source)
        sys.stdout.buffer.flush()
    except UnreadableUpload as error:
        return _refuse(error.problems)
    except MemoryError:
        return _refuse([FieldProblem("/file", "table-too-large")])
    _write_report(report)
    return 0


def _set_resource_limits() -> None:
    """Bound what this process may take."""
    with contextlib.suppress(ValueError, OSError):  # a lower limit is set already
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _exit_with_parent() -> None:
    """End when the parent does: the other end of standard input is its."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _convert(order: dict[str, Any], source: BinaryIO) -> dict[str, Any]:
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    writer = RowWriter(sys.stdout.buffer, size, order["max_bytes"], order.get("max_rows"))
    if order["kind"] == FileKind.PARQUET:
        from shared.tabular.tables.parquet import convert_parquet  # noqa: PLC0415 - 50 MB

        convert_parquet(source, writer)
        return {}
    if order["kind"] == FileKind.JSON:
        convert_json(source, writer)
        return {}
    return convert_workbook(order, source, writer)


def convert_workbook(order: dict[str, Any], source: BinaryIO, writer: RowWriter) -> dict[str, Any]:
    """Convert the chosen sheet of a workbook; returns what is to be said about it.

    Args:
        order: with the wanted `sheet` and the given `headers`.
        source: the workbook.
        writer: receives its rows.

    Raises:
        UnreadableUpload: it cannot be read.
    """
    try:
        return _convert_workbook(order, source, writer)
    except (*ZIP_DAMAGE, KeyError):
        raise UnreadableUpload([FieldProblem("/file", "wrong-workbook")]) from None


def _convert_workbook(order: dict[str, Any], source: BinaryIO, writer: RowWriter) -> dict[str, Any]:
    from shared.tabular.tables.workbooks.workbook import Workbook  # noqa: PLC0415 - not for Parquet

    workbook = Workbook(source)
    sheet = workbook.sheet(order["sheet"], order["headers"])
    rows = workbook.rows(sheet)
    table = rows.table(order["headers"], order.get("header_row"))
    if table is not None:
        writer.header(table.header, table.number)
        writer.rows(table.rows, len(table.header))
    others = [each.name for each in workbook.sheets if each != sheet]
    return {
        "sheet": sheet.name,
        "is_hidden": sheet.is_hidden,
        "header_row": table.number if table is not None else None,
        "titles": table.titles if table is not None else [],
        "others": others[:NOTICE_SHEETS],
        "sheets": [each.name for each in workbook.sheets][:SHEETS_LISTED],
        "has_macros": workbook.has_macros,
        "cut_rows": writer.cut_rows,
        **({"first": rows.first} if writer.max_rows is not None else {}),
        **rows.report(len(table.header) if table is not None else 0),
    }


def _refuse(problems: Sequence[FieldProblem]) -> int:
    _write_report({"problems": [[each.pointer, each.code, each.params] for each in problems]})
    return 3


def _write_report(report: dict[str, Any]) -> None:
    sys.stderr.write(orjson.dumps(report).decode() + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

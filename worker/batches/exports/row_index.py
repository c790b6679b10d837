"""Writes the row index of results: where each row is, in each order, and what the file adds up to.

The form is that of `shared.blobs.row_index`.
"""

import csv
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from shared.blobs.row_index import OTHER_BRANDS, STATUSES, VERDICTS, RowOrder, pack_index
from shared.blobs.row_lines import LineRun
from shared.domain.batch import BatchManifest, result_header, source_columns
from shared.domain.names import fold
from shared.vehicles.brands import find_brand
from shared.vehicles.catalogue import catalogue
from shared.vehicles.names import display_names

MAX_REASONS = 20
"""Kinds of errors of rejected rows that the head lists, most frequent first."""


class RowIndexWriter:
    """Collects the rows of results and writes their index.

    Args:
        manifest: of the batch.
        runs: lines of the rows; empty if they are not known.
    """

    def __init__(self, manifest: BatchManifest, runs: Sequence[LineRun]) -> None:
        own = len(source_columns(manifest.dialect.header))
        names = result_header(
            manifest.dialect.header, verdicts=manifest.dialect.asking_index is not None
        )
        added = {name.split("carprice_")[-1]: at for at, name in enumerate(names) if at >= own}
        self._price, self._status = added["price_mad"], added["row_status"]
        self._read_as = added["read_as"]
        self._verdict, self._difference = added.get("verdict"), added.get("difference_mad")
        self._delimiter = manifest.result_delimiter
        self._runs = runs

    def pack(self, lines: Iterable[str], errors: Iterable[bytes]) -> Iterator[bytes]:
        """The bytes of the index.

        Args:
            lines: of the stored results.
            errors: entries of the error report.
        """
        columns = self._read(lines)
        prices, differences = (_floats(columns[name]) for name in ("price", "difference"))
        brands, brand_codes, ranks = _brands(columns["brand"])
        codes = {
            "verdicts": _codes(columns["verdict"], VERDICTS),
            "statuses": _codes(columns["status"], STATUSES),
            "brands": brand_codes,
        }
        count = len(prices)
        row_lines = _row_lines(self._runs, count)
        orders = {
            RowOrder.PRICE: prices,
            RowOrder.BRAND: ranks,
            RowOrder.DIFFERENCE: differences,
        }
        sections = {
            "offsets": np.array(columns["offset"], dtype="<u8").tobytes(),
            "lines": row_lines.astype("<u4").tobytes(),
        }
        for name, of_rows in codes.items():
            sections[f"{name}.{RowOrder.LINE}"] = of_rows.tobytes()
        for order, keys in orders.items():
            rows = np.argsort(keys, kind="stable")  # NaN comes last
            sections[f"rows.{order}"] = rows.astype("<u4").tobytes()
            for name, of_rows in codes.items():
                sections[f"{name}.{order}"] = of_rows[rows].tobytes()
        reasons, error_rows, error_offsets = _errors(errors, row_lines)
        sections["error_rows"], sections["error_offsets"] = error_rows, error_offsets
        head = {
            "rows": count,
            "brands": brands,
            "valued": {str(order): int((~np.isnan(keys)).sum()) for order, keys in orders.items()},
            "total_mad": round(float(np.nansum(prices)), 2),
            "verdicts": _count(codes["verdicts"], VERDICTS),
            "statuses": _count(codes["statuses"], STATUSES),
            "brand_rows": np.bincount(brand_codes, minlength=len(brands) + 1).tolist(),
            "reasons": reasons,
        }
        yield from pack_index(head, sections)

    def _read(self, lines: Iterable[str]) -> dict[str, list[Any]]:
        """The columns that the index needs, and the offset of each row."""
        columns: dict[str, list[Any]] = {
            name: [] for name in ("price", "difference", "verdict", "status", "brand", "offset")
        }
        position = 0

        def measured() -> Iterator[str]:
            nonlocal position
            for line in lines:
                position += len(line) if line.isascii() else len(line.encode())
                yield line

        brand_of = _brand_reader()
        price, status, read_as = self._price, self._status, self._read_as
        verdict, difference = self._verdict, self._difference
        # A reader of CSV takes no more lines than the record has.
        for number, cells in enumerate(csv.reader(measured(), delimiter=self._delimiter)):
            columns["offset"].append(position)
            if number:
                columns["price"].append(cells[price])
                columns["status"].append(cells[status])
                columns["brand"].append(brand_of(cells[read_as]))
                columns["verdict"].append("" if verdict is None else cells[verdict])
                columns["difference"].append("" if difference is None else cells[difference])
        return columns


def _brand_reader() -> Callable[[str], str]:
    """A function that returns the brand of a cell of `read_as`; it keeps what it has read."""
    known: dict[str, str] = {"": ""}
    all_brands = catalogue()

    def brand_of(read_as: str) -> str:
        if read_as not in known:
            found = find_brand(all_brands, fold(read_as))
            known[read_as] = (
                display_names(found.name, "")[0] if found else read_as.partition(" ")[0]
            )
        return known[read_as]

    return brand_of


def _floats(cells: Sequence[str]) -> NDArray[np.float64]:
    """Numbers; NaN for empty cells."""
    return np.array([float(cell) if cell else np.nan for cell in cells], dtype=np.float64)


def _codes(cells: Sequence[str], values: Sequence[str]) -> NDArray[np.uint8]:
    by_value = {value: code for code, value in enumerate(values)}
    return np.array([by_value.get(cell, 0) for cell in cells], dtype=np.uint8)


def _brands(
    names: Sequence[str],
) -> tuple[list[str], NDArray[np.uint8], NDArray[np.float64]]:
    """The brands by code from 1, the code of each row, and its rank by name (NaN without one)."""
    counts = Counter(names)
    counts.pop("", None)
    listed = sorted((name for name, _ in counts.most_common(OTHER_BRANDS - 1)), key=fold)
    by_name = {name: code for code, name in enumerate(listed, 1)}
    by_name[""] = 0
    ranks = {name: float(rank) for rank, name in enumerate(sorted(counts, key=fold))}
    ranks[""] = float("nan")
    codes = np.array([by_name.get(name, OTHER_BRANDS) for name in names], dtype=np.uint8)
    return listed, codes, np.array([ranks[name] for name in names], dtype=np.float64)


def _row_lines(runs: Sequence[LineRun], count: int) -> NDArray[np.int64]:
    """The line of each row; 0 if the lines are not known."""
    if sum(run.rows for run in runs) != count:
        return np.zeros(count, dtype=np.int64)
    parts = [np.arange(run.first, run.first + run.rows) for run in runs]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _errors(
    entries: Iterable[bytes], row_lines: NDArray[np.int64]
) -> tuple[list[dict[str, Any]], bytes, bytes]:
    """The most frequent reasons, the rows that have entries, and where each one's begin."""
    counts: Counter[tuple[str, str | None]] = Counter()
    examples: dict[tuple[str, str | None], Any] = {}
    lines: list[int] = []
    offsets, at = [], 0
    for entry in entries:
        error = orjson.loads(entry)
        kind = error["code"], error["field"]
        counts[kind] += 1
        examples.setdefault(kind, error)
        if not lines or lines[-1] != error["line"]:
            lines.append(error["line"])
            offsets.append(at)
        at += len(entry)
    reasons = [
        {"code": kind[0], "field": kind[1], "rows": rows, "example": examples[kind]}
        for kind, rows in counts.most_common(MAX_REASONS)
    ]
    wanted = np.array(lines, dtype=np.int64)
    rows = np.searchsorted(row_lines, wanted)
    is_known = rows < len(row_lines)
    is_known[is_known] = row_lines[rows[is_known]] == wanted[is_known]
    kept = np.array(offsets, dtype="<u8")[is_known]
    return reasons, rows[is_known].astype("<u4").tobytes(), kept.tobytes()


def _count(codes: NDArray[np.uint8], values: Sequence[str]) -> Mapping[str, int]:
    numbers = np.bincount(codes, minlength=len(values)).tolist()
    return dict(itertools.islice(zip(values, numbers, strict=False), len(values)))

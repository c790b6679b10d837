"""Writes the row index of results: where each row is, in each order, and what the file adds up to.

The form is that of `shared.blobs.row_index`.
"""

import csv
import dataclasses
import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from shared.blobs.row_index import (
    NO_BRAND,
    OTHER_BRANDS,
    STATUSES,
    VERDICTS,
    RowIndex,
    RowOrder,
    pack_index,
)
from shared.blobs.row_lines import LineRun
from shared.domain.batch import BatchManifest, result_header, source_columns
from shared.domain.names import fold
from shared.vehicles.brands import find_brand
from shared.vehicles.catalogue import catalogue
from shared.vehicles.names import display_names

MAX_REASONS = 20
"""Kinds of errors of rejected rows that the head lists, most frequent first."""


@dataclasses.dataclass(kw_only=True, slots=True)
class RowColumns:
    """What an index keeps of each row; its sections can be made of them."""

    prices: NDArray[np.float64]
    """MAD; NaN without an estimate, as the differences without an asking price."""
    differences: NDArray[np.float64]
    verdicts: NDArray[np.uint8]
    statuses: NDArray[np.uint8]
    brands: NDArray[np.uint32]
    """Indexes in `names`."""
    names: list[str]
    offsets: NDArray[np.uint64]
    """(n + 1,) where each row begins, and the last one ends."""

    @classmethod
    def load(cls, index: RowIndex) -> Self:
        """The columns of a stored index."""
        dtypes = {
            "prices": "<f8", "differences": "<f8", "verdicts": "u1", "statuses": "u1",
            "brands": "<u4", "offsets": "<u8",
        }  # fmt: skip
        stored = {
            name: np.frombuffer(index.section(SECTION_NAMES.get(name, name)), dtype).copy()
            for name, dtype in dtypes.items()
        }
        return cls(names=list(index.head["names"]), **stored)

    def pack(self, runs: Sequence[LineRun], errors: Iterable[bytes]) -> Iterator[bytes]:
        """The bytes of the index.

        Args:
            runs: lines of the rows; empty if they are not known.
            errors: entries of the error report.
        """
        listed, brand_codes, ranks = _rank_brands(self.names, self.brands)
        codes = {"verdicts": self.verdicts, "statuses": self.statuses, "brands": brand_codes}
        row_lines = _row_lines(runs, len(self.prices))
        orders = {
            RowOrder.PRICE: self.prices,
            RowOrder.BRAND: ranks,
            RowOrder.DIFFERENCE: self.differences,
        }
        sections = {
            "offsets": self.offsets.astype("<u8").tobytes(),
            "lines": row_lines.astype("<u4").tobytes(),
            "prices": self.prices.astype("<f8").tobytes(),
            "differences": self.differences.astype("<f8").tobytes(),
            "brand_names": self.brands.astype("<u4").tobytes(),
        }
        for name, of_rows in codes.items():
            sections[f"{name}.{RowOrder.LINE}"] = of_rows.tobytes()
        for order, keys in orders.items():
            rows = np.argsort(keys, kind="stable")  # NaN comes last
            sections[f"rows.{order}"] = rows.astype("<u4").tobytes()
            for name, of_rows in codes.items():
                sections[f"{name}.{order}"] = of_rows[rows].tobytes()
        reasons, sections["error_rows"], sections["error_offsets"] = _errors(errors, row_lines)
        head = {
            "rows": len(self.prices),
            "brands": listed,
            "names": self.names,
            "valued": {str(order): int((~np.isnan(keys)).sum()) for order, keys in orders.items()},
            "total_mad": round(float(np.nansum(self.prices)), 2),
            "verdicts": _count(self.verdicts, VERDICTS),
            "statuses": _count(self.statuses, STATUSES),
            "brand_rows": np.bincount(brand_codes, minlength=len(listed) + 1).tolist(),
            "reasons": reasons,
        }
        yield from pack_index(head, sections)


SECTION_NAMES = {
    "verdicts": f"verdicts.{RowOrder.LINE}",
    "statuses": f"statuses.{RowOrder.LINE}",
    "brands": "brand_names",
}
"""Sections of an index that are not called as the columns of `RowColumns`."""


class RowIndexWriter:
    """Reads rows of results, and writes or changes their index.

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
        self._brand_of = _brand_reader()

    def pack(self, lines: Iterable[str], errors: Iterable[bytes]) -> Iterator[bytes]:
        """The bytes of the index.

        Args:
            lines: of the stored results.
            errors: entries of the error report.
        """
        return self._read(lines).pack(self._runs, errors)

    def changed(
        self, index: RowIndex, rows: Iterable[tuple[int, bytes]], errors: Iterable[bytes]
    ) -> Iterator[bytes]:
        """The bytes of the index after some rows have changed.

        Args:
            index: before.
            rows: number from 0, and line of the results, of each changed row.
            errors: entries of the new error report.
        """
        columns = RowColumns.load(index)
        sizes = np.diff(columns.offsets.astype(np.int64))
        brands = {name: at for at, name in enumerate(columns.names)}
        for number, record in rows:
            sizes[number] = len(record)
            new = self._read([record.decode()], has_header=False)
            brand = new.names[new.brands[0]]
            for name in ("prices", "differences", "verdicts", "statuses"):
                getattr(columns, name)[number] = getattr(new, name)[0]
            columns.brands[number] = brands.setdefault(brand, len(brands))
        columns.names = list(brands)
        columns.offsets[1:] = columns.offsets[0] + np.cumsum(sizes).astype(np.uint64)
        return columns.pack(self._runs, errors)

    def _read(self, lines: Iterable[str], *, has_header: bool = True) -> RowColumns:
        """The columns of rows of results; arrays, because a list of texts takes ten times more."""
        prices, differences = array("d"), array("d")
        verdicts, statuses, brands = array("B"), array("B"), array("I")
        numbers: dict[str, int] = {}
        position, offsets = 0, array("Q", [] if has_header else [0])

        def measured() -> Iterator[str]:
            nonlocal position
            for line in lines:
                position += len(line) if line.isascii() else len(line.encode())
                yield line

        brand_of, verdict, difference = self._brand_of, self._verdict, self._difference
        # A reader of CSV takes no more lines than the record has.
        for at, row in enumerate(csv.reader(measured(), delimiter=self._delimiter)):
            offsets.append(position)
            if at or not has_header:
                prices.append(_number(row[self._price]))
                statuses.append(_STATUS_CODES.get(row[self._status], 0))
                brands.append(numbers.setdefault(brand_of(row[self._read_as]), len(numbers)))
                verdicts.append(0 if verdict is None else _VERDICT_CODES.get(row[verdict], 0))
                differences.append(_NAN if difference is None else _number(row[difference]))
        return RowColumns(
            prices=np.frombuffer(prices, np.float64),
            differences=np.frombuffer(differences, np.float64),
            verdicts=np.frombuffer(verdicts, np.uint8),
            statuses=np.frombuffer(statuses, np.uint8),
            brands=np.frombuffer(brands, np.uint32),
            names=list(numbers),
            offsets=np.frombuffer(offsets, np.uint64),
        )


_NAN = float("nan")
_VERDICT_CODES = {value: code for code, value in enumerate(VERDICTS)}
_STATUS_CODES = {value: code for code, value in enumerate(STATUSES)}


def _number(cell: str) -> float:
    """A number; NaN for an empty cell."""
    return float(cell) if cell else _NAN


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


def _rank_brands(
    names: Sequence[str], brands: NDArray[np.uint32]
) -> tuple[list[str], NDArray[np.uint8], NDArray[np.float64]]:
    """The brands by code from 1, the code of each row, and its rank by name (NaN without one).

    Args:
        names: all brands.
        brands: of each row, indexes in `names`.
    """
    counts = dict(zip(names, np.bincount(brands, minlength=len(names)).tolist(), strict=True))
    counts = {name: count for name, count in counts.items() if name and count}
    frequent = sorted(counts, key=lambda name: -counts[name])[: OTHER_BRANDS - 1]
    listed = sorted(frequent, key=fold)
    by_name = {name: code for code, name in enumerate(listed, 1)} | {"": NO_BRAND}
    codes = np.array([by_name.get(name, OTHER_BRANDS) for name in names], dtype=np.uint8)
    places = {name: float(rank) for rank, name in enumerate(sorted(counts, key=fold))}
    ranks = np.array([places.get(name, np.nan) for name in names], dtype=np.float64)
    if not names:
        return listed, np.zeros(0, np.uint8), np.zeros(0)
    return listed, codes[brands], ranks[brands]


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

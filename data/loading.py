"""Reading listing files as people have them into the canonical table."""

import csv
import dataclasses
import gzip
import hashlib
import io
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from marshmallow import ValidationError

from data.cells import money, month_of, split_name
from data.formats import NAME, ListingFormat, detect_format
from data.schema import LISTING_DATE, PRICE, PRICE_SUSPECT, SOURCE, listing_table
from data.suspicion import suspicious_prices
from shared.domain.text import fold
from shared.schemas.car import CAR_FIELDS
from shared.schemas.fields import is_blank

_NEEDED = ("company", "model", "year")
_SMALLEST_PRICE_MAD = 1_000
_LARGEST_PRICE_MAD = 100_000_000
_DELIMITERS = ",;\t|"


class ListingsError(ValueError):
    """A file cannot be used as listings; the message is one line that says why."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """What became of a file's rows."""

    layout: str
    digest: str
    """SHA-256 of the file's bytes."""
    rows_read: int
    rows_kept: int
    dropped: Mapping[str, int]
    """Rows left out, by reason."""
    blanked: Mapping[str, int]
    """Cells of optional fields that could not be read and count as missing, by field."""
    suspects: int
    """Rows kept whose price is probably a typing error."""
    unused_columns: tuple[str, ...]

    def summary(self) -> str:
        """The report in one line."""
        dropped = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items())
        return (
            f"{self.layout}: {self.rows_kept} of {self.rows_read} rows kept"
            + (f" (dropped: {dropped})" if dropped else "")
            + f", {self.suspects} suspicious prices"
        )


def load_listings(path: Path) -> tuple[pd.DataFrame, LoadReport]:
    """Read a listings file (csv or csv.gz), whatever its layout.

    Raises:
        ListingsError: the file is missing, is not such a table, or no row of it can be used.
    """
    raw = _read_bytes(path)
    headers, rows = _parse(raw, path)
    layout = detect_format(headers)
    columns, unused = _columns(headers, rows, layout)
    missing = [name for name in (PRICE, *_NEEDED) if name not in columns]
    if missing:
        raise ListingsError(
            f"{path.name}: no column for {', '.join(missing)}; found: {', '.join(headers[:20])}"
        )
    return _canonical(columns, layout, path, hashlib.sha256(raw).hexdigest(), unused)


def _canonical(
    columns: Mapping[str, list[str]],
    layout: ListingFormat,
    path: Path,
    digest: str,
    unused: tuple[str, ...],
) -> tuple[pd.DataFrame, LoadReport]:
    values: dict[str, Sequence[Any]] = {}
    blanked: dict[str, int] = {}
    for name, cells in columns.items():
        values[name] = _normalised(name, cells, layout)
        if name in CAR_FIELDS and name not in _NEEDED:
            lost = sum(
                value is None and not is_blank(cell)
                for cell, value in zip(cells, values[name], strict=True)
            )
            if lost:
                blanked[name] = lost
    values.setdefault(SOURCE, [layout.name] * len(values[PRICE]))
    kept, dropped = _usable(values)
    if not kept:
        raise ListingsError(f"{path.name}: none of its {len(values[PRICE])} rows can be used")
    table = listing_table({name: [cells[i] for i in kept] for name, cells in values.items()})
    if PRICE_SUSPECT not in columns:
        table[PRICE_SUSPECT] = suspicious_prices(table)
    report = LoadReport(
        layout=layout.name,
        digest=digest,
        rows_read=len(values[PRICE]),
        rows_kept=len(kept),
        dropped=dropped,
        blanked=blanked,
        suspects=int(table[PRICE_SUSPECT].sum()),
        unused_columns=unused,
    )
    return table, report


def _read_bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ListingsError(f"{path}: {error.strerror or error}") from None
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error):
            raise ListingsError(f"{path.name}: damaged gzip file") from None
    if not raw.strip():
        raise ListingsError(f"{path.name}: the file is empty")
    if b"\0" in raw[:4096] and raw[:2] not in {b"\xff\xfe", b"\xfe\xff"}:
        raise ListingsError(f"{path.name}: not a text file; expected CSV")
    return raw


def _parse(raw: bytes, path: Path) -> tuple[list[str], list[list[str]]]:
    """Headers and rows; every row is as long as the headers."""
    text = _decode(raw)
    first_line = text.split("\n", maxsplit=1)[0]
    delimiter = max(_DELIMITERS, key=first_line.count)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise ListingsError(f"{path.name}: not a CSV table ({error})") from None
    headers, rows = table[0], [row for row in table[1:] if any(map(str.strip, row))]
    if not rows:
        raise ListingsError(f"{path.name}: the table has no rows")
    width = len(headers)
    return headers, [(row + [""] * width)[:width] for row in rows]


def _decode(raw: bytes) -> str:
    """UTF-8 (with or without mark), UTF-16, or else cp1252, which reads any bytes."""
    if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _columns(
    headers: Sequence[str], rows: Sequence[Sequence[str]], layout: ListingFormat
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Raw cells by canonical column, and the headers that say nothing to us."""
    columns: dict[str, list[str]] = {}
    unused = []
    for index, header in enumerate(headers):
        name = layout.columns.get(fold(header))
        if name is None or name in columns:
            unused.append(header)
        else:
            columns[name] = [row[index] for row in rows]
    if NAME in columns:
        parts = [split_name(name) for name in columns.pop(NAME)]
        for name, cells in zip(
            ("company", "model", "edition"), zip(*parts, strict=True), strict=True
        ):
            columns.setdefault(name, list(cells))
    return columns, tuple(unused)


def _normalised(name: str, cells: Sequence[str], layout: ListingFormat) -> list[Any]:
    """Cells in normal form, None where blank or unreadable; each distinct text is read once."""
    cleaner = layout.cleaners.get(name)

    def read(cell: str) -> Any:
        if name == PRICE:
            price = money(cell)
            return None if price is None else price * layout.mad_per_unit
        if name == LISTING_DATE:
            return month_of(cell)
        if name == PRICE_SUSPECT:
            return cell.strip().casefold() in {"1", "true", "yes", "oui"}
        if name == SOURCE:
            return cell or None
        text = cleaner(cell) if cleaner else cell
        return None if text is None or is_blank(text) else _deserialized(name, text)

    known = {cell: read(cell) for cell in dict.fromkeys(cells)}
    return [known[cell] for cell in cells]


def _deserialized(name: str, text: str) -> Any:
    try:
        return CAR_FIELDS[name].deserialize(text)
    except ValidationError:
        return None


def _usable(values: Mapping[str, Sequence[Any]]) -> tuple[list[int], dict[str, int]]:
    """Indices of the rows that can be used, and why the others cannot."""
    reasons: Counter[str] = Counter()
    kept = []
    for index, price in enumerate(values[PRICE]):
        missing = next((name for name in _NEEDED if values[name][index] is None), None)
        if price is None or not np.isfinite(price):
            reasons["without a price"] += 1
        elif not _SMALLEST_PRICE_MAD <= price <= _LARGEST_PRICE_MAD:
            reasons["with an impossible price"] += 1
        elif missing:
            reasons[f"without a valid {missing}"] += 1
        else:
            kept.append(index)
    return kept, dict(reasons)

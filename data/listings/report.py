"""What became of a listings file: the account that every command gives of what it read."""

import dataclasses
from collections.abc import Mapping
from typing import Any

MAX_SUSPECT_ROWS = 20
"""Suspicious rows that the report names, the first ones."""
_MAX_SUSPECTS_SHOWN = 5


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """What became of a file's rows."""

    file: str
    layout: str
    encoding: str
    digest: str
    """SHA-256 of the file's bytes, decompressed."""
    rows_read: int
    rows_kept: int
    dropped: Mapping[str, int]
    """Rows left out, by reason."""
    blanked: Mapping[str, int]
    """Cells of optional fields that could not be read and count as missing, by field."""
    suspects: int
    """Rows kept whose price is probably a typing error."""
    suspect_rows: tuple[int, ...]
    """Where the first `MAX_SUSPECT_ROWS` of them stand; the headers are row 1."""
    unused_columns: tuple[str, ...]
    months: tuple[str, str] | None
    """First and last month of listing; None where nothing is dated."""

    def to_json(self) -> dict[str, Any]:
        """JSON ready."""
        return dataclasses.asdict(self)

    def summary(self) -> str:
        """The report for people, one finding a line."""
        lines = [
            f"{self.file}: layout {self.layout}, {self.encoding}",
            f"  kept      {self.rows_kept:,} of {self.rows_read:,} rows",
        ]
        if self.dropped:
            lines.append(f"  dropped   {_counts(self.dropped)}")
        if self.suspects:
            told = ", ".join(map(str, self.suspect_rows[:_MAX_SUSPECTS_SHOWN]))
            more = ", …" if self.suspects > _MAX_SUSPECTS_SHOWN else ""
            lines.append(f"  flagged   {self.suspects:,} suspicious prices (rows {told}{more})")
        if self.blanked:
            lines.append(f"  unread    {_counts(self.blanked)}")
        if self.unused_columns:
            lines.append(f"  not used  {', '.join(self.unused_columns)}")
        if self.months:
            lines.append(f"  listed    {self.months[0]} to {self.months[1]}")
        return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    """Counts with what they count, the largest first.

    >>> _counts({"without a price": 2, "repeated": 1200})
    '1,200 repeated, 2 without a price'
    """
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {name}" for name, count in ordered)

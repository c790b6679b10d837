"""The report on loading a listings file, which every command that reads one prints."""

import dataclasses
from collections.abc import Mapping
from typing import Any

MAX_SUSPECT_ROWS = 20
"""Number of suspicious rows that the report lists."""
_MAX_SUSPECTS_SHOWN = 5


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """Counts and findings of loading a file."""

    file: str
    layout: str
    encoding: str
    digest: str
    """SHA-256 of the file's bytes, decompressed."""
    rows_read: int
    rows_kept: int
    dropped: Mapping[str, int]
    """Number of rows left out, by reason."""
    blanked: Mapping[str, int]
    """Number of unreadable cells of optional fields, which are missing in the table, by field."""
    suspects: int
    """Number of rows kept whose price is probably a typing error."""
    suspect_rows: tuple[int, ...]
    """Row numbers of the first `MAX_SUSPECT_ROWS` of them; the headers are row 1."""
    unused_columns: tuple[str, ...]
    months: tuple[str, str] | None
    """First and last month of listing; None without dates."""
    files: tuple["LoadReport", ...] = ()
    """The reports on the single files, if there are several."""
    doubts: tuple[str, ...] = ()
    """What is doubtful about the prices as a whole, in sentences."""
    not_read: tuple[str, ...] = ()
    """Names of what a folder has and files given twice, which are not read, each with the reason in
    brackets."""

    def to_json(self) -> dict[str, Any]:
        """JSON ready; `files` only if there are several, `not_read` and `doubts` only if any."""
        absent = {name for name in ("files", "not_read", "doubts") if not getattr(self, name)}
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in absent}

    def summary(self) -> str:
        """The report as text, one finding per line."""
        if self.files:
            own = dataclasses.replace(self, files=(), doubts=())
            return "\n".join(each.summary() for each in (*self.files, own))
        lines = [
            f"{self.file}: layout {self.layout}, {self.encoding}",
            f"  kept      {self.rows_kept:,} of {self.rows_read:,} rows",
        ]
        if self.dropped:
            lines.append(f"  dropped   {_counts(self.dropped)}")
        if self.suspects:
            lines.append(f"  flagged   {self.suspects:,} suspicious prices{self._suspects_shown()}")
        if self.blanked:
            lines.append(f"  unread    {_counts(self.blanked)}")
        if self.unused_columns:
            lines.append(f"  not used  {', '.join(self.unused_columns)}")
        if self.not_read:
            lines.append(f"  not read  {', '.join(self.not_read)}")
        if self.months:
            lines.append(f"  listed    {self.months[0]} to {self.months[1]}")
        lines += [f"  warning   {doubt}" for doubt in self.doubts]
        return "\n".join(lines)

    def _suspects_shown(self) -> str:
        """Row numbers of the first suspicious prices, in brackets; empty for several files."""
        if not self.suspect_rows:
            return ""
        shown = ", ".join(map(str, self.suspect_rows[:_MAX_SUSPECTS_SHOWN]))
        more = ", …" if self.suspects > _MAX_SUSPECTS_SHOWN else ""
        return f" (rows {shown}{more})"


def _counts(counts: Mapping[str, int]) -> str:
    """Counts and their names, the largest first.

    >>> _counts({"without a price": 2, "repeated": 1200})
    '1,200 repeated, 2 without a price'
    """
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {name}" for name, count in ordered)

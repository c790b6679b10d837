"""The report on loading a listings file, which every command that reads one prints."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.i18n.command import ngettext

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
        title = _("{file}: layout {layout}, {encoding}").format(
            file=self.file, layout=self.layout, encoding=self.encoding
        )
        rows = [(_(name), text) for name, text in self._findings() if text]
        width = max(9, *(len(name) for name, _text in rows))
        return "\n".join([title, *(f"  {name:<{width}} {text}" for name, text in rows)])

    def _findings(self) -> Iterator[tuple[str, str]]:
        """The English name of each finding, and its text; empty if there is nothing to say."""
        kept = _("{kept} of {number} rows")
        yield mark("kept"), kept.format(kept=f"{self.rows_kept:,}", number=f"{self.rows_read:,}")
        yield mark("dropped"), _counts(self.dropped)
        count = self.suspects
        suspects = ngettext("{number} suspicious price", "{number} suspicious prices", count)
        flagged = suspects.format(number=f"{count:,}") + self._suspects_shown()
        yield mark("flagged"), flagged if count else ""
        yield mark("unread"), _counts(self.blanked)
        yield mark("not used"), ", ".join(self.unused_columns)
        yield mark("not read"), ", ".join(self.not_read)
        if self.months:
            first, last = self.months
            yield mark("listed"), _("{first} to {last}").format(first=first, last=last)
        for doubt in self.doubts:
            yield mark("warning"), doubt

    def _suspects_shown(self) -> str:
        """Row numbers of the first suspicious prices, in brackets; empty for several files."""
        if not self.suspect_rows:
            return ""
        shown = ", ".join(map(str, self.suspect_rows[:_MAX_SUSPECTS_SHOWN]))
        more = ", …" if self.suspects > _MAX_SUSPECTS_SHOWN else ""
        rows = _("rows {numbers}").format(numbers=f"{shown}{more}")
        return f" ({rows})"


def _counts(counts: Mapping[str, int]) -> str:
    """Counts and their names, the largest first.

    >>> _counts({"without a price": 2, "repeated": 1200})
    '1,200 repeated, 2 without a price'
    """
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {_(name)}" for name, count in ordered)

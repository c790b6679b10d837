"""Which records a query is about."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shared.audit.columns.names import ANSWERS, KINDS
from shared.audit.columns.parts import RowGroup
from shared.domain.clock import DAY_S

BATCH_DAYS = 30
"""A file of a batch has the day on which the batch was accepted, and records of later days."""
_LAST = "\x7f"
"""Follows every character of an id."""

Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The records of a query: those for which everything holds that is given."""

    valuation_id: str | None = None
    """Of a car, or of a list or batch, whose cars are then meant."""
    start: float = 0.0
    """Unix time of the earliest record."""
    end: float = float("inf")
    """Unix time before which the records are."""
    texts: dict[str, str] = dataclasses.field(default_factory=dict)
    """By column, regardless of case."""
    kinds: Sequence[str] = ANSWERS

    @property
    def columns(self) -> set[str]:
        """The columns that say whether a record is meant."""
        needed = set(self.texts)
        if set(self.kinds) != set(KINDS):
            needed.add("kind")
        if self.valuation_id is not None:
            needed |= {"id"}
        if self.start > 0 or self.end != float("inf"):
            needed.add("at")
        return needed

    def without_kinds(self) -> "Selection":
        """The same for a place that has answers only, where their kinds need not be looked at."""
        if set(self.kinds) != set(ANSWERS):
            return self
        return dataclasses.replace(self, kinds=KINDS)

    def may_be_in(self, group: RowGroup) -> bool:
        """Whether a row group may have such records."""
        if group.last_at < self.start or group.first_at >= self.end:
            return False
        wanted = self.valuation_id
        return wanted is None or (group.first_id <= f"{wanted}-{_LAST}" and wanted <= group.last_id)

    def may_be_in_file(self, name: str, day: str) -> bool:
        """Whether a file of the log may have such records, by its name and day."""
        try:
            first = date.fromisoformat(day)
            last = first + timedelta(days=BATCH_DAYS if is_batch(name) else 1)
        except (OverflowError, ValueError):  # no process has made it, which is reported
            return True
        return self.start < _unix(last) + DAY_S and self.end > _unix(first) - DAY_S

    def mask(self, table: pa.Table) -> Mask | None:
        """Which records of a table are meant; None: all."""
        masks: list[Mask] = []
        for name, wanted in self.texts.items():
            masks.append(_text_mask(table[name], _same_as(wanted)))
        if "kind" in self.columns:
            masks.append(_text_mask(table["kind"], lambda text: text in self.kinds))
        if "at" in self.columns:
            at = table["at"].to_numpy()
            masks.append((at >= self.start) & (at < self.end))
        if self.valuation_id is not None:
            masks.append(_id_mask(table["id"], self.valuation_id))
        return np.logical_and.reduce(masks) if masks else None


def is_batch(name: str) -> bool:
    """Whether a file of the log is a segment of a batch, by its name."""
    return ".batch-" in name


def _unix(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _same_as(wanted: str) -> Callable[[str], bool]:
    folded = wanted.casefold()
    return lambda text: text.casefold() == folded


def _text_mask(column: pa.ChunkedArray, is_wanted: Callable[[str], bool]) -> Mask:
    """Which values of a column with a dictionary are wanted; a missing one is not."""
    found = []
    for chunk in column.chunks:
        known = np.array([is_wanted(text) for text in chunk.dictionary.to_pylist()] + [False])
        codes = chunk.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)
        found.append(known[codes])
    return np.concatenate(found) if found else np.zeros(0, bool)


def _id_mask(column: pa.ChunkedArray, wanted: str) -> Mask:
    """Which ids are the wanted one or, of a list, that with a number."""
    pattern = f"^{re.escape(wanted)}(-[0-9]+)?$"
    found: Any = pc.match_substring_regex(column, pattern)
    return np.asarray(found.to_numpy())

"""The estimates of a list of cars as columns."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, overload

from shared.domain.lists.columns import pack_column, unpack_column
from shared.domain.valuation import QUANTILE_LEVELS, Estimate


class ModelNotes(NamedTuple):
    """What the model knows of a car, as the members of `Estimate`; many cars have the same."""

    model_known: bool
    unpriced: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    extrapolated: tuple[str, ...] = ()

    @classmethod
    def from_wire(cls, values: list[Any]) -> Self:
        """Rebuild the notes; further values of a newer version are ignored."""
        known, *fields = values
        return cls(known, *map(tuple, fields[:3]))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EstimateList(Sequence[Estimate]):
    """Estimates without extras, by one version for one month, as columns.

    An estimate is an object only while it is looked at.
    """

    prices_mad: Sequence[float]
    """One per car."""
    quantiles_mad: Sequence[Sequence[float]]
    """By level of `QUANTILE_LEVELS`, one price per car."""
    model_version: str
    month: int
    """As `Estimate.month`."""
    width_age_months: int | None
    """As `Estimate.width_age_months`."""
    notes: Sequence[ModelNotes]
    """The different notes on cars."""
    note_numbers: Sequence[int]
    """Index in `notes`, one per car."""

    def __len__(self) -> int:
        """Number of cars."""
        return len(self.prices_mad)

    @overload
    def __getitem__(self, index: int) -> Estimate: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Estimate]: ...
    def __getitem__(self, index: int | slice) -> Estimate | Sequence[Estimate]:
        """One estimate, or those of a slice."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return self._estimate(index)

    def __iter__(self) -> Iterator[Estimate]:
        """The estimates in the order of the list."""
        return map(self._estimate, range(len(self)))

    def _estimate(self, index: int) -> Estimate:
        return Estimate(
            price_mad=self.prices_mad[index],
            quantiles_mad=tuple([level[index] for level in self.quantiles_mad]),
            model_version=self.model_version,
            month=self.month,
            width_age_months=self.width_age_months,
            **self.notes[self.note_numbers[index]]._asdict(),
        )

    def to_wire(self) -> dict[str, Any]:
        """Msgpack ready; the inverse of `from_wire`."""
        return {
            "prices_mad": self.prices_mad,
            "quantiles_mad": self.quantiles_mad,
            "model_version": self.model_version,
            "month": self.month,
            "width_age_months": self.width_age_months,
            "notes": self.notes,
            "note_numbers": pack_column(self.note_numbers),
        }

    @classmethod
    def from_wire(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild the list; further members of a newer version are ignored.

        Raises:
            KeyError, ValueError: only another version can read it.
        """
        prices_mad, quantiles_mad = stored["prices_mad"], stored["quantiles_mad"]
        if {len(prices_mad)} != {len(level) for level in quantiles_mad}:
            raise ValueError("columns of different lengths")
        if len(quantiles_mad) != len(QUANTILE_LEVELS):
            raise ValueError("quantiles at other levels")
        return cls(
            prices_mad=prices_mad,
            quantiles_mad=quantiles_mad,
            model_version=stored["model_version"],
            month=stored["month"],
            width_age_months=stored["width_age_months"],
            notes=[ModelNotes.from_wire(each) for each in stored["notes"]],
            note_numbers=unpack_column(stored["note_numbers"], len(prices_mad)),
        )


def prices_of(estimates: Sequence[Estimate]) -> Sequence[float]:
    """The prices of estimates, MAD."""
    if isinstance(estimates, EstimateList):
        return estimates.prices_mad
    return [estimate.price_mad for estimate in estimates]

"""The requests of a list of cars as columns."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, overload

from shared.domain.car import CarFeatures
from shared.domain.lists.columns import Column, pack_column, unpack_cars, unpack_column
from shared.domain.reading import Match, VehicleName
from shared.domain.valuation import CarRequest, Extra

COLUMNS_MIN_CARS = 16
"""Shorter lists are tuples of requests: columns save nothing."""


class Remarks(NamedTuple):
    """What was remarked on a request when it was read; many cars of a list have the same."""

    match: Match = Match.EXACT
    given: VehicleName | None = None
    suggestions: tuple[VehicleName, ...] = ()
    warnings: tuple[Mapping[str, Any], ...] = ()
    """As `CarRequest.warnings`, with pointers relative to the car."""

    @classmethod
    def of(cls, request: CarRequest, pointer: str) -> Self:
        """The remarks on a request.

        Args:
            request: the request.
            pointer: JSON pointer of its car inside the body.
        """
        warnings = tuple(
            warning | {"pointer": warning["pointer"].removeprefix(pointer)}
            for warning in request.warnings
        )
        return cls(request.match, request.given, request.suggestions, warnings)

    def warnings_at(self, pointer: str) -> tuple[dict[str, Any], ...]:
        """The warnings of the car at this JSON pointer."""
        return tuple(
            {**warning, "pointer": pointer + warning["pointer"]} for warning in self.warnings
        )

    def to_wire(self) -> list[Any]:
        """JSON and msgpack ready; the inverse of `from_wire`."""
        given = [self.given.company, self.given.model] if self.given else None
        near = [[each.company, each.model] for each in self.suggestions]
        return [str(self.match), given, near, list(self.warnings)]

    @classmethod
    def from_wire(cls, values: list[Any]) -> Self:
        """Rebuild the remarks; further values of a newer version are ignored.

        Raises:
            ValueError: this version does not know the match.
        """
        match, given, near, warnings, *_ = values
        return cls(
            Match(match),
            VehicleName(*given[:2]) if given else None,
            tuple(VehicleName(*each[:2]) for each in near),
            tuple(warnings),
        )


NO_REMARKS = Remarks()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RequestList(Sequence[CarRequest]):
    """The requests of a list as columns; a request is an object only while it is looked at.

    To make and take apart a thousand objects takes longer than to value the cars.
    """

    cars: Mapping[str, Column]
    """By name of the car's field; an absent one is missing in every car."""
    asking_prices_mad: Column = ()
    """Empty if no car has one."""
    extras: tuple[Extra, ...] = ()
    """Asked for of every car."""
    remarks: Sequence[Remarks]
    """The different remarks on cars."""
    remark_numbers: Sequence[int]
    """Index in `remarks`, one per car."""

    def __len__(self) -> int:
        """Number of cars."""
        return len(self.remark_numbers)

    @overload
    def __getitem__(self, index: int) -> CarRequest: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CarRequest]: ...
    def __getitem__(self, index: int | slice) -> CarRequest | Sequence[CarRequest]:
        """One request, or those of a slice."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return self._request(range(len(self))[index])

    def __iter__(self) -> Iterator[CarRequest]:
        """The requests in the order of the list."""
        return map(self._request, range(len(self)))

    def _request(self, index: int) -> CarRequest:
        remarks = self.remarks[self.remark_numbers[index]]
        return CarRequest(
            car=CarFeatures(**{name: column[index] for name, column in self.cars.items()}),
            asking_price_mad=self.asking_prices_mad[index] if self.asking_prices_mad else None,
            extras=self.extras,
            warnings=remarks.warnings_at(f"/{index}"),
            match=remarks.match,
            given=remarks.given,
            suggestions=remarks.suggestions,
        )

    def to_wire(self) -> dict[str, Any]:
        """Msgpack ready; the inverse of `from_wire`."""
        return {
            "n": len(self),
            "cars": {name: pack_column(column) for name, column in self.cars.items()},
            "asking_prices_mad": list(self.asking_prices_mad),
            "extras": list(self.extras),
            "remarks": [each.to_wire() for each in self.remarks],
            "remark_numbers": pack_column(self.remark_numbers),
        }

    @classmethod
    def from_wire(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild the list; further members of a newer version are ignored.

        Raises:
            KeyError, ValueError: only another version can read it.
        """
        count = stored["n"]
        return cls(
            cars=unpack_cars(stored["cars"], count),
            asking_prices_mad=stored["asking_prices_mad"],
            extras=tuple(map(Extra, stored["extras"])),
            remarks=[Remarks.from_wire(each) for each in stored["remarks"]],
            remark_numbers=unpack_column(stored["remark_numbers"], count),
        )


def count_extras(requests: Sequence[CarRequest]) -> int:
    """How many extras are asked for of all cars together."""
    if isinstance(requests, RequestList):
        return len(requests) * len(requests.extras)
    return sum(len(request.extras) for request in requests)

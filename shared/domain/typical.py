"""Extra of an estimate: the typical car of the same model and year, and what differs from it."""

import dataclasses
from typing import Any, Self


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One field in which a car differs from the typical one, and its share of the price."""

    feature: str
    """Name of the field; `feature` on the wire."""
    value: str | int | float | None
    """Of the car; None: not stated, so the price averages over what is usual."""
    usual: str | int | float | None
    """Of the typical car; None: it states no such detail."""
    effect_mad: float


@dataclasses.dataclass(frozen=True, slots=True)
class MileagePrice:
    """The price of the car if it had been driven this far."""

    km_driven: int
    price_mad: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TypicalCar:
    """The typical car of a model and year, by the same model version.

    Its price and all effects add up to the price of the car, to the cent.
    """

    fuel: str | None
    """The most frequent fuel and gearbox; None if no listing states any."""
    transmission: str | None
    km_driven: int | None
    """Usual kilometres of such a car, rounded to thousands; None if no listing states any."""
    price_mad: float
    differences: tuple[Difference, ...] = ()
    """By decreasing size; fields without an effect are left out."""
    mileages: tuple[MileagePrice, ...] = ()
    """The price of the valued car at other kilometres, increasing; it never rises."""

    def to_wire(self) -> list[Any]:
        """JSON and msgpack ready; the inverse of `from_wire`."""
        return [
            self.fuel,
            self.transmission,
            self.km_driven,
            self.price_mad,
            [[one.feature, one.value, one.usual, one.effect_mad] for one in self.differences],
            [[one.km_driven, one.price_mad] for one in self.mileages],
        ]

    @classmethod
    def from_wire(cls, values: list[Any]) -> Self:
        """Rebuild from `to_wire`'s list; further values of a newer version are ignored."""
        fuel, transmission, km_driven, price_mad, differences, mileages, *_ = values
        return cls(
            fuel=fuel,
            transmission=transmission,
            km_driven=km_driven,
            price_mad=price_mad,
            differences=tuple(Difference(*each[:4]) for each in differences),
            mileages=tuple(MileagePrice(*each[:2]) for each in mileages),
        )

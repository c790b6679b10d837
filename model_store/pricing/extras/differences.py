"""Explains a price by the fields in which the car differs from a typical one."""

import dataclasses
from collections.abc import Callable, Sequence

from shared.domain.car import CarFeatures
from shared.domain.typical import Difference, MileagePrice, TypicalCar

KM_STEP = 1_000
"""Usual kilometres are rounded to this."""
CURVE_STEPS = 8
"""Points of the price by kilometres."""
CURVE_REACH = 2.0
"""The curve ends at this multiple of the usual kilometres, or of the car's own."""
_ROUND_STEPS = (5_000, 10_000, 20_000, 25_000, 30_000, 40_000, 50_000, 100_000)

Prices = Callable[[Sequence[CarFeatures]], Sequence[float]]
"""Prices cars, MAD, in order."""


def typical_car(
    car: CarFeatures, typical: CarFeatures, prices_mad: Prices, differing: Sequence[str]
) -> TypicalCar:
    """The typical car, the effects of the differing fields, and the price by kilometres.

    All are priced by one call.

    Args:
        car: the valued car.
        typical: the typical car of its model and year.
        prices_mad: of the model.
        differing: fields in which they differ; the others are the same in both.
    """
    spans = _spans(len(differing))
    mixed = [
        dataclasses.replace(
            typical, **{name: getattr(car, name) for name in (differing[place] for place in span)}
        )
        for span in spans
    ]
    kilometres = curve_kilometres(typical.km_driven, car.km_driven)
    driven = [dataclasses.replace(car, km_driven=km) for km in kilometres]
    prices = prices_mad([*mixed, *driven])
    of_span = dict(zip(spans, prices[: len(spans)], strict=True))
    effects = rotation_effects(len(differing), of_span)
    differences = [
        Difference(name, _plain(getattr(car, name)), _plain(getattr(typical, name)), effect)
        for name, effect in zip(differing, effects, strict=True)
        if effect
    ]
    differences.sort(key=lambda one: -abs(one.effect_mad))
    return TypicalCar(
        fuel=typical.fuel and str(typical.fuel),
        transmission=typical.transmission and str(typical.transmission),
        km_driven=typical.km_driven,
        price_mad=of_span[frozenset()],
        differences=tuple(differences),
        mileages=_falling(kilometres, prices[len(spans) :]),
    )


def rotation_effects(count: int, price_of: dict[frozenset[int], float]) -> list[float]:
    """Mean effect of each of `count` fields over the rotations of their order and of its reverse.

    Each field is changed once at every place of the order, before and after every neighbour; for
    up to three fields these are all orders, and the effects the Shapley values. In every order the
    effects add up to the whole difference, so they do in the mean. Only `count * (count - 1) + 2`
    cars are priced, where all orders would need `2 ** count`.

    Args:
        count: number of fields.
        price_of: price with the fields of a set changed, for every set of `_spans`.

    Returns:
        Effects rounded to the cent; the largest one takes the rounding difference.
    """
    effects = []
    for field in range(count):
        total = 0.0
        for length in range(count):
            before, after = _span(field - length, length, count), _span(field + 1, length, count)
            total += price_of[before | {field}] - price_of[before]
            total += price_of[after | {field}] - price_of[after]
        effects.append(round(total / (2 * count), 2))
    if effects:
        largest = max(range(count), key=lambda place: abs(effects[place]))
        whole = price_of[frozenset(range(count))] - price_of[frozenset()]
        effects[largest] = round(effects[largest] + whole - sum(effects), 2)
    return effects


def curve_kilometres(usual: int | None, own: int | None) -> list[int]:
    """Round kilometres for a curve of the price, up to about twice the usual ones.

    None of them if neither is known.
    """
    furthest = max(CURVE_REACH * (usual or 0), 1.1 * (own or 0))
    if furthest <= 0:
        return []
    wanted = furthest / CURVE_STEPS
    larger = int(round(wanted, -5)) or _ROUND_STEPS[-1]
    step = next((one for one in _ROUND_STEPS if one >= wanted), larger)
    return [step * number for number in range(1, CURVE_STEPS + 1)]


def _span(first: int, length: int, count: int) -> frozenset[int]:
    """Consecutive fields of the circle of all `count`."""
    return frozenset((first + offset) % count for offset in range(length))


def _spans(count: int) -> list[frozenset[int]]:
    """All sets of consecutive fields, each once: first none, last all."""
    found = [_span(first, length, count) for length in range(1, count) for first in range(count)]
    return [frozenset(), *dict.fromkeys(found), frozenset(range(count))]


def _falling(kilometres: Sequence[int], prices: Sequence[float]) -> tuple[MileagePrice, ...]:
    """The curve; where the model lets a price rise with the kilometres, it stays level."""
    found: list[MileagePrice] = []
    for km, price in zip(kilometres, prices, strict=True):
        found.append(MileagePrice(km, min(price, found[-1].price_mad) if found else price))
    return tuple(found)


def _plain(value: str | float | None) -> str | int | float | None:
    """A member of an enumeration as its text."""
    return str(value) if isinstance(value, str) else value

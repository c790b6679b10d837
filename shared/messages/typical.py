"""Explains a price in sentences against the typical car of the same model and year.

The amounts are rounded to hundreds, the precision of an estimate, by the largest remainders: each
is less than a hundred from its exact value, and they add up to the rounded price.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import cycle, islice

from shared.domain.car import CATEGORIES, CarFeatures
from shared.domain.typical import Difference, TypicalCar
from shared.domain.valuation import Estimate
from shared.fields.car import CAR_FIELDS
from shared.i18n.catalogue import mark, translate
from shared.i18n.languages import Language
from shared.i18n.numbers import COMMA, group
from shared.messages.explanations import ROUNDING_MAD, format_mad
from shared.messages.names import format_city, format_name
from shared.messages.texts import choice_name
from shared.messages.units import unit_name
from shared.vehicles.names import display_names

MAX_LINES = 8
"""Differences with a line of their own; the others share one."""
SMALL_SHARE = 0.005
"""Differences with an effect below this share of the price share a line."""
_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

_TYPICAL = mark("A typical {car} of {year}: {facts}")
_TYPICAL_BARE = mark("A typical {car} of {year}")
_PRICE = mark("Estimated price: {price}")
_LINE = mark("{reason}: {amount}")
_FEWER_KM = mark("with {distance} fewer than usual for a {car} of {year}")
_MORE_KM = mark("with {distance} more than usual for a {car} of {year}")
_OTHERS = mark("with other details ({names})")
_INSTEAD: dict[str, str] = {
    "fuel": mark("with the fuel “{value}” instead of “{usual}”"),
    "transmission": mark("with the gearbox “{value}” instead of “{usual}”"),
}
_NOT_STATED: dict[str, str] = {
    "fuel": mark("without a stated fuel, so the average of the usual ones"),
    "transmission": mark("without a stated gearbox, so the average of the usual ones"),
    "km_driven": mark("without a stated mileage, so the average of the usual ones"),
}
_DETAIL = mark("with “{label}: {value}”")
_GEARBOX: dict[str, str] = {
    "Manual": mark("manual gearbox"),
    "Automatic": mark("automatic gearbox"),
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TypicalLine:
    """One difference from the typical car, or all small ones, and its share of the price."""

    text: str
    """Like "with 45,000 km fewer than usual for a Dacia Logan of 2018"."""
    amount_mad: int
    """Signed; a multiple of `ROUNDING_MAD`."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TypicalExplanation:
    """A price as that of the typical car and the differences from it."""

    typical: str
    """The typical car in words."""
    typical_mad: int
    lines: tuple[TypicalLine, ...]
    price_mad: int
    """The rounded estimate: the sum of all amounts."""


def explain_by_typical(
    estimate: Estimate, typical: TypicalCar, car: CarFeatures, language: Language
) -> TypicalExplanation:
    """The typical car, the differences by decreasing effect, and the price."""
    names = {"car": " ".join(display_names(car.company, car.model)), "year": str(car.year)}
    least = max(SMALL_SHARE * estimate.price_mad, ROUNDING_MAD / 2)
    large = [one for one in typical.differences[:MAX_LINES] if abs(one.effect_mad) >= least]
    small = typical.differences[len(large) :]
    texts = [_reason(one, names, language) for one in large]
    effects = [one.effect_mad for one in large]
    if small:
        texts.append(_small(small, names, language))
        effects.append(sum(one.effect_mad for one in small))
    typical_mad, price_mad = _rounded(typical.price_mad), _rounded(estimate.price_mad)
    amounts = _shared_out(effects, price_mad - typical_mad)
    if not effects:
        typical_mad = price_mad
    lines = [
        TypicalLine(text=text, amount_mad=amount)
        for text, amount in zip(texts, amounts, strict=True)
        if amount
    ]
    return TypicalExplanation(
        typical=_describe(typical, names, language),
        typical_mad=typical_mad,
        lines=tuple(lines),
        price_mad=price_mad,
    )


def typical_in_words(
    estimate: Estimate, typical: TypicalCar, car: CarFeatures, language: Language
) -> list[str]:
    """The parts of `explain_by_typical` as sentences with their amounts, the price last."""
    found = explain_by_typical(estimate, typical, car, language)
    line, price = translate(_LINE, language), translate(_PRICE, language)
    parts = [(found.typical, format_mad(found.typical_mad, language))]
    parts += [(one.text, format_mad(one.amount_mad, language, signed=True)) for one in found.lines]
    return [
        *(line.format(reason=text, amount=amount) for text, amount in parts),
        price.format(price=format_mad(found.price_mad, language)),
    ]


def describe_usual(
    fuel: str | None, transmission: str | None, km_driven: int | None, language: Language
) -> list[str]:
    """Usual fuel, gearbox and kilometres in words, those that are known."""
    found = [] if fuel is None else [choice_name(fuel, language)]
    if transmission is not None:
        found.append(translate(_GEARBOX[transmission], language))
    if km_driven is not None:
        found.append(_distance(km_driven, language))
    return found


def _describe(typical: TypicalCar, names: Mapping[str, str], language: Language) -> str:
    facts = describe_usual(typical.fuel, typical.transmission, typical.km_driven, language)
    if not facts:
        return translate(_TYPICAL_BARE, language).format(**names)
    joined = COMMA[language].join(_lower(each) for each in facts)
    return translate(_TYPICAL, language).format(**names, facts=joined)


def _reason(one: Difference, names: Mapping[str, str], language: Language) -> str:
    if one.value is None:
        return translate(_NOT_STATED[one.feature], language)
    if one.feature == "km_driven" and one.usual is not None:
        apart = int(one.value) - int(one.usual)
        text = translate(_MORE_KM if apart > 0 else _FEWER_KM, language)
        return text.format(distance=_distance(abs(apart), language), **names)
    if one.feature in _INSTEAD and one.usual is not None:
        value, usual = (_lower(choice_name(str(x), language)) for x in (one.value, one.usual))
        return translate(_INSTEAD[one.feature], language).format(value=value, usual=usual)
    label = CAR_FIELDS[one.feature].label(language)
    return translate(_DETAIL, language).format(label=label, value=_value(one, language))


def _small(small: Sequence[Difference], names: Mapping[str, str], language: Language) -> str:
    if len(small) == 1:
        return _reason(small[0], names, language)
    labels = COMMA[language].join(_lower(CAR_FIELDS[one.feature].label(language)) for one in small)
    return translate(_OTHERS, language).format(names=labels)


def _value(one: Difference, language: Language) -> str:
    if one.feature in CATEGORIES:
        return _lower(choice_name(str(one.value), language))
    if isinstance(one.value, str):
        return (format_city if one.feature == "city" else format_name)(one.value)
    number = float(one.value or 0)
    text = group(number, 0 if number.is_integer() else 1, language)
    return f"{text}{_NO_BREAK_SPACE}{unit_name(CAR_FIELDS[one.feature].unit, language)}".strip()


def _distance(km: int, language: Language) -> str:
    """Kilometres, rounded to hundreds unless they are fewer."""
    shown = round(km, -2) or km
    return f"{group(shown, 0, language)}{_NO_BREAK_SPACE}{unit_name('km', language)}"


def _shared_out(effects: Sequence[float], total_mad: int) -> list[int]:
    """Multiples of `ROUNDING_MAD` that add up to `total_mad`, each near its effect."""
    amounts = [int(ROUNDING_MAD * (effect // ROUNDING_MAD)) for effect in effects]
    missing = (total_mad - sum(amounts)) // ROUNDING_MAD
    by_remainder = sorted(range(len(effects)), key=lambda at: amounts[at] - effects[at])
    step = ROUNDING_MAD if missing > 0 else -ROUNDING_MAD
    order = by_remainder if missing > 0 else by_remainder[::-1]
    for at in islice(cycle(order), abs(missing)):
        amounts[at] += step
    return amounts


def _lower(text: str) -> str:
    """A text without its capital; acronyms keep theirs."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _rounded(amount_mad: float) -> int:
    return ROUNDING_MAD * round(amount_mad / ROUNDING_MAD)

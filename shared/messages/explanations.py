"""Explanations of prices in words.

The amounts of the lines are rounded to hundreds, the precision of an estimate, and add up to the
rounded price: the rounding differences are in the first line.
"""

import dataclasses

from shared.domain.car import CATEGORIES, FIELD_NAMES, CarFeatures
from shared.domain.valuation import Contribution, Estimate, Explanation
from shared.fields.car import CAR_FIELDS
from shared.i18n.catalogue import mark, translate
from shared.i18n.languages import Language
from shared.i18n.numbers import COMMA, group, sign
from shared.messages.names import format_city, format_name
from shared.messages.texts import choice_name
from shared.messages.units import unit_name
from shared.vehicles.names import display_names

ROUNDING_MAD = 100
MAX_LINES = 8
"""Effects with a line of their own; the others share one."""
SMALL_SHARE = 0.005
"""Effects below this share of the price share a line."""

BASE = mark("Starting price: an average car of the market")
BASE_WITH_USUAL = mark("Starting price: an average car of the market, usual in what is not stated")
OTHERS = mark("Other features ({names})")
PRICE = mark("Estimated price")
UP = mark("raises the price")
DOWN = mark("lowers the price")
COMPARED: dict[str, tuple[str, str]] = {
    "year": (
        mark("newer than the average ({usual})"),
        mark("older than the average ({usual})"),
    ),
    "km_driven": (
        mark("more than the average of the listings ({usual})"),
        mark("less than the average of the listings ({usual})"),
    ),
}
"""Texts of a value above and below the market's average, by field."""
RAISES_PRICE = {"year": True, "km_driven": False}
"""Whether a larger value is worth more; an effect against it is not explained by the average."""
_COLON: dict[Language, str] = {"fr": "\N{NARROW NO-BREAK SPACE}: ", "ar": ": ", "en": ": "}
_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ExplanationLine:
    """One line of an explanation: the starting price, or an effect on it."""

    text: str
    """What it is about, like "Year 2020"."""
    reason: str = ""
    """Why or in which direction it changes the price."""
    is_compared: bool = False
    """Whether the reason is a comparison with the market's average."""
    amount_mad: int
    """The starting price, or the signed effect; a multiple of `ROUNDING_MAD`."""


def explanation_lines(
    estimate: Estimate, explanation: Explanation, car: CarFeatures, language: Language
) -> list[ExplanationLine]:
    """The starting price, the effects by decreasing size, and the sum of all small effects.

    Their amounts add up to the rounded price.
    """
    by_size = sorted(explanation.contributions, key=lambda one: -abs(one.effect_mad))
    least = max(SMALL_SHARE * estimate.price_mad, ROUNDING_MAD / 2)
    large = [one for one in by_size[:MAX_LINES] if abs(one.effect_mad) >= least]
    small = by_size[len(large) :]
    lines = [_line(one, explanation, car, language) for one in large]
    rest = _rounded(sum(one.effect_mad for one in small))
    if len(small) == 1 and rest:
        lines.append(_line(small[0], explanation, car, language))
    elif rest:
        names = COMMA[language].join(
            _lower(CAR_FIELDS[one.feature].label(language)) for one in small
        )
        text = translate(OTHERS, language).format(names=names)
        lines.append(ExplanationLine(text=text, amount_mad=rest))
    is_usual = any(getattr(car, name) is None for name in FIELD_NAMES)
    base = _rounded(estimate.price_mad) - sum(line.amount_mad for line in lines)
    text = translate(BASE_WITH_USUAL if is_usual else BASE, language)
    if language == "fr":
        text = text.replace(" : ", _COLON["fr"])
    return [ExplanationLine(text=text, amount_mad=base), *lines]


def explain_in_words(
    estimate: Estimate, explanation: Explanation, car: CarFeatures, language: Language
) -> list[str]:
    """The lines of `explanation_lines` as texts with their amounts, then the price."""
    first, *effects = explanation_lines(estimate, explanation, car, language)
    texts = [f"{first.text}{COMMA[language]}{format_mad(first.amount_mad, language)}"]
    for line in effects:
        amount = format_mad(line.amount_mad, language, signed=True)
        said = f"{line.reason}{COMMA[language]}{amount}" if line.reason else amount
        texts.append(f"{line.text}{_COLON[language]}{said}")
    price = format_mad(_rounded(estimate.price_mad), language)
    return [*texts, f"{translate(PRICE, language)}{_COLON[language]}{price}"]


def format_mad(amount_mad: int, language: Language, *, signed: bool = False) -> str:
    """An amount with its currency, and with its sign also if it is positive.

    >>> format_mad(23000, "en", signed=True) == "+23,000" + _NO_BREAK_SPACE + "MAD"
    True
    """
    amount = f"{sign(amount_mad, language, signed=signed)}{_grouped(abs(amount_mad), language)}"
    return f"{amount}{_NO_BREAK_SPACE}{unit_name('MAD', language)}"


def _line(
    one: Contribution, explanation: Explanation, car: CarFeatures, language: Language
) -> ExplanationLine:
    comparison = _comparison(one, explanation, language)
    direction = translate(UP if one.effect_mad > 0 else DOWN, language)
    return ExplanationLine(
        text=_subject(one, car, language),
        reason=comparison or direction,
        is_compared=bool(comparison),
        amount_mad=_rounded(one.effect_mad),
    )


def _subject(one: Contribution, car: CarFeatures, language: Language) -> str:
    """Name and value of a field."""
    label = CAR_FIELDS[one.feature].label(language)
    if one.feature in CATEGORIES:
        return f"{label} ({_lower(choice_name(str(one.value), language))})"
    names = dict(zip(("company", "model"), display_names(car.company, car.model), strict=True))
    if one.feature in names:
        return f"{label} {names[one.feature]}"
    if isinstance(one.value, str):
        spelt = format_city if one.feature == "city" else format_name
        return f"{label} {spelt(one.value)}"
    return f"{label} {_number(one.feature, one.value or 0, language)}"


def _comparison(one: Contribution, explanation: Explanation, language: Language) -> str:
    """The comparison with the average; empty if there is none that explains the sign."""
    average, texts = explanation.averages.get(one.feature), COMPARED.get(one.feature)
    if average is None or texts is None or not isinstance(one.value, int | float):
        return ""
    shown = 1000 * round(average / 1000) if one.feature == "km_driven" else round(average)
    is_more = one.value > shown
    explains = (one.effect_mad > 0) == (is_more == RAISES_PRICE[one.feature])
    if one.value == shown or not explains:
        return ""
    text = translate(texts[0 if is_more else 1], language)
    return text.format(usual=_number(one.feature, shown, language))


def _number(feature: str, value: float, language: Language) -> str:
    """A number with its unit."""
    if feature == "year":
        return str(round(value))
    unit = unit_name(CAR_FIELDS[feature].unit, language)
    return f"{_grouped(value, language)}{_NO_BREAK_SPACE}{unit}".strip()


def _grouped(value: float, language: Language) -> str:
    """A number with the thousands and decimal separators of a language."""
    return group(value, 0 if float(value).is_integer() else 1, language)


def _lower(text: str) -> str:
    """A text without its capital; acronyms keep theirs.

    >>> _lower("Très bon"), _lower("GPL"), _lower("WW au Maroc")
    ('très bon', 'GPL', 'WW au Maroc')
    """
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _rounded(amount_mad: float) -> int:
    return ROUNDING_MAD * round(amount_mad / ROUNDING_MAD)

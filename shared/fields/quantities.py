"""Reads numbers with units, bands ("100 000 - 109 999") and open bands ("Plus de 500 000")."""

import re
from collections.abc import Callable
from typing import NamedTuple

from shared.domain.names import plain_text
from shared.fields.numbers import parse_number
from shared.fields.units import find_unit

OPEN_RANGE = "open-range"
NOT_A_NUMBER, SEVERAL_VALUES = "not-a-number", "several-values"


class Quantity(NamedTuple):
    """A number as it was stated."""

    number: float
    unit: str | None = None
    """The unit stated with it, one of `shared.fields.units`."""
    code: str | None = None
    """`OPEN_RANGE` if only a bound is stated."""


class UnreadableQuantity(ValueError):
    """A text states no single number; its only argument is the code that says why."""

    @property
    def code(self) -> str:
        """Why the text cannot be read."""
        return str(self.args[0])


class QuantityRules(NamedTuple):
    """What the texts of a field may hold.

    Args:
        field: its name, for the units.
        whole: three digits after a sign are thousands.
        is_count: its values are small whole numbers: "more than 41" is 42.
        ranges: a band counts as its middle, an open band as its bound; "120k" is thousands.
        at_speed: the engine speed may follow ("221Nm@ 1750rpm").
    """

    field: str
    whole: bool = True
    is_count: bool = False
    ranges: bool = False
    at_speed: bool = False


NUMBER = r"[+-]?(?:\d[\d.,' ]*)?\d(?:e[+-]?\d{1,3})?"
THOUSAND = r"(?:k|mille|thousand|tausend|tsd\.?|الف)(?![^\W\d])"
_SINGLE = re.compile(
    rf"(?P<before>[^\W\d][^\d+-]*)?(?P<number>{NUMBER})\s*[.,]?"
    rf"\s*(?P<thousand>{THOUSAND})?\s*(?P<after>[^\d\s].*)?"
)
_SMALL_DECIMALS = re.compile(r"\d+(?:[.,]\d{1,2})?")
_ABOUT = re.compile(
    r"(?:a peu pres|environ|env\.?|approximativement|approx\.?|about|around|circa|ca\.?|etwa"
    r"|ungefahr|حوالي|تقريبا|~|≈|±)\s*"
)
_ABOUT_BEHIND = ("environ", "env.", "env", "approx.", "approx", "تقريبا")
_ODOMETER_WORDS = re.compile(
    r"(?<![^\W\d])(?:(?:kilometrage|kms?|mileage|odometer) )?"
    r"(?:(?:au |du )?compteur|certifie[es]{0,2}"
    r"|reel[les]{0,3}|verifie[es]{0,2}|garanti[es]{0,2}|exacts?|parcourus?|d'origine|origine"
    r"|seulement|only|genuine|certified|verified|guaranteed|actual|odometer|kilometrage|mileage"
    r"|au total|حقيقي[هة]?|مضمون[هة]?|[اأ]صلي[هة]?|فقط|العداد|عداد)(?![^\W\d])"
)
"""Words around a distance that do not change it."""
_DENIAL = re.compile(r"(?<![^\W\d])(?:non|pas|not|sans|change|remplace|neuf|غير)(?![^\W\d])")
"""Words with which the figure may not be the distance: "non certifié", "compteur changé"."""
_ODOMETER = "km_driven"
_EMPTY_BRACKETS = re.compile(r"[(\[]\s*[)\]]|[,;!]+\s*$")
_ENGINE_SPEED = re.compile(
    r"\s*(?:@|\bat\b|\ba\b|\bbei\b|/)\s*[~+]?\d[\d.,]*"
    r"(?:\s*(?:-|\u2013|to|~|\+/-)\s*\d[\d.,]*)?\s*"
    r"(?P<speed>(?:rpm|r/min|tr?/min|trs/min|u/min|/min|min-1)\.?)?"
    r"(?:\((?P<unit>[a-z .-]+)@\s*rpm\))?$"
)
_OPEN_BEFORE = {
    "above": (
        r"(?:plus|\+) ?(?:de|que)|superieure? a|au[ -]dela de|more than|over|above"
        r"|greater than|mehr als|uber|اكثر من|فوق|>(?!=)"
    ),
    "from": (
        r"a partir de|des|au moins|minimum|min\.?|from|at least|starting (?:at|from)|ab|mindestens"
        r"|≥|>=|من"
    ),
    "below": (
        r"(?:moins|-) ?(?:de|que)|inferieure? a|less than|under|below|weniger als"
        r"|unter|اقل من|<(?!=)"
    ),
    "until": (r"jusqu'?a|au plus|maximum|max\.?|up to|at most|bis(?: zu)?|hochstens|≤|<=|حتى"),
}
_OPEN_BEHIND = {
    "from": (
        r"\+|(?:et|ou|and|or|und|oder|y) (?:plus|more|above|over|mehr|\+)|et au[ -]dela"
        r"|او اكثر|و ?اكثر|فما فوق"
    ),
    "until": (r"(?:et|ou|and|or|und|oder) (?:moins|less|below|under|weniger)|او اقل|فما تحت"),
}
_BOUND_WORDS = re.compile("|".join(_OPEN_BEFORE.values()))
_BOUND_LAST = [
    (kind, re.compile(rf"(?:{words})\s*(?P<bound>\d.*)")) for kind, words in _OPEN_BEFORE.items()
]
_BOUND_FIRST = [
    (kind, re.compile(rf"(?P<bound>\d.*?)\s*(?:{words})")) for kind, words in _OPEN_BEHIND.items()
]
_LAST_WORDS = (
    "+", "plus", "more", "above", "over", "mehr", "dela", "اكثر", "فوق", "moins", "less", "below",
    "under", "weniger", "اقل", "تحت",
)  # fmt: skip
"""The last words of `_OPEN_BEHIND`."""
_RANGE = re.compile(
    r"(?P<low>\d.*?)\s*(?:--?|\u2010|\u2011|\u2012|\u2013|\u2014|~|\.\.+|\ba\b|(?<=\d)a(?=\d)"
    r"|\bto\b|\bbis\b|\bal\b|الى)\s*(?P<high>\d.*)"
)
_BETWEEN = re.compile(
    r"(?:entre|between|zwischen|بين|de|from|von|من) (?P<low>\d.*?)\s*"
    r"(?:\bet\b|\band\b|\bund\b|\ba\b|\bto\b|\bbis\b|\u2013|-|الى| و ?)\s*(?P<high>\d.*)"
)
_CHOICE = re.compile(r"(?P<low>\d.*?)\s*(?:/|\bou\b|\bor\b|\boder\b|;|,\s|او)\s*(?P<high>\d.*)")
_EQUIVALENT = re.compile(
    r"(?P<first>[^()/]+?)\s*(?:\(\s*(?P<second>[^()]+?)\s*\)|/\s*(?P<third>.+))"
)
_TWO_NUMBERS = re.compile(r"\d[^\d]*[^\d .,'][^\d]*\d")
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[^\W\d_]")
_TOLERANCE = 0.03
_BARE_MAX, _FULL_MIN = 1_000, 10_000
"""A band from below the first to above the second left out its thousands: "120 - 130 000"."""


def read_quantity(
    text: str, rules: QuantityRules, convert: Callable[[float, str], float | None]
) -> Quantity:
    """The number that a text states.

    Args:
        text: as a person wrote it.
        rules: of the field.
        convert: a number and the name of its unit, in the field's own unit; None if impossible.

    Raises:
        UnreadableQuantity: the text states no number, or several.
    """
    number = parse_number(text, whole=rules.whole)
    if number is not None:
        return Quantity(number)
    plain = _without_about(plain_text(text))
    if not _DIGIT.search(plain):
        raise UnreadableQuantity(NOT_A_NUMBER)
    if rules.field == _ODOMETER:
        plain = _without_odometer_words(plain)
    unit_of_speed = None
    if rules.at_speed and (speed := _ENGINE_SPEED.search(plain)) and _states_speed(speed):
        plain = plain[: speed.start()].strip()
        unit_of_speed = speed["unit"] and find_unit(rules.field, speed["unit"])
    found = _single(plain, rules) or _open(plain, rules)
    if found is None and _TWO_NUMBERS.search(plain):
        found = _equivalent(plain, rules, convert) or _range(plain, rules)
    if found is None:
        raise UnreadableQuantity(NOT_A_NUMBER)
    return found if found.unit else found._replace(unit=unit_of_speed)


def _without_about(text: str) -> str:
    """A text without the words that say that its number is not exact."""
    if (found := _ABOUT.match(text)) is not None:
        text = text[found.end() :]
    if text.endswith(_ABOUT_BEHIND):
        word = next(word for word in _ABOUT_BEHIND if text.endswith(word))
        text = text.removesuffix(word).rstrip()
    return text


def _without_odometer_words(text: str) -> str:
    """The text without words like "au compteur" and "(certifié)"; as it is if it denies them."""
    if _DENIAL.search(text):
        return text
    bare = _EMPTY_BRACKETS.sub("", _ODOMETER_WORDS.sub(" ", text))
    return text if bare == text else " ".join(bare.split()).strip(" :-,")


def _states_speed(speed: re.Match[str]) -> bool:
    """Whether a number after a torque or power is an engine speed."""
    return bool("@" in speed[0] or speed["speed"] or speed["unit"])


def _single(text: str, rules: QuantityRules) -> Quantity | None:
    """One number with at most one unit."""
    found = _SINGLE.fullmatch(text)
    if found is None:
        return None
    before, after = (found["before"] or "").strip(" :"), found["after"]
    if before and after:
        return None
    stated = before or after
    unit = find_unit(rules.field, stated) if stated else None
    if stated and unit is None:
        return None
    number = found["number"].strip()
    if found["thousand"]:
        if not rules.ranges or not _SMALL_DECIMALS.fullmatch(number):
            return None
        return Quantity(1000 * float(number.replace(",", ".")), unit)
    # "1.6 L" is no 1600 litres: three digits group only where the field says so.
    value = parse_number(number, whole=rules.whole)
    return None if value is None else Quantity(value, unit)


def _open(text: str, rules: QuantityRules) -> Quantity | None:
    """The bound of an open band."""
    is_first = text[:1].isdigit()
    if not (text.endswith(_LAST_WORDS) if is_first else _BOUND_WORDS.match(text)):
        return None
    for kind, pattern in _BOUND_FIRST if is_first else _BOUND_LAST:
        found = pattern.fullmatch(text)
        bound = _single(found["bound"], rules) if found else None
        if bound is None:
            continue
        if not (rules.ranges or rules.is_count):
            raise UnreadableQuantity(SEVERAL_VALUES)
        return bound._replace(number=_within(kind, bound.number, rules), code=OPEN_RANGE)
    return None


def states_open_range(text: str) -> bool:
    """Whether a text, as `plain_text` writes it, states the bound of an open band."""
    return any(pattern.fullmatch(text) for _, pattern in (*_BOUND_FIRST, *_BOUND_LAST))


def _within(kind: str, bound: float, rules: QuantityRules) -> float:
    """The number that stands for an open band: its bound, or the middle of zero and the bound."""
    if kind == "above":
        return bound + 1 if rules.is_count else bound
    if kind == "below":
        return bound - 1 if rules.is_count else bound / 2
    return bound / 2 if kind == "until" and not rules.is_count else bound


def _range(text: str, rules: QuantityRules) -> Quantity | None:
    """The middle of a band."""
    for pattern in (_RANGE, _CHOICE) if text[:1].isdigit() else (_BETWEEN,):
        found = pattern.fullmatch(text)
        if found is None:
            continue
        low, high = (_single(found[name], rules) for name in ("low", "high"))
        if low is None or high is None or low.number > high.number:
            continue
        if not rules.ranges or pattern is _CHOICE:
            raise UnreadableQuantity(SEVERAL_VALUES)
        if (low.unit and low.unit != high.unit) or _is_shortened(low.number, high.number):
            raise UnreadableQuantity(NOT_A_NUMBER)
        return Quantity((low.number + high.number) / 2, high.unit)
    return None


def _is_shortened(low: float, high: float) -> bool:
    return 0 < low < _BARE_MAX and high >= _FULL_MIN


def _equivalent(
    text: str, rules: QuantityRules, convert: Callable[[float, str], float | None]
) -> Quantity | None:
    """The first of two statements of one quantity: "66 kW (90 PS)"."""
    # Each states a unit, and every unit has a letter.
    found = _EQUIVALENT.fullmatch(text) if _LETTER.search(text) else None
    if found is None:
        return None
    first, second = (
        _single(found["first"], rules),
        _single(found["second"] or found["third"], rules),
    )
    if first is None or second is None or not first.unit or not second.unit:
        return None
    values = convert(first.number, first.unit), convert(second.number, second.unit)
    if values[0] is None or values[1] is None:
        return None
    if abs(values[0] - values[1]) > _TOLERANCE * values[0]:
        raise UnreadableQuantity(SEVERAL_VALUES)
    return first

"""Kinds of fields: each normalises a caller's value or raises the code of the broken rule."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

from marshmallow import ValidationError, fields

from shared.domain.names import fold, fold_name, fold_script
from shared.fields.blanks import is_blank, is_blank_word
from shared.fields.dates import parse_year
from shared.fields.numbers import parse_number
from shared.fields.phrases import PhraseReader, fold_phrase
from shared.fields.prices import (
    DIRHAM,
    FOREIGN_CURRENCY,
    find_currency,
    read_price,
    states_no_price,
)
from shared.fields.quantities import Quantity, QuantityRules, UnreadableQuantity, read_quantity
from shared.fields.units import CM3_PER_LITRE, UNSTATED, convert, find_unit, own_unit

_RULES = (
    "not-text too-long not-a-number not-whole out-of-range unknown-category several-values "
    "unclear-amount foreign-currency unknown-unit object"
)
ERROR_CODES: dict[str, str | list[Any] | dict[Any, Any]] = {
    "required": "required",
    "null": "required",
    "validator_failed": "invalid",
    **{code: code for code in _RULES.split()},
}
NUMBER_MAX_CHARS = 80
LITRES_MIN, LITRES_LIMIT = 0.4, 10.0
"""A displacement below ten is in litres: no engine has so few cm3."""
LITRES, CONVERTED = "litres", "converted"
"""Codes of numbers that were read in litres, or in another unit that was stated."""
UNKNOWN_UNIT, OBJECT = "unknown-unit", "object"
"""Codes of a number beside which no known unit stands, and of a JSON object in its place."""
_CONTROL_CHARS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_USUAL_NUMBER = re.compile(
    r"([0-9]{1,3}(?:[ \u00a0\u202f][0-9]{3})+|[0-9]{1,12})(\.[0-9]+)?[ \u00a0]?([A-Za-z]{1,4})?"
)
"""A whole number, decimals and a unit."""
_GROUP_SPACES = re.compile(r"[ \u00a0\u202f]")
CATEGORY_MAX_CHARS = 80
"""A longer text is not looked up."""


class CarField(fields.Field[Any]):
    """A field of the car with its labels, unit and aliases.

    Args:
        label_fr, label_en: its name for people.
        example: a value for the documentation.
        unit: the unit of the value, empty if it has none.
        aliases: folded column headers that mean this field.
    """

    default_error_messages = ERROR_CODES

    def __init__(
        self,
        *,
        label_fr: str,
        label_en: str,
        example: Any,
        unit: str = "",
        aliases: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        options.setdefault("allow_none", not options.get("required", False))
        if not options.get("required", False):
            options.setdefault("load_default", None)
        super().__init__(**options)
        self.metadata = {
            "description": label_en + (f", {unit}" if unit else ""),
            "example": example,
        }
        self.label_fr = label_fr
        self.label_en = label_en
        self.example = example
        self.unit = unit
        self.aliases = aliases

    @property
    def names(self) -> tuple[str, ...]:
        """The aliases, then both labels."""
        return (*self.aliases, self.label_fr, self.label_en)

    def label(self, language: str) -> str:
        """The field's name in `fr` or `en`."""
        return self.label_fr if language == "fr" else self.label_en

    def make_error(self, key: str, **options: Any) -> ValidationError:
        """As marshmallow's, without filling in a text: the message of an error is its code."""
        del options
        return ValidationError(ERROR_CODES[key])

    def document(self, json_type: str, **constraints: Any) -> None:
        """Set what OpenAPI says about the field."""
        self.metadata = {**self.metadata, "type": json_type, **constraints}

    def deserialize(
        self,
        value: Any,
        attr: str | None = None,
        data: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """As marshmallow's, but a blank text counts as missing."""
        if isinstance(value, str) and self.is_blank(value):
            value = None
        return super().deserialize(value, attr, data, **options)

    def read(self, value: Any) -> Any:
        """`deserialize` of a given value, without the options that no field here uses.

        Raises:
            ValidationError: the value breaks a rule.
        """
        return self.read_with_code(value)[0]

    def read_with_code(self, value: Any, unit: str | None = None) -> tuple[Any, str | None]:
        """The normal form of a value, and the code of a remark on it.

        Args:
            value: what the caller gave.
            unit: the unit that is stated for the value elsewhere, one of `shared.fields.units`;
                `UNSTATED` if only the value itself can state it.

        Raises:
            ValidationError: the value breaks a rule.
        """
        if self.is_blank(value):
            if not self.allow_none:
                raise self.make_error("null")
            return None, None
        return self._normalize(value, unit)

    def read_with_remark(self, value: Any) -> tuple[Any, str | None]:
        """As `read_with_code`, of a JSON value: usual conversions have a remark, too."""
        return self.read_with_code(value)

    def is_blank(self, value: Any) -> bool:
        """Whether a value is missing: None, or a text that says so."""
        if is_blank(value):
            return True
        return not self.required and isinstance(value, str) and is_blank_word(value)

    def _normalize(self, value: Any, unit: str | None) -> tuple[Any, str | None]:
        """As `read_with_code`, of a value that is not blank."""
        del unit
        return self._deserialize(value, None, None), None


class FoldedText(CarField):
    """Free text, folded; at most `max_length` characters.

    Args:
        max_length: characters.
        translations: Latin names by names in other scripts; a name that is not listed is kept in
            its script. If None, such names count as missing.
        is_name: decimals stay one word (`fold_name`).
        takes_numbers: a JSON number is read as its text: the model 208.
    """

    def __init__(
        self,
        *,
        max_length: int = 80,
        translations: Mapping[str, str] | None = None,
        is_name: bool = False,
        takes_numbers: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.max_length = max_length
        self.translations = translations and {
            fold_script(name): latin for name, latin in translations.items()
        }
        self.is_name = is_name
        self.takes_numbers = takes_numbers
        self.document("string", maxLength=max_length)
        # marshmallow copies the fields of a schema; the copies share what is remembered.
        self._read_short = lru_cache(CACHED_TEXTS)(super().read_with_code)

    def read_with_code(self, value: Any, unit: str | None = None) -> tuple[Any, str | None]:
        """As `CarField.read_with_code`; short texts that were read before are remembered."""
        if type(value) is str and len(value) <= self.max_length:
            return self._read_short(value)
        return super().read_with_code(value, unit)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> str | None:
        if self.takes_numbers and type(value) in {int, float} and 0 <= value < MAX_NUMERIC_NAME:
            value = f"{value:g}"
        if not isinstance(value, str):
            raise self.make_error("not-text")
        if len(value) > self.max_length:
            raise self.make_error("too-long")
        if _CONTROL_CHARS.search(value):
            raise self.make_error("not-text")
        folded = (fold_name if self.is_name else fold)(value) or self._transliterate(value)
        # Folding may lengthen a text; the result must be accepted as input again.
        folded = folded[: self.max_length].strip()
        if not folded and self.required:
            raise self.make_error("not-text")
        return folded or None

    def _transliterate(self, value: str) -> str:
        """Translate a name without Latin letters or digits, or keep it."""
        if self.translations is None:
            return ""
        name = fold_script(value)[: self.max_length].strip()
        return self.translations.get(name, name)


CACHED_TEXTS = 4096
"""Texts of a field that are remembered."""
MAX_NUMERIC_NAME = 100_000
"""Models that are numbers have at most five digits."""


UNPRICED = "unpriced"
"""Code of a value that is understood and does not change the price."""


class Category(CarField):
    """One of a closed set of values, in any usual spelling or phrase.

    An unknown word is an error in a required field. In an optional field it counts as missing and
    is named in the warnings.

    Args:
        enum: the values.
        spellings: values by folded spelling.
        phrases: reads texts of several words.
        unpriced: values that too few listings have for the model to learn their effect.
    """

    def __init__(
        self,
        *,
        enum: type[StrEnum],
        spellings: Mapping[str, StrEnum],
        phrases: PhraseReader | None = None,
        unpriced: frozenset[StrEnum] = frozenset(),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.enum = enum
        self.unpriced = unpriced
        self.spellings = {
            **(phrases.spellings if phrases else {}),
            **{fold(member): member for member in enum},
            **{fold_phrase(spelling): member for spelling, member in spellings.items()},
        }
        self.phrases = phrases
        words = f"one of {', '.join(enum)}, or a usual spelling"
        self.document("string", description=f"{self.metadata['description']}: {words}")

    @property
    def choices(self) -> list[str]:
        """The canonical values."""
        return [str(member) for member in self.enum]

    def is_blank(self, value: Any) -> bool:
        """Whether a value is missing: None, or a text that says so or says nothing new."""
        if super().is_blank(value):
            return True
        return self.phrases is not None and isinstance(value, str) and self.phrases.is_empty(value)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> StrEnum | None:
        if not isinstance(value, str):
            raise self.make_error("not-text")
        member = self.member(value)
        if member is None and self.required:
            raise self.make_error("unknown-category")
        return member

    def read_with_code(self, value: Any, unit: str | None = None) -> tuple[Any, str | None]:
        """As `CarField.read_with_code`; a usual spelling is looked up first."""
        member = self._spelled(value)
        if member is None:
            return super().read_with_code(value, unit)
        return member, UNPRICED if member in self.unpriced else None

    def _spelled(self, value: Any) -> StrEnum | None:
        """The value of a listed spelling; None for other texts and values."""
        if not isinstance(value, str) or len(value) > CATEGORY_MAX_CHARS:
            return None
        return self.spellings.get(fold_phrase(value))

    def _normalize(self, value: Any, unit: str | None) -> tuple[Any, str | None]:
        member = self._deserialize(value, None, None)
        if member is None:
            return None, "unknown-category"
        return member, UNPRICED if member in self.unpriced else None

    def member(self, text: str) -> StrEnum | None:
        """The value that `text` spells; None if the word is unknown."""
        if len(text) > CATEGORY_MAX_CHARS:
            return None
        folded = fold_phrase(text)
        member = self.spellings.get(folded)
        return member if member is not None or self.phrases is None else self.phrases.read(folded)

    def is_unknown(self, value: Any) -> bool:
        """Whether `value` is an unknown word that counts as missing."""
        if not isinstance(value, str) or self._spelled(value) is not None:
            return False
        return not self.is_blank(value) and self.member(value) is None


class Number(CarField):
    """A number within bounds, rounded to `decimals`.

    A text may state the number in any unit of `shared.fields.units`, or with the engine speed, and
    as a band or an open band where that is allowed.

    Args:
        minimum, maximum: inclusive bounds; a callable is called at each use.
        decimals: digits after the point that the normal form keeps; 0 gives an int.
        whole: a fraction is an error, not rounded.
        thousands: a separator before three digits groups thousands, as in "95.000 DH".
        litres: a number below ten is in litres and is converted to cm3.
        ranges: a range counts as its midpoint ("120 000 - 129 999"), and "120k" as thousands.
        open_ranges: an open range counts as its bound ("5 et plus").
        at_speed: the engine speed may follow ("221Nm@ 1750rpm").
    """

    def __init__(
        self,
        *,
        minimum: float,
        maximum: float | Callable[[], float],
        decimals: int = 0,
        whole: bool = False,
        thousands: bool = False,
        litres: bool = False,
        ranges: bool = False,
        open_ranges: bool = False,
        at_speed: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.minimum = minimum
        self._maximum = maximum
        self.decimals = decimals
        self.whole = whole
        self.thousands = thousands
        self.litres = litres
        self.ranges = ranges
        self.open_ranges = open_ranges
        self.at_speed = at_speed
        self._groups_thousands = thousands or decimals == 0
        lower_bound = LITRES_MIN if litres else minimum
        self.document("integer" if whole else "number", minimum=lower_bound, maximum=self.maximum)
        if litres:
            words = f"{self.metadata['description']}; below {LITRES_LIMIT:g} it is litres"
            self.document("number", description=words)

    @property
    def maximum(self) -> float:
        """The largest value accepted today."""
        return self._maximum() if callable(self._maximum) else self._maximum

    def read_with_code(self, value: Any, unit: str | None = None) -> tuple[Any, str | None]:
        """As `CarField.read_with_code`; usual numbers are recognised first."""
        usual = self._usual(value) if unit is None else None
        return (
            super().read_with_code(value, unit) if usual is None else (self._bounded(usual), None)
        )

    def read_with_remark(self, value: Any) -> tuple[Any, str | None]:
        """As `CarField.read_with_remark`; litres have a remark."""
        usual = self._usual(value)
        if usual is not None:
            return self._bounded(usual), None
        if self.is_blank(value):
            return self.read(value), None
        return self._interpret(value, None)

    def _usual(self, value: Any) -> int | float | None:
        """The number of a JSON number, or of a text like "25 000 km"; None for other values."""
        number: int | float
        if type(value) in {int, float}:
            number = value
        elif isinstance(value, str) and (found := _USUAL_NUMBER.fullmatch(value)) is not None:
            digits, decimals, unit = found.groups()
            if unit and not self._is_own_unit(unit):
                return None
            number = int(_GROUP_SPACES.sub("", digits))
            if decimals is not None:
                if self._groups_thousands and len(decimals) == len(".000"):
                    return None
                number = float(f"{number}{decimals}")
        else:
            return None
        is_plain = number >= LITRES_LIMIT if self.litres else number == number  # noqa: PLR0124 - NaN
        return number if is_plain else None

    def find_unit(self, text: str) -> str | None:
        """The unit that a text states without a number; None if it states none."""
        return find_unit(str(self.name), text)

    def _is_own_unit(self, text: str) -> bool:
        unit = find_unit(str(self.name), text)
        return unit is not None and unit == own_unit(str(self.name))

    def is_blank(self, value: Any) -> bool:
        """Whether a value is missing: None, or a text that says so."""
        if isinstance(value, str) and not value.isdecimal():
            return super().is_blank(value)
        return value is None

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> int | float:
        number: int | float = self._interpret(value, None)[0]
        return number

    def _normalize(self, value: Any, unit: str | None) -> tuple[Any, str | None]:
        number, code = self._interpret(value, unit)
        # Litres below ten are usual; a notice about the file tells of them.
        return number, None if code == LITRES else code

    def remark(self, value: Any) -> str | None:
        """What to say of a valid value that was not taken as it stands; None if nothing.

        One of `LITRES`, `CONVERTED` and `quantities.OPEN_RANGE`.
        """
        if self._usual(value) is not None:
            return None
        try:
            return None if self.is_blank(value) else self._interpret(value, None)[1]
        except ValidationError:
            return None

    def is_litres(self, value: Any) -> bool:
        """Whether `value` is read as litres."""
        return self.litres and self.remark(value) == LITRES

    def _interpret(self, value: Any, unit: str | None) -> tuple[int | float, str | None]:
        """The normal form of a value, and the code of a remark.

        Args:
            value: not blank.
            unit: stated for the column or row; a unit in the value takes precedence.
        """
        given = self._quantity(value)
        number, code = given.number, given.code
        stated = given.unit or unit
        if stated == UNSTATED:
            raise self.make_error(UNKNOWN_UNIT)
        if stated is not None and stated != own_unit(str(self.name)):
            converted = convert(str(self.name), number, stated)
            if converted is None:
                raise self.make_error("not-a-number")
            number = converted
            if given.unit is not None:
                code = code or (LITRES if self.litres else CONVERTED)
        elif self.litres and given.unit is None and LITRES_MIN <= number < LITRES_LIMIT:
            number, code = number * CM3_PER_LITRE, LITRES
        return self._bounded(number), code

    def _bounded(self, number: float) -> int | float:
        """The number within the bounds, rounded."""
        if not self.minimum <= number <= self.maximum:
            raise self.make_error("out-of-range")
        if self.decimals:
            return round(float(number), self.decimals)
        if self.whole and number != int(number):
            raise self.make_error("not-whole")
        return round(number)

    def _quantity(self, value: Any) -> Quantity:
        """The number of a value, as it was stated."""
        if type(value) in {int, float} and value == value:  # noqa: PLR0124 - NaN
            return Quantity(value)
        if isinstance(value, dict) and self.unit:
            raise self.make_error(OBJECT)
        if not isinstance(value, str) or len(value) > NUMBER_MAX_CHARS:
            raise self.make_error("not-a-number")
        try:
            return self._read_text(value)
        except UnreadableQuantity as error:
            raise self.make_error(error.code) from None

    def _read_text(self, text: str) -> Quantity:
        """The number that a text states.

        Raises:
            UnreadableQuantity: it states none, or several.
        """
        rules = self._rules
        return read_quantity(text, rules, lambda number, unit: convert(rules.field, number, unit))

    @cached_property
    def _rules(self) -> QuantityRules:
        # The field's name is set when its schema is made.
        return QuantityRules(
            field=str(self.name),
            whole=self._groups_thousands,
            is_count=self.open_ranges,
            ranges=self.ranges,
            at_speed=self.at_speed,
        )


class Year(Number):
    """A year, or the year of a date in any form that leaves no doubt about it."""

    def _usual(self, value: Any) -> int | float | None:
        # "20180315" is a date.
        is_text = isinstance(value, str)
        return None if is_text and len(value) != len("2018") else super()._usual(value)

    def _read_text(self, text: str) -> Quantity:
        year = parse_year(text)
        number = parse_number(text, whole=True) if year is None else year
        if number is None:
            raise UnreadableQuantity("not-a-number")
        return Quantity(number)


class Price(Number):
    """A price in dirhams, with the words that sites show around it."""

    def is_blank(self, value: Any) -> bool:
        """Whether a value is missing: None, or a text like "Demander le prix"."""
        return super().is_blank(value) or (
            isinstance(value, str) and len(value) <= NUMBER_MAX_CHARS and states_no_price(value)
        )

    def find_unit(self, text: str) -> str | None:
        """The code of the currency that a text names; None if it names none."""
        return find_currency(text)

    def _interpret(self, value: Any, unit: str | None) -> tuple[int | float, str | None]:
        is_stated = isinstance(value, str) and find_currency(value) is not None
        if unit is not None and unit != DIRHAM and not is_stated:
            raise self.make_error(UNKNOWN_UNIT if unit == UNSTATED else FOREIGN_CURRENCY)
        return super()._interpret(value, None)

    def _read_text(self, text: str) -> Quantity:
        return Quantity(read_price(text))


def next_year() -> float:
    """The latest plausible year of registration: dealers list next year's models."""
    return datetime.now(UTC).year + 1

"""Kinds of fields: each normalises a caller's value or raises the code of the broken rule."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from marshmallow import fields

from shared.domain.names import fold, fold_script
from shared.fields.numbers import parse_number, range_midpoint
from shared.vehicles.names import canonical_brand

_MONTH = "jan|f[eé]v|feb|mar|a[vp]r|ma[iy]|jui|jun|jul|ao[uû]|aug|sep|oct|nov|d[eé]c"
_DATE = re.compile(
    r"(?P<first>\d{4})[/-]\d{1,2}(?:[/-]\d{1,2}(?:[T ][\d:.+Z-]+)?)?"
    r"|(?:\d{1,2}[/-]|\d{1,2}[/.-]\d{1,2}[/.-])(?P<last>\d{4})"
    r"|\d{1,2}[/.-]\d{1,2}[/.-](?P<short>\d{2})"
    rf"|(?:\d{{1,2}}[ .-])?(?:{_MONTH})[^\W\d]{{0,7}}\.?[ /-](?P<named>\d{{4}}|\d{{2}})",
    re.IGNORECASE,
)
"""2020-03-15, 2020-03-15 00:00:00, 15/03/2020, 03/2020, 15/03/20, mars 2020, 15-mars-20."""

_CENTURY = 100


def parse_year(text: str) -> int | None:
    """The year of a date; None if `text` is none.

    >>> parse_year("15/03/18"), parse_year("mars 2018"), parse_year("2018")
    (2018, 2018, None)
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year = int(found["first"] or found["last"] or found["short"] or found["named"])
    return year if year >= _CENTURY else _with_century(year)


def _with_century(year: int) -> int:
    """The latest year with these two digits that is not after next year."""
    latest = datetime.now(UTC).year + 1
    return year + latest - latest % _CENTURY - (_CENTURY if year > latest % _CENTURY else 0)


_RULES = "not-text too-long not-a-number not-whole out-of-range unknown-category"
ERROR_CODES: dict[str, str | list[Any] | dict[Any, Any]] = {
    "required": "required",
    "null": "required",
    "validator_failed": "invalid",
    **{code: code for code in _RULES.split()},
}
NA_VALUES = frozenset({"", "-", "--", "n/a", "na", "nan", "null", "none", "#n/a"})
NUMBER_MAX_CHARS = 40
LITRES_MIN, LITRES_LIMIT = 0.4, 10.0
"""A displacement below ten is in litres: no engine has so few cm3."""
CM3_PER_LITRE = 1000
_LITRE_UNIT = re.compile(r"\s*(?:litres?|liters?|l)\.?$", re.IGNORECASE)
_CONTROL_CHARS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
CATEGORY_MAX_CHARS = 80
"""A longer text is not looked up."""


def is_blank(value: Any) -> bool:
    """Whether a value is missing: null, or a text like "" and "N/A"."""
    return value is None or (isinstance(value, str) and value.strip().casefold() in NA_VALUES)


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
        if isinstance(value, str) and is_blank(value):
            value = None
        return super().deserialize(value, attr, data, **options)

    def read(self, value: Any) -> Any:
        """`deserialize` of a given value, without the options that no field here uses.

        Raises:
            ValidationError: the value breaks a rule.
        """
        if is_blank(value):
            if not self.allow_none:
                raise self.make_error("null")
            return None
        return self._deserialize(value, None, None)


class FoldedText(CarField):
    """Free text, folded; at most `max_length` characters.

    Args:
        max_length: characters.
        translations: Latin names of names in other scripts, by their `fold_script`; a name that is
            not listed is kept in its script. If None, such names count as missing.
    """

    def __init__(
        self,
        *,
        max_length: int = 80,
        translations: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.max_length = max_length
        self.translations = translations
        self.document("string", maxLength=max_length)

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> str | None:
        if not isinstance(value, str):
            raise self.make_error("not-text")
        if len(value) > self.max_length:
            raise self.make_error("too-long")
        if _CONTROL_CHARS.search(value):
            raise self.make_error("not-text")
        folded = fold(value) or self._transliterate(value)
        if not folded and self.required:
            raise self.make_error("not-text")
        return folded or None

    def _transliterate(self, value: str) -> str:
        """Translate a name without Latin letters or digits, or keep it."""
        if self.translations is None:
            return ""
        # Folding may lengthen a text; the result must be accepted as input again.
        name = fold_script(value)[: self.max_length].strip()
        return self.translations.get(name, name)


class Company(FoldedText):
    """A brand, under its canonical name ("VW" is Volkswagen)."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> str | None:
        folded = super()._deserialize(value, attr, data, **options)
        return canonical_brand(folded) if folded else None


class Category(CarField):
    """One of a closed set of values, in any spelling that is listed.

    An unknown word is an error in a required field. In an optional field it counts as missing and
    is named in the warnings.
    """

    def __init__(
        self, *, enum: type[StrEnum], spellings: Mapping[str, StrEnum], **options: Any
    ) -> None:
        super().__init__(**options)
        self.enum = enum
        self.spellings = {fold(member): member for member in enum} | dict(spellings)
        words = f"one of {', '.join(enum)}, or a usual French spelling"
        self.document("string", description=f"{self.metadata['description']}: {words}")

    @property
    def choices(self) -> list[str]:
        """The canonical values."""
        return [str(member) for member in self.enum]

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> StrEnum | None:
        if not isinstance(value, str):
            raise self.make_error("not-text")
        member = self.member(value)
        if member is None and self.required:
            raise self.make_error("unknown-category")
        return member

    def member(self, text: str) -> StrEnum | None:
        """The value that `text` spells; None if the word is unknown."""
        return self.spellings.get(fold(text)) if len(text) <= CATEGORY_MAX_CHARS else None

    def is_unknown(self, value: Any) -> bool:
        """Whether `value` is an unknown word that counts as missing."""
        return isinstance(value, str) and not is_blank(value) and self.member(value) is None


class Number(CarField):
    """A number within bounds, rounded to `decimals`.

    Args:
        minimum, maximum: inclusive bounds; a callable is called at each use.
        decimals: digits after the point that the normal form keeps; 0 gives an int.
        whole: a fraction is an error, not rounded.
        thousands: a separator before three digits groups thousands, as in "95.000 DH".
        suffixes: units that may follow the number in a text ("25 000 km").
        litres: a number below ten is in litres and is converted to cm3.
        from_date: a date counts as its year.
        ranges: a range counts as its midpoint ("120 000 - 129 999"), and "120k" as thousands.
    """

    def __init__(
        self,
        *,
        minimum: float,
        maximum: float | Callable[[], float],
        decimals: int = 0,
        whole: bool = False,
        thousands: bool = False,
        suffixes: tuple[str, ...] = (),
        litres: bool = False,
        from_date: bool = False,
        ranges: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.minimum = minimum
        self._maximum = maximum
        self.decimals = decimals
        self.whole = whole
        self.thousands = thousands
        self.suffixes = suffixes
        self.litres = litres
        self.from_date = from_date
        self.ranges = ranges
        lower_bound = LITRES_MIN if litres else minimum
        self.document("integer" if whole else "number", minimum=lower_bound, maximum=self.maximum)
        if litres:
            words = f"{self.metadata['description']}; below {LITRES_LIMIT:g} it is litres"
            self.document("number", description=words)

    @property
    def maximum(self) -> float:
        """The largest value accepted today."""
        return self._maximum() if callable(self._maximum) else self._maximum

    def _deserialize(self, value: Any, attr: Any, data: Any, **options: Any) -> int | float:
        number = self._cm3(value) if self.litres else None
        if number is None:
            number = self._number(value)
        if number is None or (isinstance(number, float) and math.isnan(number)):
            raise self.make_error("not-a-number")
        if not self.minimum <= number <= self.maximum:
            raise self.make_error("out-of-range")
        if self.decimals:
            return round(float(number), self.decimals)
        if self.whole and number != int(number):
            raise self.make_error("not-whole")
        return round(number)

    def is_litres(self, value: Any) -> bool:
        """Whether `value` is read as litres."""
        return self.litres and not is_blank(value) and self._cm3(value) is not None

    def _cm3(self, value: Any) -> float | None:
        """A number of litres in cm3; None if `value` is none."""
        if isinstance(value, str):
            if len(value) > NUMBER_MAX_CHARS:
                return None
            number = parse_number(_LITRE_UNIT.sub("", value.strip()), whole=False)
        else:
            number = value if type(value) in (int, float) else None
        is_litres = number is not None and LITRES_MIN <= number < LITRES_LIMIT
        return number * CM3_PER_LITRE if is_litres and number is not None else None

    def _number(self, value: Any) -> int | float | None:
        if isinstance(value, bool):
            return None
        if isinstance(value, int | float):
            return value
        if not isinstance(value, str) or len(value) > NUMBER_MAX_CHARS:
            return None
        text = value.strip()
        lowered = text.casefold()
        for suffix in self.suffixes:
            if lowered.endswith(suffix):
                text = text[: -len(suffix)]
                break
        if self.from_date and (year := parse_year(text)) is not None:
            return year
        if self.ranges and (number := range_midpoint(text)) is not None:
            return number
        return parse_number(text, whole=self.thousands or self.decimals == 0)


def next_year() -> float:
    """The latest plausible year of registration: dealers list next year's models."""
    return datetime.now(UTC).year + 1

"""Fields that are numbers: in their own unit, years and prices."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from marshmallow import ValidationError

from shared.fields.dates import parse_year
from shared.fields.kinds.text import WRONG_TYPE, CarField
from shared.fields.numbers import parse_number
from shared.fields.prices import (
    DIRHAM,
    FOREIGN_CURRENCY,
    THOUSAND_DIRHAM,
    find_currency,
    read_price,
    states_no_price,
)
from shared.fields.quantities import Quantity, QuantityRules, UnreadableQuantity, read_quantity
from shared.fields.units import CM3_PER_LITRE, THOUSAND_KM, UNSTATED, convert, find_unit, own_unit

NUMBER_MAX_CHARS = 80
LITRES_MIN, LITRES_LIMIT = 0.4, 10.0
"""A displacement below ten is in litres: no engine has so few cm3."""
LITRES, CONVERTED = "litres", "converted"
"""Codes of numbers that were read in litres, or in another unit that was stated."""
UNKNOWN_UNIT, OBJECT = "unknown-unit", "object"
"""Codes of a number beside which no known unit stands, and of a JSON object in its place."""
_USUAL_NUMBER = re.compile(
    r"([0-9]{1,3}(?:[ \u00a0\u202f][0-9]{3})+|[0-9]{1,12})(\.[0-9]+)?[ \u00a0]?([A-Za-z]{1,4})?"
)
"""A whole number, decimals and a unit."""
_DECIMALS = re.compile("\\D*\\d+[.,\u066b]\\d+\\D*")
"""A text with one number, which has decimals."""
_GROUP_SPACES = re.compile(r"[ \u00a0\u202f]")


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
        decimals_from: a smaller number with decimals, and without a unit, is an error: "120,5" may
            count thousands of kilometres.
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
        decimals_from: float = 0.0,
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
        self.decimals_from = decimals_from
        self._groups_thousands = thousands or decimals == 0
        lower_bound = LITRES_MIN if litres else minimum
        # A text states the number as people write it, with its unit.
        types = ["integer" if whole else "number", "string"]
        self.document(types, minimum=lower_bound, maximum=self.maximum)
        if litres:
            words = f"{self.metadata['description']}; below {LITRES_LIMIT:g} it is litres"
            self.document(types, description=words)

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
            if self._may_be_thousands(value, number):
                return None
        elif isinstance(value, str) and (found := _USUAL_NUMBER.fullmatch(value)) is not None:
            digits, decimals, unit = found.groups()
            if unit and not self._is_own_unit(unit):
                return None
            number = int(_GROUP_SPACES.sub("", digits))
            if decimals is not None:
                if self._groups_thousands and len(decimals) == len(".000"):
                    return None
                number = float(f"{number}{decimals}")
                if not unit and self._may_be_thousands(value, number):
                    return None
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
        if given.unit is None and unit != THOUSAND_KM and self._may_be_thousands(value, number):
            raise self.make_error("not-whole")
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

    def _may_be_thousands(self, value: Any, number: float) -> bool:
        """Whether a number is too small for the decimals that it has."""
        has_decimals = 0 <= number < self.decimals_from and number != int(number)
        is_text = isinstance(value, str)
        return has_decimals and (not is_text or _DECIMALS.fullmatch(value) is not None)

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
        is_text = isinstance(value, str) and not value.endswith(WRONG_TYPE)
        if not is_text or len(value) > NUMBER_MAX_CHARS:
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
        if unit == THOUSAND_DIRHAM and not is_stated:
            return self._bounded(self._quantity(value).number * 1000), None
        if unit is not None and unit not in (DIRHAM, THOUSAND_DIRHAM) and not is_stated:
            raise self.make_error(UNKNOWN_UNIT if unit == UNSTATED else FOREIGN_CURRENCY)
        return super()._interpret(value, None)

    def _read_text(self, text: str) -> Quantity:
        return Quantity(read_price(text))


def next_year() -> float:
    """The latest plausible year of registration: dealers list next year's models."""
    return datetime.now(UTC).year + 1

"""What a parameter of a request may be: texts that are translated when a refusal is shown.

Schemas are made once, before any request; a `Rule` therefore keeps its English text and the values
in it apart, and `in_language` puts them together.
"""

from collections.abc import Iterable
from typing import Any, Self

from shared.i18n.catalogue import mark, translate
from shared.i18n.languages import SOURCE_LANGUAGE, Language
from shared.i18n.numbers import COMMA

ERROR_KEYS = (
    "required", "null", "validator_failed", "invalid", "invalid_utf8", "special", "too_large",
    "unknown",
)  # fmt: skip
"""Keys of all messages of marshmallow's fields for query parameters."""


class Rule(str):
    """What a parameter may be; as a string, the English text.

    marshmallow formats its messages, which would make plain strings of them: a rule has its values
    already and stays itself.

    Args:
        text: English, of the catalogue, with placeholders.
        values: of the placeholders; several words are joined as the language lists them.
    """

    __slots__ = ("text", "values")
    text: str
    values: dict[str, Any]

    def __new__(cls, text: str, **values: Any) -> Self:
        """Make a rule."""
        rule = super().__new__(cls, _fill(text, values, SOURCE_LANGUAGE))
        rule.text, rule.values = text, values
        return rule

    def format(self, *_: object, **__: object) -> Self:
        """The rule itself."""
        return self

    def in_language(self, language: Language) -> str:
        """The text in a language."""
        return _fill(translate(self.text, language), self.values, language)


def _fill(text: str, values: dict[str, Any], language: Language) -> str:
    shown = {
        name: COMMA[language].join(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }
    return text.format(**shown)


def every_error(rule: Rule) -> dict[str, str | list[Any] | dict[Any, Any]]:
    """`error_messages` of a field whose refusals all say the same."""
    return dict.fromkeys(ERROR_KEYS, rule)


def one_of(names: Iterable[object]) -> Rule:
    """One of some values."""
    return Rule(mark("one of {names}"), names=tuple(map(str, names)))


def either(first: str, last: str) -> Rule:
    """One of two values."""
    return Rule(mark("{first} or {last}"), first=first, last=last)


def whole_number(low: int, high: int) -> Rule:
    """A whole number between limits."""
    return Rule(mark("a whole number from {low} to {high}"), low=low, high=high)


def seconds(low: int, high: int) -> Rule:
    """A number of seconds between limits."""
    return Rule(mark("seconds from {low} to {high}"), low=low, high=high)


def characters(maximum: int, minimum: int = 1) -> Rule:
    """A text of a length."""
    if minimum:
        return Rule(mark("a text of 1 to {maximum} characters"), maximum=maximum)
    return Rule(mark("a text of at most {maximum} characters"), maximum=maximum)


def written_as(*examples: str) -> Rule:
    """A value as in examples that need no words."""
    return Rule("{examples}", examples=examples)


DAY = Rule(mark("YYYY-MM-DD"))

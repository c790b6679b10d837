"""The base of every field of the car, and fields of free text."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from marshmallow import ValidationError, fields

from shared.domain.names import fold, fold_name, fold_script
from shared.fields.blanks import is_blank, is_blank_word
from shared.i18n.catalogue import translate_in_context
from shared.i18n.languages import LANGUAGES, Language

LABEL_CONTEXT = "field"
"""Tells the names of fields from the same words elsewhere, in the message catalogue."""
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
_CONTROL_CHARS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
WRONG_TYPE = "\x7f"
"""Ends a text that was of another type in a JSON file, which no field takes for a text: DEL."""
_BOOLEANS = frozenset({"true", "false", "vrai", "faux"})
"""Texts of booleans, which name no car."""


class CarField(fields.Field[Any]):
    """A field of the car with its labels, unit and aliases.

    Args:
        label: its name for people in English, marked with `LABEL_CONTEXT`.
        example: a value for the documentation.
        unit: the unit of the value, empty if it has none.
        aliases: folded column headers that mean this field.
    """

    default_error_messages = ERROR_CODES

    def __init__(
        self,
        *,
        label: str,
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
            "description": label + (f", {unit}" if unit else ""),
            "example": example,
        }
        self.label_en = label
        self.example = example
        self.unit = unit
        self.aliases = aliases

    @property
    def names(self) -> tuple[str, ...]:
        """The aliases, then the labels in every language."""
        return (*self.aliases, *(self.label(language) for language in LANGUAGES))

    @property
    def label_fr(self) -> str:
        """The field's name in French."""
        return self.label("fr")

    def label(self, language: Language) -> str:
        """The field's name for people."""
        return translate_in_context(LABEL_CONTEXT, self.label_en, language)

    def make_error(self, key: str, **options: Any) -> ValidationError:
        """As marshmallow's, without filling in a text: the message of an error is its code."""
        del options
        return ValidationError(ERROR_CODES[key])

    def document(self, json_type: str | list[str], **constraints: Any) -> None:
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
        types = ["string", "number"] if takes_numbers else "string"
        self.document(types, maxLength=max_length, **({"minLength": 1} if self.required else {}))
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
        if self.required and (not folded or folded in _BOOLEANS):
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

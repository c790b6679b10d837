"""Fields with one of a few values, written in many words."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from shared.domain.names import fold
from shared.fields.kinds.text import CarField
from shared.fields.phrases import PhraseReader, fold_phrase

CATEGORY_MAX_CHARS = 80
"""A longer text is not looked up."""
UNPRICED = "unpriced"
"""Code of a value that is priced as the nearest one that listings have."""
MISSPELT = "misspelt"
"""Code of a value that is understood although a letter of its word is wrong."""


class Category(CarField):
    """One of a closed set of values, in any usual spelling or phrase.

    An unknown word is an error in a required field. In an optional field it counts as missing and
    is named in the warnings.

    Args:
        enum: the values.
        spellings: values by folded spelling.
        phrases: reads texts of several words.
        unpriced: values that too few listings have: priced as the nearest value that they have.
        corrects: a wrong letter in a long word is corrected; needs `phrases`.
    """

    def __init__(
        self,
        *,
        enum: type[StrEnum],
        spellings: Mapping[str, StrEnum],
        phrases: PhraseReader | None = None,
        unpriced: frozenset[StrEnum] = frozenset(),
        corrects: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.enum = enum
        self.unpriced = unpriced
        self.corrects = corrects
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
        member = self.member(value) or self.member_of_slip(value)
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
        if self.member(value) is None:
            return member, MISSPELT
        return member, UNPRICED if member in self.unpriced else None

    def member(self, text: str) -> StrEnum | None:
        """The value that `text` spells; None if the word is unknown."""
        if len(text) > CATEGORY_MAX_CHARS:
            return None
        folded = fold_phrase(text)
        member = self.spellings.get(folded)
        return member if member is not None or self.phrases is None else self.phrases.read(folded)

    def member_of_slip(self, text: str) -> StrEnum | None:
        """The value that `text` spells with a wrong letter; None if it is not certain."""
        if not self.corrects or self.phrases is None or len(text) > CATEGORY_MAX_CHARS:
            return None
        return self.phrases.read_slip(fold_phrase(text))

    def is_unknown(self, value: Any) -> bool:
        """Whether `value` is an unknown word that counts as missing."""
        if not isinstance(value, str) or self._spelled(value) is not None:
            return False
        return (
            not self.is_blank(value) and (self.member(value) or self.member_of_slip(value)) is None
        )

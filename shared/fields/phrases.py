"""Reads categories from phrases: "8-Speed Automatic", "Essence + GPL", "pas encore dédouanée"."""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property, lru_cache

from rapidfuzz.distance import OSA

from shared.domain.names import fold, fold_script

_SIGNED = re.compile(r"\s*[-\u2212](?=\d)")
_ARABIC_LETTERS = str.maketrans("ةىیکگ", "هيككك")
_ARTICLE = "ال"
_MIN_LETTERS_AFTER_ARTICLE = 2
_TRAILING_DIGITS = re.compile(r"(?<=[a-z])\d{1,2}$")
_LEADING_DIGITS = re.compile(r"\b(\d{1,2})(?=[a-z])")
_MIN_LETTERS_OF_SLIP = 5
"""A shorter word is not corrected: one letter is too large a part of it."""
_MAX_WORDS = 5
"""Words of the longest phrase that is looked up as a whole."""


def fold_phrase(text: str) -> str:
    """As `fold`; Arabic words are kept, without the article and in one spelling.

    A "+" at the end becomes the word "plus", a sign before a number the word "minus".

    >>> fold_phrase("Boîte-Auto"), fold_phrase("الكهرباء"), fold_phrase("أوتوماتيكية")
    ('boite auto', 'كهرباء', 'اوتوماتيكيه')
    """
    if "+" in text or _SIGNED.match(text):
        text = _SIGNED.sub(" minus ", text, count=1)
        text = f"{text} plus" if text.rstrip().endswith("+") else text
    return fold(text) if text.isascii() else _fold_other(text)


@lru_cache(maxsize=8192)
def _fold_other(text: str) -> str:
    script = fold_script(text)
    if script.isascii():
        return script
    return " ".join(map(_without_article, script.translate(_ARABIC_LETTERS).split(" ")))


def _without_article(word: str) -> str:
    bare = word.removeprefix(_ARTICLE)
    return bare if len(bare) >= _MIN_LETTERS_AFTER_ARTICLE else word


class PhraseReader:
    """Reads a value from the words of a text; each word must be known.

    Longer phrases are looked up first, so that "pas dédouanée" is not "dédouanée". A word that ends
    in digits ("bvm6") is looked up without them if it is not known with them.

    Args:
        meanings: comma-separated words and phrases of each value, folded (`fold_phrase`).
        neutral: comma-separated words and phrases that do not change the value.
        joined: the value of several that are named together, as "essence" and "gpl".
        digits: whether numbers of at most two digits are neutral, also before a word ("7g").
        empty: comma-separated words and phrases that say nothing about the field.
    """

    def __init__(
        self,
        meanings: Mapping[StrEnum, str],
        *,
        neutral: str = "",
        joined: Mapping[frozenset[StrEnum], StrEnum] | None = None,
        digits: bool = False,
        empty: str = "",
    ) -> None:
        self._meanings: dict[str, StrEnum | None] = dict.fromkeys(filter(None, neutral.split(", ")))
        for member, phrases in meanings.items():
            for phrase in phrases.split(", "):
                self._meanings[fold_phrase(phrase)] = member
        self._joined = joined or {}
        self._digits = digits
        self._empty = frozenset(map(fold_phrase, filter(None, empty.split(", "))))

    @property
    def spellings(self) -> dict[str, StrEnum]:
        """The values that one word or phrase names by itself."""
        return {phrase: value for phrase, value in self._meanings.items() if value is not None}

    def is_empty(self, text: str) -> bool:
        """Whether a text says nothing about the field."""
        return bool(self._empty) and fold_phrase(text) in self._empty

    def read(self, folded: str) -> StrEnum | None:
        """The value of a folded phrase; None if a word is unknown or the words contradict."""
        if self._digits:
            folded = _LEADING_DIGITS.sub(r"\1 ", folded)
        words, found, at = folded.split(" "), set(), 0
        while at < len(words):
            for length in range(min(_MAX_WORDS, len(words) - at), 0, -1):
                phrase = " ".join(words[at : at + length])
                if phrase in self._meanings:
                    found.add(self._meanings[phrase])
                    break
            else:
                length = 1
                if not self._is_number(words[at]):
                    bare = _TRAILING_DIGITS.sub("", words[at])
                    if bare not in self._meanings:
                        return None
                    found.add(self._meanings[bare])
            at += length
        members = frozenset(member for member in found if member is not None)
        return next(iter(members)) if len(members) == 1 else self._joined.get(members)

    def read_slip(self, folded: str) -> StrEnum | None:
        """As `read`, with one wrong letter in long words; None if a word may mean several values.

        >>> from shared.fields.spellings import FUEL_PHRASES
        >>> str(FUEL_PHRASES.read_slip("essance")), FUEL_PHRASES.read_slip("absence")
        ('Petrol', None)
        """
        words = []
        for word in folded.split(" "):
            corrected = word if self._is_known(word) else self._near_word(word)
            if corrected is None:
                return None
            words.append(corrected)
        return self.read(" ".join(words))

    def _is_known(self, word: str) -> bool:
        return word in self._meanings or word in self._parts or self._is_number(word)

    @cached_property
    def _parts(self) -> frozenset[str]:
        """The words of all phrases."""
        return frozenset(word for phrase in self._meanings for word in phrase.split(" "))

    def _near_word(self, word: str) -> str | None:
        """The long known word within one error; None if there is none, or they differ in value."""
        if len(word) < _MIN_LETTERS_OF_SLIP or not word.isalpha():
            return None
        near = [
            known
            for known in self._meanings
            if len(known) >= _MIN_LETTERS_OF_SLIP
            and known.isalpha()
            and OSA.distance(word, known, score_cutoff=1) <= 1
        ]
        is_certain = len({self._meanings[known] for known in near}) == 1
        return near[0] if is_certain else None

    def _is_number(self, word: str) -> bool:
        return self._digits and word.isdecimal() and len(word) <= len("10")

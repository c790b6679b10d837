"""Reads the cells of `row_notes` of stored results, and says the same in another language.

Results are files, whose notes are sentences in the language of their upload. Readers of other
languages get them through the templates that wrote them.
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from shared.domain.files.notes import MODEL_NOTES
from shared.domain.valuation import MODEL_UNKNOWN
from shared.fields.car import CAR_FIELDS
from shared.i18n.languages import Language
from shared.messages.texts import (
    FIELD_MESSAGES,
    QUOTED_MAX_CHARS,
    READ_AS_GAP,
    VALUE_GAP,
    describe_model_note,
    describe_note,
    describe_warning,
    note_template,
    quotation_marks,
)

MAX_WORD_CHARS = 60
"""Longest name of what a misspelt word was read as."""


class Notes(NamedTuple):
    """A cell of `row_notes`, and the language that it is in."""

    text: str
    language: Language


class _Note(NamedTuple):
    """What a sentence says, in no language; without a field: about the model or the car."""

    field: str
    code: str
    value: str | None = None
    """The cell that it quotes; None if it is of the model."""


class _Pattern(NamedTuple):
    """A sentence of a language: texts around gaps."""

    texts: tuple[str, ...]
    gaps: str
    """The gap behind each text but the last one."""
    field: str
    code: str
    is_of_model: bool


def notes_in(text: str, written: Language, wanted: Language) -> Notes:
    """A cell of `row_notes` in the wanted language.

    It stays as it is written if another version of the service wrote sentences that this one does
    not know.

    Args:
        text: the cell; may be empty.
        written: the language of the upload.
        wanted: of the reader.
    """
    if written == wanted or not text:
        return Notes(text, wanted)
    notes = _read(text, 0, written)
    if notes is None:
        return Notes(text, written)
    return Notes(" ".join(_say(note, wanted) for note in notes), wanted)


def _say(note: _Note, language: Language) -> str:
    if note.value is not None:
        return describe_note(note.field, note.code, note.value, language)
    return _model_sentence(note.field, note.code, language)


def _model_sentence(field: str, code: str, language: Language) -> str:
    if code == MODEL_UNKNOWN:
        return describe_warning({"pointer": f"/{field}", "code": code}, language)
    return describe_model_note(field, code, language)


def _read(text: str, start: int, language: Language) -> list[_Note] | None:
    """What the sentences of a cell say from a place on; None if one of them is not known."""
    for pattern in _patterns(language):
        if not text.startswith(pattern.texts[0], start):
            continue
        for end, value in _ends(pattern, text, start):
            if end == len(text):
                following: list[_Note] | None = []
            else:
                following = _read(text, end + 1, language) if text[end] == " " else None
            if following is not None:
                given = None if pattern.is_of_model else value
                return [_Note(pattern.field, pattern.code, given), *following]
    return None


def _ends(pattern: _Pattern, text: str, start: int) -> Iterator[tuple[int, str]]:
    """Where a sentence may end that begins at a place, and the cell that it would quote."""
    places = [(start + len(pattern.texts[0]), "")]
    for gap, following in zip(pattern.gaps, pattern.texts[1:], strict=True):
        most = QUOTED_MAX_CHARS if gap == VALUE_GAP else MAX_WORD_CHARS
        places = [
            (at + len(following), text[begin:at] if gap == VALUE_GAP else value)
            for begin, value in places
            for at in _places(text, following, begin, begin + most)
        ]
    yield from places


def _places(text: str, part: str, first: int, last: int) -> Iterator[int]:
    """Where a part of a text begins, from `first` to `last`."""
    at = text.find(part, first, last + len(part))
    while at >= 0:
        yield at
        at = text.find(part, at + 1, last + len(part))


@cache
def _patterns(language: Language) -> tuple[_Pattern, ...]:
    """All sentences that `row_notes` has in a language."""
    found: dict[str, _Pattern] = {}
    opening, closing = quotation_marks(language)
    for field in CAR_FIELDS:
        for code in FIELD_MESSAGES:
            sentence = note_template(field, code, language)
            quoted = sentence.replace(VALUE_GAP, f"{opening}{VALUE_GAP}{closing}")
            found.setdefault(quoted, _pattern(quoted, field, code, is_of_model=False))
    for field, code in (("model", MODEL_UNKNOWN), *MODEL_NOTES):
        sentence = _model_sentence(field, code, language)
        found.setdefault(sentence, _pattern(sentence, field, code, is_of_model=True))
    return tuple(found.values())


def _pattern(sentence: str, field: str, code: str, *, is_of_model: bool) -> _Pattern:
    gaps = "".join(char for char in sentence if char in {VALUE_GAP, READ_AS_GAP})
    texts = sentence.replace(READ_AS_GAP, VALUE_GAP).split(VALUE_GAP)
    return _Pattern(tuple(texts), gaps, field, code, is_of_model)

"""Finds a text in many rows of CSV, without case, accents and variants of Arabic letters.

Rows are written in an alphabet of one byte for each character, in which letters that readers take
for the same are the same byte: then a row takes a microsecond. The alphabet has Latin letters as
they occur in Morocco, and Arabic ones. Rows that may have a text with other characters are read
again in full Unicode.
"""

import codecs
import csv
import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from typing import Final

_LATIN: Final = "ÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝàáâãäåçèéêëìíîïñòóôõöøùúûüýÿŠšŽžŸĆćČčĞğİıŁłŞş"
_SIGNS: Final = "\u00a0\u202f\u2019\u2013"
_ARABIC: Final = "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيپچڤکگ"
_VARIANTS: Final = _SIGNS + "ıøØłŁآأإىةؤئکگڤپچ"
_MEANT: Final = dict(zip(_VARIANTS, "  '-ioollااايهويككفبج", strict=True))  # noqa: RUF001
"""What is searched as another character, beside letters with accents."""
_LIGATURES: Final = {"œ": "oe", "Œ": "oe", "æ": "ae", "Æ": "ae", "ß": "ss"}
_SPELLINGS: Final = [*_MEANT.items(), *_LIGATURES.items()]
_MARKS: Final = "".join(
    map(
        chr,
        (
            # Accents after their letters, as some systems write names (NFD).
            *(0x300, 0x301, 0x302, 0x303, 0x304, 0x306, 0x307, 0x308, 0x30A, 0x30B, 0x30C),
            *(0x323, 0x327, 0x328, 0x331),
            # Vowel signs, the tatweel, and signs that nobody sees.
            *(*range(0x64B, 0x656), 0x670, 0x640, 0xAD, *range(0x200B, 0x2010), 0xFEFF),
        ),
    )
)
"""What is searched as if it were not there; so are control characters."""


def _alphabet() -> str:
    """256 characters; the first half is ASCII, with marks in the place of control characters."""
    marks = iter(_MARKS)
    first = [
        char if char in "\0\t\n\r" or char.isprintable() else next(marks)
        for char in map(chr, range(128))
    ]
    return ("".join(first) + _LATIN + _SIGNS + _ARABIC + "".join(marks)).ljust(256, _UNUSED)


_UNUSED: Final = "\ufffe"
"""In an alphabet of Python: no character has this byte."""
_ALPHABET: Final = _alphabet()
_OTHER: Final = _ALPHABET.index(_UNUSED)
"""The byte of all characters that are not in the alphabet."""
_ENCODING: Final = codecs.charmap_build(_ALPHABET)
_IGNORED: Final = bytes([0, *map(_ALPHABET.index, _MARKS)])
_COMBINING: Final = "".join(filter(unicodedata.combining, map(chr, range(0x300, 0x3100))))
_UNSEEN: Final = re.compile(rf"[\0-\x08\x0b\x0c\x0e-\x1f\x7f{_MARKS}{_COMBINING}]+")
_REPLACE: Final = "carprice-other-characters"
"""Name of the codec's error handler."""


def _meant(char: str) -> str:
    """The character that a character of the alphabet is searched as."""
    if char in _MEANT:
        return _MEANT[char]
    return unicodedata.normalize("NFD", char)[0].lower()


_SAME: Final = bytes(
    at if char == _UNUSED or char in _MARKS else _ALPHABET.index(_meant(char))
    for at, char in enumerate(_ALPHABET)
)


def _fold_text(text: str) -> str:
    """A text without case, marks and variants, by all of Unicode."""
    folded = unicodedata.normalize("NFD", text).casefold()
    for written, meant in _SPELLINGS:
        folded = folded.replace(written, meant)
    return _UNSEEN.sub("", folded)


@lru_cache(maxsize=1024)
def _encode_others(text: str) -> bytes:
    """Characters that are not in the alphabet, by letters that are searched as the same."""
    places = map(_ALPHABET.find, _fold_text(text))
    return bytes(place if place >= 0 else _OTHER for place in places)


def _replace(error: UnicodeError) -> tuple[bytes, int]:
    """What stands for characters that are not in the alphabet."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _encode_others(error.object[error.start : error.end]), error.end


codecs.register_error(_REPLACE, _replace)


def _fold(record: bytes) -> bytes:
    """A text of UTF-8 in the alphabet; one and the same byte for each other character."""
    if record.isascii():
        return record.translate(_SAME, _IGNORED)
    encoded: bytes = codecs.charmap_encode(record.decode(), _REPLACE, _ENCODING)[0]
    return encoded.translate(_SAME, _IGNORED)


def _as_written(text: bytes) -> bytes:
    """A text as it stands between quotation marks."""
    return text.replace(b'"', b'""')


class TextQuery:
    r"""A text that is searched in cells.

    >>> TextQuery("CITROEN", ";", {0}).is_in("Citroën C3;2019\n".encode())
    True

    Args:
        text: what is searched; not empty.
        delimiter: between the cells of a record.
        cells: numbers of the cells of a record in which it is searched, from 0.
    """

    def __init__(self, text: str, delimiter: str, cells: Collection[int]) -> None:
        self._text = _fold(text.encode())
        self._whole = _fold_text(text).encode() if _OTHER in self._text else b""
        """The text in full Unicode, if the alphabet does not have it."""
        self._quoted = _as_written(self._text)
        self._delimiter = delimiter
        self._separator = delimiter.encode()
        self._cells = cells

    def is_in(self, record: bytes) -> bool:
        """Whether one of the cells of a record has the text.

        Args:
            record: a row of CSV in UTF-8.
        """
        if not self._has(_fold(record), self._text):
            return False
        return not self._whole or self._has(_fold_text(record.decode()).encode(), self._whole)

    def in_lines(self, records: bytes) -> list[bool]:
        """As `is_in`, for records of which each is one line; takes half of the time.

        Args:
            records: rows of CSV in UTF-8, each with a line feed at its end and no other.
        """
        folded = _fold(records)
        if self._quoted not in folded:
            return [False] * records.count(b"\n")
        found = [self._has(line, self._text) for line in folded.split(b"\n")[:-1]]
        if self._whole and any(found):
            lines = _fold_text(records.decode()).encode().split(b"\n")
            found = [has and self._has(lines[at], self._whole) for at, has in enumerate(found)]
        return found

    def _has(self, folded: bytes, text: bytes) -> bool:
        """Whether a cell of a record has a text; both are folded in the same way."""
        quoted = _as_written(text)
        at = folded.find(quoted) if text else -1
        while at >= 0:
            if b'"' in folded:
                return self._has_quoted(folded, text)
            number = folded.count(self._separator, 0, at)
            if number in self._cells and self._separator not in text:
                return True
            at = folded.find(quoted, at + 1)
        return False

    def _has_quoted(self, folded: bytes, text: bytes) -> bool:
        """As `_has`, of a record with quotation marks, in which separators may be text."""
        # Latin-1 has a character for each byte.
        cells = next(csv.reader([folded.decode("latin-1")], delimiter=self._delimiter))
        wanted = text.decode("latin-1")
        return any(wanted in cells[number] for number in self._cells)

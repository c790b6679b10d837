"""Finds a text in many rows of CSV, without case, accents and variants of Arabic letters.

Rows are written in an alphabet of one byte for each character, in which letters that readers take
for the same are the same byte: then a row takes a microsecond. The alphabet has Latin letters as
they occur in Morocco, and Arabic ones; other characters are found as they are written.
"""

import codecs
import csv
import unicodedata
from collections.abc import Callable, Collection
from typing import Final

_LATIN: Final = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿŒœŠšŽžŸĆćČčĞğİıŁłŞş"
_SIGNS: Final = "\u00a0\u202f\u2019\u2013"
_ARABIC: Final = "ءآأؤإئابةتثجحخدذرزسشصضطظعغـفقكلمنهوىيپچڤکگ"
_VARIANTS: Final = _SIGNS + "ßæÆœŒıøØłŁآأإىةؤئکگڤپچ"
_MEANT: Final = dict(zip(_VARIANTS, "  '-saaooioollااايهويككفبج", strict=True))  # noqa: RUF001
"""What is searched as another character, beside letters with accents."""
_ALPHABET: Final = "".join(map(chr, range(128))) + _LATIN + _SIGNS + _ARABIC
_ENCODING: Final = codecs.charmap_build(_ALPHABET.ljust(256, "\ufffe"))


def _meant(char: str) -> str:
    """The character that a character of the alphabet is searched as."""
    if char in _MEANT:
        return _MEANT[char]
    return unicodedata.normalize("NFD", char)[0].lower()


_SAME: Final = bytes(
    _ALPHABET.index(_meant(char)) if at < len(_ALPHABET) else at
    for at, char in enumerate(_ALPHABET.ljust(256))
)


def _fold(record: bytes) -> bytes:
    """A text of UTF-8 in the alphabet; a question mark for what it does not have."""
    if record.isascii():
        return record.translate(_SAME)
    encoded: bytes = codecs.charmap_encode(record.decode(), "replace", _ENCODING)[0]
    return encoded.translate(_SAME)


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
        self._fold: Callable[[bytes], bytes] = _fold
        if not set(text) <= set(_ALPHABET):
            self._fold = bytes
        self._text = self._fold(text.encode())
        self._quoted = self._text.replace(b'"', b'""')
        self._delimiter = delimiter
        self._separator = delimiter.encode()
        self._cells = cells

    def is_in(self, record: bytes) -> bool:
        """Whether one of the cells of a record has the text.

        Args:
            record: a row of CSV in UTF-8.
        """
        return self._is_in(self._fold(record))

    def in_lines(self, records: bytes) -> list[bool]:
        """As `is_in`, for records of which each is one line; takes half of the time.

        Args:
            records: rows of CSV in UTF-8, each with a line feed at its end and no other.
        """
        folded = self._fold(records)
        if self._quoted not in folded:
            return [False] * records.count(b"\n")
        return [self._is_in(line) for line in folded.split(b"\n")[:-1]]

    def _is_in(self, folded: bytes) -> bool:
        """As `is_in`, of a record in the alphabet."""
        at = folded.find(self._quoted)
        while at >= 0:
            if b'"' in folded:
                return self._is_in_quoted(folded)
            number = folded.count(self._separator, 0, at)
            if number in self._cells and self._separator not in self._text:
                return True
            at = folded.find(self._quoted, at + 1)
        return False

    def _is_in_quoted(self, folded: bytes) -> bool:
        """As `is_in`, of a record with quotation marks, in which separators may be text."""
        # Latin-1 has a character for each byte.
        lines = [folded.decode("latin-1")]
        cells = next(csv.reader(lines, delimiter=self._delimiter))
        text = self._text.decode("latin-1")
        return any(text in cells[number] for number in self._cells)

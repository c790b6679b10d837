"""Detects the encoding of a text file from its bytes, and restores text that was misread before.

A file is encoded twice (`ModÃ¨le`) if its UTF-8 was once read in another encoding and saved again.
"""

import codecs
import dataclasses
import re
from collections.abc import Iterator
from itertools import islice

from shared.domain.errors import UnreadableUpload
from shared.domain.table import Detection
from shared.tabular.cell_evidence import is_known_word

BOMS = {
    "utf-8": b"\xef\xbb\xbf",
    "utf-16-le": b"\xff\xfe",
    "utf-16-be": b"\xfe\xff",
}

ENCODINGS = (
    "utf-8", "utf-16-le", "utf-16-be", "cp1252", "iso8859-1", "iso8859-15", "cp1256", "iso8859-6",
    "mac-roman", "cp850", "cp858", "cp437", "cp720", "cp1250", "cp1254", "iso8859-2", "iso8859-9",
)  # fmt: skip
"""Supported encodings, as `codecs.lookup` names them."""

_CANDIDATES = ("cp1252", "mac-roman", "cp850", "cp1256", "iso8859-6", "cp720")
"""Encodings that are told apart by the words they give; of equal ones the first is taken."""

MIN_LEAD = 0.15
"""Lead of an encoding over Windows-1252, in scores of `legibility`, to be taken instead."""

MAX_HIGH_BYTES = 65_536
MAX_HIGH_WORDS = 4_000
MAX_WORD_BYTES = 64
MAX_LEGIBLE_WORDS = 200
MAX_LEGIBLE_CHARS = 20_000
"""So many words tell encodings apart; names of brands are looked up slowly."""

_HIGH = re.compile(rb"[\x80-\xff]+")
_SEPARATORS = re.compile(rb"[\s;,|\"]+")
_ASCII = bytes(range(128))
_ACCENTED_IN_UTF8 = re.compile(rb"\xc3[\x80-\xbf]")
"""In a Western encoding these bytes are a capital A with tilde before a symbol."""
_FRENCH_LETTERS = frozenset("éèêëàâäîïôöùûüçœæÉÈÊÀÂÎÔÙÛÇŒßñáíóú")
_APOSTROPHES = frozenset("\N{RIGHT SINGLE QUOTATION MARK}\N{MIDDLE DOT}")
_PUNCTUATION = frozenset("°€«»…²³£\u00a0\u202f–—‘’“”·•™®©ª؟،؛")  # noqa: RUF001
_FRENCH = (
    "éèêëàâäîïôöùûüçœæÉÈÊËÀÂÎÏÔÙÛÇŒ°€«»…²\u00a0"
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{EN DASH}"
).encode("cp1252")


def _words_with_high_bytes(block: bytes) -> Iterator[bytes]:
    """The words of a block that are not ASCII, without what is too far from the first such byte."""
    end = 0
    for found in _HIGH.finditer(block):
        if found.start() < end:
            continue
        before = _SEPARATORS.split(block[max(end, found.start() - MAX_WORD_BYTES) : found.start()])
        after = _SEPARATORS.split(block[found.start() : found.end() + MAX_WORD_BYTES])
        end = found.start() + len(after[0])
        yield before[-1] + after[0]


@dataclasses.dataclass(slots=True)
class EncodingDetector:
    """Evidence of a file's encoding, collected block by block during the upload."""

    _decoder: codecs.IncrementalDecoder = dataclasses.field(
        default_factory=codecs.getincrementaldecoder("utf-8")
    )
    is_utf8: bool = True
    """No byte so far contradicts UTF-8."""
    has_multibyte_chars: bool = False
    """A multibyte character was decoded as UTF-8 before the first contradiction."""
    stray_utf8_chars: int = 0
    """Accented letters in UTF-8 after the first contradiction."""
    _high_bytes: bytes = b""
    """Non-ASCII bytes after the first contradiction."""
    _words: bytes = b""
    """Text around them."""

    def feed(self, block: bytes) -> None:
        """Add the next bytes."""
        if not self.is_utf8:
            self.stray_utf8_chars += len(_ACCENTED_IN_UTF8.findall(block))
            self._collect(block)
            return
        try:
            text = self._decoder.decode(block)
        except UnicodeDecodeError as error:
            self.is_utf8 = False
            self.has_multibyte_chars = (
                self.has_multibyte_chars or not error.object[: error.start].isascii()
            )
            rest = error.object[error.start :]
            self.stray_utf8_chars = len(_ACCENTED_IN_UTF8.findall(rest))
            # The letters before it belong to the same word.
            self._collect(error.object[max(0, error.start - MAX_WORD_BYTES) :])
        else:
            self.has_multibyte_chars = self.has_multibyte_chars or not text.isascii()

    def _collect(self, block: bytes) -> None:
        if len(self._high_bytes) < MAX_HIGH_BYTES:
            self._high_bytes += block.translate(None, _ASCII)
            self._words += b"\n".join(islice(_words_with_high_bytes(block), MAX_HIGH_WORDS)) + b"\n"

    @property
    def finding(self) -> Detection:
        """UTF-8, or another encoding if the first non-ASCII character is not valid UTF-8."""
        if self.is_utf8:
            if self.has_multibyte_chars:
                return Detection(value="utf-8", confidence=0.99, basis="valid-utf-8")
            return Detection(value="utf-8", confidence=1.0, basis="ascii")
        if self.has_multibyte_chars:
            return Detection(value="utf-8", confidence=0.6, basis="utf-8-with-faults")
        other = _most_legible(self._words)
        if other is not None:
            return other
        french = len(self._high_bytes) - len(self._high_bytes.translate(None, _FRENCH))
        share = french / max(len(self._high_bytes), 1)
        return Detection(
            value="cp1252", confidence=round(0.4 + 0.5 * share, 2), basis="western-letters"
        )


def _most_legible(words: bytes) -> Detection | None:
    """The encoding that makes the best words; None if that is Windows-1252."""
    scores = {codec: legibility(words.decode(codec, "replace")) for codec in _CANDIDATES}
    best = max(_CANDIDATES, key=scores.__getitem__)
    lead = scores[best] - scores["cp1252"]
    if best == "cp1252" or lead < MIN_LEAD:
        return None
    return Detection(value=best, confidence=round(min(0.95, 0.5 + lead / 4), 2), basis="words")


def legibility(text: str) -> float:
    """How well a text reads: from -1, no word, to 2, only known words.

    Args:
        text: words with letters beyond ASCII.
    """
    parts = dict.fromkeys(re.split(r"[\s;,|\"]+", text[:MAX_LEGIBLE_CHARS]))
    words = [word for word in parts if not word.isascii()][:MAX_LEGIBLE_WORDS]
    if not words:
        return 0.0
    known = sum(is_known_word(word) for word in words)
    marks = [_mark(word, place) for word in words for place in _beyond_ascii(word)]
    return known / len(words) + sum(marks) / max(len(marks), 1)


def _beyond_ascii(word: str) -> list[int]:
    return [place for place, character in enumerate(word) if character > "\x7f"]


def _mark(word: str, place: int) -> float:
    """How well a character fits between its neighbours."""
    character = word[place]
    before = word[place - 1] if place else ""
    after = word[place + 1 : place + 2]
    if "\u0600" <= character <= "\u06ff":
        is_arabic = [("\u0600" <= one <= "\u06ff") for one in (before, after) if one.isalpha()]
        return 1.0 if is_arabic and all(is_arabic) else -1.0
    if character in _PUNCTUATION:
        return (
            0.5 if not (before.isalpha() and after.isalpha()) or character in _APOSTROPHES else -1
        )
    if not character.isalpha():
        return -1.0
    fits = (not before.isalpha() or character.islower() or before.isupper()) and not (
        character.isupper() and after.islower() and before.isalpha()
    )
    frequent = character in _FRENCH_LETTERS
    return (1.0 if frequent else 0.2) if fits else -0.5


def detect_encoding(
    head: bytes, detector: EncodingDetector, wanted: str | None, charset: str | None = None
) -> Detection:
    """The encoding of a file.

    Args:
        head: its first bytes.
        detector: fed with the file as far as it has arrived.
        wanted: the caller's option, which takes precedence.
        charset: the parameter of the file's Content-Type; used unless the bytes contradict it.

    Raises:
        UnreadableUpload: it has NUL bytes and is no UTF-16.
    """
    marked = next((name for name, bom in BOMS.items() if head.startswith(bom)), None)
    if wanted == "utf-16":
        wanted = marked if marked in ("utf-16-le", "utf-16-be") else "utf-16-le"
    if wanted:
        return Detection(value=wanted, confidence=1.0, basis="given")
    if marked:
        return Detection(value=marked, confidence=1.0, basis="byte-order-mark")
    stated = _stated_encoding(charset, detector)
    if stated is not None:
        return Detection(value=stated, confidence=0.95, basis="content-type")
    wide = _detect_utf16(head)
    if wide:
        return Detection(value=wide, confidence=0.95, basis="zero-bytes")
    nul = head.find(b"\0")
    if nul >= 0:
        line = head.count(b"\n", 0, nul) + 1
        raise UnreadableUpload.of("binary-file", line=line)
    return detector.finding


def find_codec(name: str) -> str | None:
    """The canonical name of a supported encoding; None if it is none.

    >>> find_codec("Windows-1256"), find_codec("macintosh"), find_codec("klingon")
    ('cp1256', 'mac-roman', None)
    """
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):  # ValueError: the name contains NUL
        return None
    found = "utf-8" if found == "utf-8-sig" else found
    return found if found in (*ENCODINGS, "utf-16") else None


def _stated_encoding(charset: str | None, detector: EncodingDetector) -> str | None:
    """The encoding that the Content-Type states; None if the bytes are of another one.

    Many programs state UTF-8 or ISO-8859-1 whatever they send.
    """
    codec = find_codec(charset) if charset else None
    if codec is None or codec == "utf-8":
        return None  # UTF-8 is detected by itself
    if codec.startswith("utf-16"):
        return "utf-16-le" if codec == "utf-16" else codec
    is_other = detector.is_utf8 and detector.has_multibyte_chars
    return None if is_other or not (detector.has_multibyte_chars or not detector.is_utf8) else codec


def _detect_utf16(head: bytes) -> str | None:
    """UTF-16 without a byte order mark: in Western text every second byte is 0."""
    half = len(head) // 2
    if not half or b"\n" in head[: max(head.find(b"\0") - 1, 0)]:
        return None
    for encoding, first in (("utf-16-be", 0), ("utf-16-le", 1)):
        zeros = head[first::2].count(0)
        if zeros > half * 0.4 and head[1 - first :: 2].count(0) < half * 0.05:
            return encoding
    return None


MISREAD_AS = ("cp1252", "mac-roman", "cp850", "cp437", "cp1256")
"""Encodings under which UTF-8 is misread, the likeliest first."""

MAX_PASSES = 2
"""A file may have been misread twice."""

_TEXT_SEPARATORS = re.compile(r"[\s;,|\"]+")
MAX_MISREAD_WORDS = 2_000
MISREAD_MIN_SHARE = 0.5
"""Share of the words with accents that must be restorable."""


def _c1_controls(error: UnicodeError) -> tuple[bytes, int]:
    """Encodes the characters that stand for bytes which the encoding does not define."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    if not all("\x80" <= character <= "\x9f" for character in text):
        raise error
    return text.encode("latin-1"), error.end


codecs.register_error("c1-controls", _c1_controls)


def restore(text: str, misread_as: str) -> str:
    """The text as it was before it was misread; the same text if it was not.

    >>> restore("ModÃ¨le", "cp1252"), restore("Modèle", "cp1252"), restore("Mod√®le", "mac-roman")
    ('Modèle', 'Modèle', 'Modèle')
    """
    for _ in range(MAX_PASSES):
        if text.isascii():
            break
        restored = _restore_once(text, misread_as)
        if restored is None and "Ã " in text:  # the no-break space of "à" became a plain one
            restored = _restore_once(text.replace("Ã ", "Ã\u00a0"), misread_as)
        if restored is None:
            break
        text = restored
    return text


def _restore_once(text: str, misread_as: str) -> str | None:
    try:
        return text.encode(misread_as, "c1-controls").decode("utf-8")
    except UnicodeError:
        return None


def find_misreading(text: str) -> str:
    """The encoding under which most words with accents were misread; empty if they were not."""
    if text.isascii():
        return ""
    tokens = [word for word in _TEXT_SEPARATORS.split(text) if not word.isascii()][
        :MAX_MISREAD_WORDS
    ]
    best, most = "", 0
    for codec in MISREAD_AS:
        count = sum(restore(token, codec) != token for token in tokens)
        if count > most:
            best, most = codec, count
    return best if most > MISREAD_MIN_SHARE * len(tokens) or (most and most == len(tokens)) else ""

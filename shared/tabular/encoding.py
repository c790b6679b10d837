"""Detects the encoding of a text file from its bytes."""

import codecs
import dataclasses
import re

from shared.domain.errors import UnreadableUpload
from shared.domain.table import Detection
from shared.tabular.csv_reader import BOMS

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "cp1252", "iso8859-1", "iso8859-15", "cp1256")
"""Supported encodings, as `codecs.lookup` names them."""

MAX_HIGH_BYTES = 65_536
_ASCII = bytes(range(128))
_ACCENTED_IN_UTF8 = re.compile(rb"\xc3[\x80-\xbf]")
"""In a Western encoding these bytes are a capital A with tilde before a symbol."""
_FRENCH = (
    "éèêëàâäîïôöùûüçœæÉÈÊËÀÂÎÏÔÙÛÇŒ°€«»…²\u00a0"
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{EN DASH}"
).encode("cp1252")


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

    def feed(self, block: bytes) -> None:
        """Add the next bytes."""
        if not self.is_utf8:
            self.stray_utf8_chars += len(_ACCENTED_IN_UTF8.findall(block))
            if len(self._high_bytes) < MAX_HIGH_BYTES:
                self._high_bytes += block.translate(None, _ASCII)
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
            self._high_bytes = rest.translate(None, _ASCII)
        else:
            self.has_multibyte_chars = self.has_multibyte_chars or not text.isascii()

    @property
    def finding(self) -> Detection:
        """UTF-8, or cp1252 if the first non-ASCII character is not valid UTF-8."""
        if self.is_utf8:
            if self.has_multibyte_chars:
                return Detection(value="utf-8", confidence=0.99, basis="valid-utf-8")
            return Detection(value="utf-8", confidence=1.0, basis="ascii")
        if self.has_multibyte_chars:
            return Detection(value="utf-8", confidence=0.6, basis="utf-8-with-faults")
        french = len(self._high_bytes) - len(self._high_bytes.translate(None, _FRENCH))
        share = french / max(len(self._high_bytes), 1)
        return Detection(
            value="cp1252", confidence=round(0.4 + 0.5 * share, 2), basis="western-letters"
        )


def detect_encoding(head: bytes, detector: EncodingDetector, wanted: str | None) -> Detection:
    """The encoding of a file.

    Args:
        head: its first bytes.
        detector: fed with the file as far as it has arrived.
        wanted: the caller's option, which takes precedence.

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
    wide = _detect_utf16(head)
    if wide:
        return Detection(value=wide, confidence=0.95, basis="zero-bytes")
    nul = head.find(b"\0")
    if nul >= 0:
        line = head.count(b"\n", 0, nul) + 1
        raise UnreadableUpload.of("binary-file", line=line)
    return detector.finding


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

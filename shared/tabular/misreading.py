"""Restores text whose UTF-8 was once misread in another encoding and saved again: `ModÃ¨le`."""

import codecs
import re

MISREAD_AS = ("cp1252", "mac-roman", "cp850", "cp437", "cp1256")
"""Encodings under which UTF-8 is misread, the likeliest first."""

MAX_PASSES = 2
"""A file may have been misread twice."""

_SEPARATORS = re.compile(r"[\s;,|\"]+")
MAX_TOKENS = 2_000
MIN_SHARE = 0.5
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
    tokens = [word for word in _SEPARATORS.split(text) if not word.isascii()][:MAX_TOKENS]
    best, most = "", 0
    for codec in MISREAD_AS:
        count = sum(restore(token, codec) != token for token in tokens)
        if count > most:
            best, most = codec, count
    return best if most > MIN_SHARE * len(tokens) or (most and most == len(tokens)) else ""

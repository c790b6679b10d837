"""Names of files in `Content-Disposition` headers, of requests and of responses (RFC 6266)."""

import re
import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from urllib.parse import quote, unquote_to_bytes

from werkzeug.http import parse_options_header

FILE_NAME_MAX_CHARS = 200
SAVED_NAME_MAX_CHARS = 80
_HEADER_MAX_CHARS = 8_000
_SUFFIX_MAX_CHARS = 20

_STATED = re.compile(r";\s*filename(?:\*0?\*?)?\s*=", re.IGNORECASE)
_EXTENDED = re.compile(
    r""";\s*filename\*\s*=\s*"?([\w.:+-]*)'[^']*'([^;"\s]*)""", re.IGNORECASE | re.ASCII
)
_QUOTED = re.compile(r';\s*filename\s*=\s*"(.*?)(?<!\\)"\s*(?:;|$)', re.IGNORECASE)
_CONTINUED = re.compile(r";\s*filename\*0", re.IGNORECASE)
_BARE = re.compile(r';\s*filename\s*=\s*([^";]+)', re.IGNORECASE)
_ENCODED_WORD = re.compile(r"=\?[\w-]+(?:\*[\w-]+)?\?[BbQq]\?[^?\s]*\?=")
_ESCAPED = re.compile(r'\\(["\\])')
_DIRECTION = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff]")
"""Marks that change the writing direction can disguise the suffix of a name."""

_UNSAFE = re.compile(r"[^\w.\-]+", re.ASCII)


def decode_header_bytes(value: bytes) -> str:
    """A header's text; clients send UTF-8, and older ones their own 8-bit encoding.

    >>> decode_header_bytes("été".encode()), decode_header_bytes("été".encode("latin-1"))
    ('été', 'été')
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        # Windows-1252 is Latin-1 with letters where Latin-1 has control characters.
        return value.decode("cp1252", "replace")


def states_file_name(disposition: str) -> bool:
    """Whether a header names a file, even by an empty name, which makes a form's part a file."""
    return _STATED.search(disposition[:_HEADER_MAX_CHARS]) is not None


def file_name_of(disposition: str) -> str:
    r"""The name of the file that a `Content-Disposition` header states; empty if it states none.

    `filename*` counts more than `filename`, whatever their order. A percent sign is a percent sign,
    but `%22` is a quote as browsers write it in forms.

    >>> file_name_of('attachment; filename="a.csv"; filename*=UTF-8\'\'caf%C3%A9.csv')
    'café.csv'
    >>> file_name_of('form-data; name="file"; filename="C:\\stock\\100 %.csv"')
    '100 %.csv'
    """
    text = disposition[:_HEADER_MAX_CHARS]
    return clean_file_name(_extended_name(text) or _plain_name(text))


def _extended_name(text: str) -> str:
    """The value of `filename*`, decoded; empty if there is none, or none that can be decoded."""
    found = _EXTENDED.search(text)
    if found is not None:
        try:
            return unquote_to_bytes(found[2]).decode(found[1] or "utf-8")
        except (LookupError, UnicodeDecodeError):
            return ""
    if _CONTINUED.search(text):
        return parse_options_header(text)[1].get("filename", "")
    return ""


def _plain_name(text: str) -> str:
    quoted = _QUOTED.search(text)
    if quoted is not None:
        name = _ESCAPED.sub(r"\1", quoted[1]).replace("%22", '"')
    else:
        bare = _BARE.search(text)
        name = bare[1].strip() if bare else ""
    if _ENCODED_WORD.search(name):
        name = _decode_words(name)
    return name


def _decode_words(name: str) -> str:
    """A name that is written as in mail (RFC 2047), decoded; as it is if that fails."""
    try:
        return str(make_header(decode_header(name)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return name


def clean_file_name(name: str) -> str:
    """A file's name without its folders and without invisible characters.

    A name over `FILE_NAME_MAX_CHARS` characters is cut before its suffix.

    >>> clean_file_name("stock/mars.csv")
    'mars.csv'
    """
    kept = "".join(char for char in name if unicodedata.category(char) not in ("Cc", "Cs"))
    kept = _DIRECTION.sub("", kept).replace("\\", "/").rpartition("/")[2].strip()
    if len(kept) > FILE_NAME_MAX_CHARS:
        suffix = kept[kept.rfind(".") :] if "." in kept else ""
        suffix = suffix if len(suffix) <= _SUFFIX_MAX_CHARS else ""
        kept = kept[: FILE_NAME_MAX_CHARS - len(suffix)] + suffix
    return "" if kept.strip(".") == "" else kept


def attachment_header(file_name: str, suffix: str, fallback: str) -> str:
    r"""`Content-Disposition` of a download that is named after an uploaded file.

    The name is given in ASCII and, where it differs, in UTF-8 (`filename*`).

    >>> attachment_header("café.csv", "priced.csv", "01m8")
    'attachment; filename="cafe-priced.csv"; filename*=UTF-8\'\'caf%C3%A9-priced.csv'

    Args:
        file_name: name of the uploaded file; its suffix is left out.
        suffix: end of the new name.
        fallback: ASCII name where nothing of the file's can be written in ASCII.
    """
    stem = (file_name.rpartition(".")[0] or file_name).strip()
    name = "".join(char for char in stem if char.isprintable() and char not in '/\\"')
    name = name[:SAVED_NAME_MAX_CHARS]
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    ascii_name = _UNSAFE.sub("_", plain).strip("_") or fallback
    value = f'attachment; filename="{ascii_name}-{suffix}"'
    if name and name != ascii_name:
        value += f"; filename*=UTF-8''{quote(f'{name}-{suffix}', safe='')}"
    return value

"""Standard output and error of every command in any encoding, and the command line as text."""

import codecs
import io
import json
import os
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from shared.i18n.command import gettext as _

EXIT_USAGE = 2
LOOK_ALIKE = "carprice-look-alike"
"""Error handler that writes what an encoding lacks by characters that look like it."""
ASCII = "carprice_ascii"
"""ASCII under another name: click writes UTF-8 to a stream whose encoding is called ASCII."""


_PLAIN = {
    "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}": '"',
    "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}": '"',
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
}
"""Signs of the messages that have no decomposition in Unicode."""


def accept_any_encoding() -> None:
    """Let both streams replace the characters that their encoding lacks, instead of failing."""
    codecs.register(_find_ascii)
    codecs.register_error(LOOK_ALIKE, _look_alike)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=ASCII if is_ascii else None, errors=LOOK_ALIKE)


def _find_ascii(name: str) -> codecs.CodecInfo | None:
    if name != ASCII:
        return None
    known = codecs.lookup("ascii")
    return codecs.CodecInfo(
        known.encode,
        known.decode,
        known.streamreader,
        known.streamwriter,
        known.incrementalencoder,
        known.incrementaldecoder,
        name=ASCII,
    )


def _look_alike(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_plain(char, error.encoding) for char in lost), error.end


def _plain(char: str, encoding: str) -> str:
    """A character without accent or width if the encoding has that, else "?".

    A byte of an argument that could not be decoded is shown as an escape.
    """
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    plain = _PLAIN.get(char) or unicodedata.normalize("NFKD", char)
    shown = plain.encode(encoding, "ignore").decode(encoding)
    return shown or "?"


def undecodable_argument(arguments: Iterable[str]) -> str | None:
    """The first argument that is not in the encoding of the system, and names no file."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            if not Path(argument).exists():
                return argument
    return None


def refuse_argument(argument: str) -> None:
    """Exit with one line about an argument that cannot be decoded."""
    shown = os.fsencode(argument).decode(errors="backslashreplace")
    encoding = sys.getfilesystemencoding().upper()
    text = _("'{argument}' is not {encoding}: write it in {encoding}")
    click.echo(f"carprice: {text.format(argument=shown, encoding=encoding)}", err=True)
    sys.exit(EXIT_USAGE)


def echo_json(value: Any, indent: int | None = None) -> None:
    """Print a JSON value; characters that the output cannot show become escapes of JSON."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    click.echo(text)

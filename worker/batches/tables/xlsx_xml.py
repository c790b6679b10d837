"""The XML parts of a workbook, as streams of bounded size."""

import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any
from xml.parsers import expat

from shared.domain.errors import FieldProblem, UnreadableUpload

BLOCK_BYTES = 1 << 16
SMALL_PART_MAX_BYTES = 16_000_000
MAX_SHARED_STRINGS = 4_000_000
MAX_SHARED_STRING_CHARS = 100_000_000
"""Shared texts are kept in memory; the reader's own limit of memory ends what these let by."""

StartHandler = Callable[[str, dict[str, str]], None]
EndHandler = Callable[[str], None]
TextHandler = Callable[[str], None]


def workbook_error(code: str = "wrong-workbook") -> UnreadableUpload:
    """The error of a workbook that cannot be read."""
    return UnreadableUpload([FieldProblem("/file", code)])


def parse_events(
    stream: IO[bytes],
    start: StartHandler,
    end: EndHandler | None = None,
    text: TextHandler | None = None,
) -> Iterator[None]:
    """Parse XML, calling the handlers with local names; yields after each block.

    Raises:
        UnreadableUpload: it is not well-formed, or declares a document type.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda name, attributes: _open(
        parser, name, attributes, start, end
    )
    if text is not None:
        parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        while block := stream.read(BLOCK_BYTES):
            parser.Parse(block, False)  # noqa: FBT003 - expat takes it by position
            yield
        parser.Parse(b"", True)  # noqa: FBT003
        yield
    except (expat.ExpatError, zipfile.BadZipFile, EOFError):
        raise workbook_error() from None


def _open(
    parser: "expat.XMLParserType",
    root: str,
    attributes: dict[str, str],
    start: StartHandler,
    end: EndHandler | None,
) -> None:
    """The root element begins: few writers put a prefix before all names, and most cost nothing."""
    if ":" in root:
        parser.StartElementHandler = lambda name, given: start(_local(name), given)
        parser.EndElementHandler = None if end is None else lambda name: end(_local(name))
    else:
        parser.StartElementHandler = start
        parser.EndElementHandler = end
    start(_local(root), attributes)


def _local(name: str) -> str:
    """A name without its prefix."""
    return name.rpartition(":")[2]


def _refuse(*_: Any) -> None:
    raise workbook_error()


def read_small_part(archive: zipfile.ZipFile, part: str) -> bytes:
    """A part that is small in any honest workbook."""
    if archive.getinfo(part).file_size > SMALL_PART_MAX_BYTES:
        raise workbook_error("table-too-large")
    return archive.read(part)


def read_shared_strings(archive: zipfile.ZipFile) -> list[str]:
    """The texts that cells point at, by number."""
    reader = _SharedStringsParser()
    with archive.open("xl/sharedStrings.xml") as stream:
        for _ in parse_events(stream, reader.start, reader.end, reader.text):
            if len(reader.texts) > MAX_SHARED_STRINGS or reader.chars > MAX_SHARED_STRING_CHARS:
                raise workbook_error("table-too-large")
    return reader.texts


class _SharedStringsParser:
    """Collects texts; hints on their pronunciation (`rPh`) are none."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.chars = 0
        self._runs: list[str] = []
        self._in_text = False
        self._hidden_depth = 0

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        if name == "si":
            self._runs = []
        elif name == "t":
            self._in_text = not self._hidden_depth
        elif name == "rPh":
            self._hidden_depth += 1

    def end(self, name: str) -> None:
        if name == "si":
            self.texts.append("".join(self._runs))
        elif name == "t":
            self._in_text = False
        elif name == "rPh":
            self._hidden_depth -= 1

    def text(self, text: str) -> None:
        self.chars += len(text)
        if self._in_text:
            self._runs.append(text)

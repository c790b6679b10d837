"""Verifies the chain of one file, and says which line has the first fault."""

from pathlib import Path
from typing import NamedTuple

from shared.audit.chain import ChainVerifier
from shared.audit.inventory import FileEntry
from shared.i18n.command import gettext as _

_BLOCK_BYTES = 4 << 20


class FileCheck(NamedTuple):
    """What was found in one file."""

    records: int
    """Valid records at its beginning."""
    fault: str = ""
    """The first fault; "" if there is none."""
    is_torn: bool = False
    """Whether the fault is a last line without its end: an answer that was never given."""
    covered: int = 0
    """Valid records up to the anchor."""


def check_file(path: Path, anchor: FileEntry | None = None) -> FileCheck:
    """Verify the chain of one file.

    Args:
        path: the file.
        anchor: a line that the file must contain, and where it ends.

    Raises:
        OSError: it cannot be read.
    """
    return _check_blocks(path, anchor) or _check_lines(path, anchor)


def _check_blocks(path: Path, anchor: FileEntry | None) -> FileCheck | None:
    """Verify many lines at a time; None if there is a fault, which the lines have to tell."""
    chain, covered, offset, rest = ChainVerifier(), 0, 0, b""
    wanted = anchor.size if anchor else 0
    with path.open("rb") as file:
        # A block ends at the anchor.
        while read := file.read(min(_BLOCK_BYTES, wanted - offset) if wanted else _BLOCK_BYTES):
            offset += len(read)
            block = rest + read
            end = block.rfind(b"\n") + 1
            if chain.follow_all(block[:end]) is None:
                return None
            rest = block[end:]
            if anchor and offset == wanted:
                if rest or chain.open or chain.head != anchor.head:
                    return None
                covered, wanted = chain.verified, 0
    is_whole = not rest and not chain.open and offset >= wanted
    return FileCheck(chain.verified, covered=covered) if is_whole else None


def _check_lines(path: Path, anchor: FileEntry | None) -> FileCheck:
    """Verify line by line, which takes longer and finds the line of the first fault."""
    chain = ChainVerifier()
    offset, covered, must_reach = 0, 0, anchor is not None and anchor.size > 0
    with path.open("rb") as file:
        for line in file:
            number = chain.verified + chain.open + 1
            if not line.endswith(b"\n"):
                fault = _("line {number} is torn: its writer died, or is writing it now").format(
                    number=number
                )
                if must_reach:
                    fault = _cut(anchor, offset)
                return FileCheck(chain.verified, fault, is_torn=not must_reach, covered=covered)
            if not chain.follow(line):
                first = chain.verified + 1
                text = (
                    _("line {line} was changed, or what stood before it is missing")
                    if first >= number
                    else _(
                        "a line from {first} to {line} was changed, or what stood before it is"
                        " missing"
                    )
                )
                fault = text.format(first=first, line=number)
                return FileCheck(chain.verified, fault)
            offset += len(line)
            if must_reach and anchor is not None and offset >= anchor.size:
                if offset > anchor.size or chain.open or chain.head != anchor.head:
                    fault = _(
                        "a line up to {number} was changed and the chain computed again"
                    ).format(number=number)
                    return FileCheck(0, fault)
                must_reach, covered = False, chain.verified
    fault = ""
    if must_reach:
        fault = _cut(anchor, offset)
    elif chain.open:
        fault = _("what stood after line {number} is missing").format(
            number=chain.verified + chain.open
        )
    return FileCheck(chain.verified, fault, covered=covered)


def _cut(anchor: FileEntry | None, size: int) -> str:
    wanted = anchor.size if anchor else 0
    return _("the end is missing: {size} bytes of at least {wanted}").format(
        size=size, wanted=wanted
    )

"""Registers fuzz targets and finds their corpus.

A target is a function of bytes. Whatever they are, it returns: any exception is a fault.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"


class Target(NamedTuple):
    """A fuzz target with the inputs that it is tried with."""

    name: str
    run: Callable[[bytes], None]
    inputs: st.SearchStrategy[bytes]

    @property
    def folder(self) -> Path:
        """Where its inputs are kept that once were faults."""
        return CORPUS / self.name

    def corpus(self) -> Iterator[bytes]:
        """The kept inputs."""
        for path in sorted(self.folder.glob("*.bin")):
            yield path.read_bytes()

    def keep(self, data: bytes) -> Path:
        """Keep an input."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{hashlib.sha256(data).hexdigest()[:12]}.bin"
        path.write_bytes(data)
        return path


TARGETS: dict[str, Target] = {}


def target(
    inputs: st.SearchStrategy[bytes],
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Register a function as a target."""

    def register(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[run.__name__] = Target(run.__name__, run, inputs)
        return run

    return register

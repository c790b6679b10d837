"""Steps by which the protocol uses the network: what both clients carry out, each in its way.

The protocol (`exchange`, `cars`, `files`, `downloads`, `frames`) is written once, as generators
without network I/O. Each yields a step, is sent its result and returns the answer. The clients in
`sync` and `aio` differ only in how they carry out a step.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from ..errors import CarPriceError

UPLOAD_BLOCK_BYTES = 1 << 18
Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True, slots=True)
class Deadline:
    """The end of the total time of a call.

    Args:
        at: time of `time.monotonic`.
        total_s: length of the whole time.
    """

    at: float = math.inf
    total_s: float = math.inf

    @classmethod
    def after(cls, timeout: float | None) -> "Deadline":
        """The deadline of a call that begins now; without one if `timeout` is None."""
        return cls() if timeout is None else cls(time.monotonic() + timeout, timeout)

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, 0 after it; infinite without one."""
        return max(self.at - time.monotonic(), 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file as the body of a request; it is read again each time that the request is sent."""

    file: Path
    size: int
    """Bytes; what is added to the file meanwhile is not sent."""
    on_sent: Callable[[int], None]
    """Called with the size of each sent block, and with 0 at the beginning."""

    def blocks(self) -> Iterator[bytes]:
        """The blocks of the file.

        Raises:
            CarPriceError: the file has become shorter.
        """
        left = self.size
        with self.file.open("rb") as source:
            while left and (block := source.read(min(left, UPLOAD_BLOCK_BYTES))):
                yield block
                left -= len(block)
        if left:
            raise CarPriceError(f"{self.file} has become shorter while it was sent")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request."""

    method: str
    path: str
    params: Mapping[str, str] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | Upload = dataclasses.field(default=b"", repr=False)
    wait_s: float = 0.0
    """How much longer than others the service may take for its answer."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Status and headers of a response."""

    status: int
    reason: str
    headers: Mapping[str, str]
    """Found in any case of letters."""
    url: str


@dataclasses.dataclass(frozen=True, slots=True)
class Open:
    """Send a request; the result is the `Head` of the response, whose body is read after it."""

    request: Request
    deadline: Deadline


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """Read a block of the decoded body; the result is empty at its end."""

    deadline: Deadline


@dataclasses.dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """Call a function that blocks because it reads or writes files; the result is its own."""

    function: Callable[[], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Give:
    """Give the caller the next item of an iteration."""

    item: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """The end of the steps, with the answer; made by the clients."""

    answer: Any


Step: TypeAlias = Open | Read | Pause | Work | Give
Steps: TypeAlias = Generator[Step, Any, Answer]


def advance(steps: Steps[Any], result: Any, failure: Exception | None) -> Step | Done:
    """Send the result of a step, or raise its failure inside of the protocol; the next step."""
    try:
        return steps.send(result) if failure is None else steps.throw(failure)
    except StopIteration as end:
        return Done(end.value)

"""Reads that several requests need at once are carried out once."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from api.loops.event_loops import LoopThreads, PerLoop

T = TypeVar("T")


class SharedReads:
    """Reads on threads, of which those of one key that begin at the same time are shared.

    A read is never shared with a request that came after it had begun: that request may know of a
    change which the read has missed. It joins the next one.

    Args:
        threads: carry them out.
    """

    def __init__(self, threads: LoopThreads) -> None:
        self._threads = threads
        self._by_loop: PerLoop[dict[Hashable, _KeyReads]] = PerLoop(lambda _: {})

    async def read(self, key: Hashable, call: Callable[[], T]) -> T:
        """The result of a call on a thread that begins now or later.

        Args:
            key: calls with the same key return the same.
            call: the read.
        """
        keys = self._by_loop.current()
        reads = keys.setdefault(key, _KeyReads())
        if reads.next is None:
            reads.next = asyncio.ensure_future(self._run(reads, reads.running, call))
            reads.next.add_done_callback(_retrieve)
        reads.users += 1
        try:
            return await asyncio.shield(reads.next)
        finally:
            reads.users -= 1
            if not reads.users:
                keys.pop(key, None)

    async def _run(
        self, reads: "_KeyReads", before: "asyncio.Future[Any] | None", call: Callable[[], T]
    ) -> T:
        if before is not None:
            await asyncio.wait([before])
        reads.running, reads.next = reads.next, None
        return await self._threads.run(call)


class _KeyReads:
    """The reads of one key."""

    __slots__ = ("next", "running", "users")

    def __init__(self) -> None:
        self.running: asyncio.Future[Any] | None = None
        self.next: asyncio.Future[Any] | None = None
        """Has not begun."""
        self.users = 0


def _retrieve(ended: "asyncio.Future[Any]") -> None:
    """Take the error of a read that nobody waits for any more."""
    if not ended.cancelled():
        ended.exception()

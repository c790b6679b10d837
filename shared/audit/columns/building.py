"""Makes parts of spans, in processes of low priority if there is much to read."""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from shared.audit.columns.parts import Part, write_part
from shared.audit.columns.spans import SPAN_BYTES, NotProvenError, Span, is_as_read, tables

NICENESS = 10

Progress = Callable[[int, int], None]
"""Called with the bytes that were read, and those that are to be read in all."""


class PartPlan(NamedTuple):
    """The spans of a part that is to be made."""

    day: str
    spans: tuple[Span, ...]

    @property
    def size(self) -> int:
        """Bytes of the lines."""
        return sum(span.end - span.start for span in self.spans)


def grouped(day: str, spans: Sequence[Span]) -> Iterator[PartPlan]:
    """Group the spans of a day into parts of about `SPAN_BYTES`."""
    group: list[Span] = []
    for span in spans:
        group.append(span)
        plan = PartPlan(day, tuple(group))
        if plan.size >= SPAN_BYTES:
            yield plan
            group = []
    if group:
        yield PartPlan(day, tuple(group))


def make_parts(
    folder: Path, plans: Sequence[PartPlan], key: bytes, progress: Progress
) -> tuple[list[Part], list[PartPlan]]:
    """Make parts; return them, and the plans that could not be carried out.

    Args:
        folder: the audit log.
        plans: the parts.
        key: of the checkpoints.
        progress: is told how far it is.
    """
    total, done = sum(plan.size for plan in plans), 0
    made: list[Part] = []
    failed: list[PartPlan] = []
    for plan, part in _outcomes(folder, plans, key, is_small=total <= SPAN_BYTES):
        done += plan.size
        progress(done, total)
        if part is None:
            failed.append(plan)
        else:
            made.append(part)
    return made, failed


def _outcomes(
    folder: Path, plans: Sequence[PartPlan], key: bytes, *, is_small: bool
) -> Iterator[tuple[PartPlan, Part | None]]:
    if is_small:
        for plan in plans:
            yield plan, make_part(folder, plan, key)
        return
    # Not forked: a child has none of the threads of its parent, which Arrow would wait for.
    processes = ProcessPoolExecutor(
        min(len(plans), len(os.sched_getaffinity(0))),
        multiprocessing.get_context("spawn"),
        _be_modest,
    )
    left = dict.fromkeys(plans)
    # A process that was killed, as for want of memory, ends all: the lines are then read here.
    with processes, contextlib.suppress(BrokenProcessPool):
        jobs: dict[Future[Part | None], PartPlan] = {
            processes.submit(make_part, folder, plan, key): plan for plan in plans
        }
        for job in as_completed(jobs):
            part = job.result()
            del left[jobs[job]]
            yield jobs[job], part
    for plan in left:
        yield plan, None


def _be_modest() -> None:
    os.nice(NICENESS)
    pa.set_cpu_count(1)


def make_part(folder: Path, plan: PartPlan, key: bytes) -> Part | None:
    """Make a part; None if the lines cannot be proven or read, or the disk refuses."""
    try:
        read = (table for span in plan.spans for table in tables(folder, span))
        part = write_part(folder, plan.day, plan.spans, read, key)
    except (NotProvenError, OSError):
        return None
    if not all(is_as_read(folder, span) for span in plan.spans):
        # Records were deleted meanwhile: they must not stay here.
        part.delete()
        return None
    return part

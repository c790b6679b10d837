"""Spans of what workers do: groups of requests that share a message, and steps of batches.

In the trace of each request are the span of its wait and one of its valuation. What a message did
for several requests is a trace of its own, whose first span links to theirs, and theirs link to it.
What it did for one is part of the trace of that one.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.domain.batch import BatchManifest
from shared.domain.ids import BatchId
from shared.metrics import INFERENCE, QUEUE_WAIT
from shared.queue.names import TASK_QUEUES, QueueName, TaskName
from shared.tracing.context import Span, SpanKind, TraceContext, Value
from shared.tracing.current import as_current, child_span, tracer
from shared.tracing.encoding import encode_attributes

if TYPE_CHECKING:
    from shared.tracing.tracer import Tracer

ESTIMATE: Final = "estimate"
NS_PER_S: Final = 1_000_000_000
MAX_KEPT_BATCHES: Final = 1000
_NOTHING: Final = nullcontext()
WAIT: Final = "queue"
VALUE: Final = "value"
QUEUE: Final = "messaging.destination.name"
SIZE: Final = "messaging.batch.message_count"
ID: Final = "carprice.id"


class Member(NamedTuple):
    """One traced request of a group."""

    parent: TraceContext
    since_ns: int
    """When it was accepted."""
    id: str
    """Of the valuation or the job."""


class GroupTrace:
    """The spans of one message; a worker process carries out one message at a time.

    Args:
        tracer: of this process.
        task: the task of the message.
        queue: the queue of the message.
    """

    def __init__(self, tracer: "Tracer", task: TaskName, queue: QueueName) -> None:
        self._tracer = tracer
        self._queue = queue
        self.span = Span(str(task), SpanKind.CONSUMER)
        self._own_trace_id = self.span.trace_id
        self.members: list[Member] = []
        self._size = 0
        self.steps: list[Span] = []

    def add(self, traceparent: str, since: float, member_id: str) -> None:
        """Add a request; one that is not traced is ignored.

        Args:
            traceparent: of the request.
            since: when it was accepted, Unix seconds.
            member_id: of the valuation or the job.
        """
        self._size += 1
        parent = TraceContext.parse(traceparent) if traceparent else None
        if parent is None:
            return
        self.members.append(Member(parent, int(since * NS_PER_S), member_id))
        # What is logged names the trace of the request, if it is about one alone.
        if len(self.members) == 1:
            self._belong_to(*parent[:2])
        else:
            self._belong_to(self._own_trace_id, "")

    def _belong_to(self, trace_id: str, span_id: str) -> None:
        self.span.trace_id = trace_id
        self.span.parent_id = self.span.request_id = span_id

    def end(self, *, is_error: bool) -> None:
        """Send the spans, unless no request of the message is traced."""
        if not self.members:
            return
        span, end_ns = self.span, time.time_ns()
        span.is_error = is_error
        shared: dict[str, Value] = {QUEUE: str(self._queue), SIZE: self._size}
        span.attributes.update(shared)
        for step in self.steps:
            step.trace_id = span.trace_id
            self._tracer.end(step, step.end_ns)
            shared[f"carprice.{step.name}_ms"] = (step.end_ns - step.start_ns) / 1e6
        if len(self.members) == 1:
            span.name = VALUE
            span.attributes[ID] = self.members[0].id
        else:
            span.links = [member.parent for member in self.members]
            encoded = encode_attributes(shared)
            for member in self.members:
                self._end_value(member, end_ns, encoded, is_error=is_error)
        for member in self.members:
            self._end_wait(member)
        self._tracer.end(span, end_ns)
        self._note_exemplars()

    def _end_wait(self, member: Member) -> None:
        wait = Span(WAIT, SpanKind.INTERNAL, member.parent, start_ns=member.since_ns)
        wait.attributes[QUEUE] = str(self._queue)
        self._tracer.end(wait, max(self.span.start_ns, member.since_ns))

    def _end_value(self, member: Member, end_ns: int, shared: bytes, *, is_error: bool) -> None:
        value = Span(VALUE, SpanKind.CONSUMER, member.parent, start_ns=self.span.start_ns)
        value.attributes[ID] = member.id
        value.shared = shared
        value.links = [self.span.context]
        value.is_error = is_error
        self._tracer.end(value, end_ns)

    def _note_exemplars(self) -> None:
        first, began_ns = self.members[0], self.span.start_ns
        labels = {"queue": str(self._queue)}
        wait_s = max(began_ns - first.since_ns, 0) / NS_PER_S
        self._tracer.observe(QUEUE_WAIT, wait_s, labels, first.parent.trace_id)
        for step in self.steps:
            if step.name == ESTIMATE:
                took_s = (step.end_ns - step.start_ns) / NS_PER_S
                self._tracer.observe(INFERENCE, took_s, labels, first.parent.trace_id)


_group: GroupTrace | None = None


def traced_group(task: TaskName, queue: QueueName) -> AbstractContextManager[object]:
    """The context of the work on one message; of no effect while tracing is off."""
    own = tracer()
    return _NOTHING if own is None else _carry_out(GroupTrace(own, task, queue))


@contextmanager
def _carry_out(group: GroupTrace) -> Iterator[None]:
    global _group  # noqa: PLW0603 - one message at a time
    _group, outer = group, _group
    is_error = True
    try:
        with as_current(group.span):
            yield
        is_error = False
    finally:
        _group = outer
        group.end(is_error=is_error)


def note_members(members: Iterable[tuple[str, float, str]]) -> None:
    """Name the requests of the current group; see `GroupTrace.add`."""
    if _group is not None:
        for member in members:
            _group.add(*member)


def traced_step(name: str) -> AbstractContextManager[object]:
    """The context of a step of the current group; of no effect while tracing is off."""
    return _NOTHING if _group is None else _step(_group, name)


@contextmanager
def _step(group: GroupTrace, name: str) -> Iterator[None]:
    span = Span(name, SpanKind.INTERNAL, group.span.context)
    try:
        yield
    finally:
        span.end_ns = time.time_ns()
        group.steps.append(span)


class BatchTraces:
    """The spans of the steps of batches, in the traces of the uploads.

    Args:
        read_manifest: returns the manifest of a batch; None if there is none.
    """

    def __init__(self, read_manifest: Callable[[BatchId], BatchManifest | None]) -> None:
        self._read_manifest = read_manifest
        self._known: dict[BatchId, str] = {}

    def step(
        self, task: TaskName, batch_id: BatchId, chunk: int | None = None, since: float = 0.0
    ) -> AbstractContextManager[object]:
        """The context of a step; of no effect if the upload is not traced.

        Args:
            task: the task of the step.
            batch_id: of the batch.
            chunk: number of the chunk, if it is one.
            since: Unix time at which the step was sent; 0: unknown.
        """
        own = tracer()
        if own is None:
            return _NOTHING
        traceparent = self._traceparent(batch_id)
        span = child_span(str(task), SpanKind.CONSUMER, traceparent)
        if span is None:
            return _NOTHING
        queue = str(TASK_QUEUES[task])
        span.attributes |= {QUEUE: queue, ID: batch_id}
        if chunk is not None:
            span.attributes["carprice.chunk"] = chunk
        if since:
            self._end_wait(own, span, traceparent, since)
        return _work(own, span)

    def _end_wait(self, own: "Tracer", span: Span, traceparent: str, since: float) -> None:
        wait = child_span(WAIT, SpanKind.INTERNAL, traceparent)
        if wait is None:
            return
        wait.start_ns = min(int(since * NS_PER_S), span.start_ns)
        wait.attributes = dict(span.attributes)
        own.end(wait, span.start_ns)
        wait_s = (span.start_ns - wait.start_ns) / NS_PER_S
        own.observe(QUEUE_WAIT, wait_s, {"queue": str(span.attributes[QUEUE])}, span.trace_id)

    def _traceparent(self, batch_id: BatchId) -> str:
        """That of the upload, which never changes; empty if it cannot be read."""
        found = self._known.get(batch_id)
        if found is None:
            try:
                manifest = self._read_manifest(batch_id)
            except Exception:  # noqa: BLE001 - the step itself meets the failure, and reports it
                return ""
            if len(self._known) >= MAX_KEPT_BATCHES:
                self._known.clear()
            found = self._known[batch_id] = "" if manifest is None else manifest.trace
        return found


@contextmanager
def _work(own: "Tracer", span: Span) -> Iterator[None]:
    span.is_error = True
    try:
        with as_current(span):
            yield
        span.is_error = False
    finally:
        own.end(span)

"""Replies to groups: pushed by the worker on a list that the asking process reads."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgpack

from shared.adapters.redis_ahead import Command, PipelinedCommands
from shared.adapters.redis_client import broker_errors
from shared.adapters.redis_direct import ConnectionCache
from shared.domain import errors
from shared.domain.errors import DomainError, ValuationFailed
from shared.domain.ids import ValuationId
from shared.domain.valuation import Estimate

REPLY_LIST_TTL_S = 60
"""A reply list whose process is gone disappears after this time."""

MAX_QUEUED_REPLIES = 1000
"""Replies that may lie on one list; beyond that the oldest are dropped. A process that reads has a
few groups under way, so only one that is stuck, and whose callers have left, ever has that many."""

EstimateResult: TypeAlias = Estimate | DomainError
RequestResult: TypeAlias = tuple[ValuationId, EstimateResult]


def push_reply(
    connections: ConnectionCache,
    reply_to: str,
    group_id: str,
    answered: Sequence[RequestResult],
    first: Sequence[Command] = (),
) -> None:
    """Answer a group, in one round trip.

    Args:
        connections: to the broker instance.
        reply_to: the list of the process that asked.
        group_id: the group.
        answered: each request's id and what became of it.
        first: commands that are to be done before the reply can be read.

    Raises:
        BrokerUnavailable: the broker does not take it.
    """
    packed = msgpack.packb([group_id, [_to_wire(*each) for each in answered]])
    commands: list[Command] = [
        *first,
        ("LPUSH", reply_to, packed),
        ("LTRIM", reply_to, 0, MAX_QUEUED_REPLIES - 1),
        ("EXPIRE", reply_to, REPLY_LIST_TTL_S),
    ]
    with broker_errors(), PipelinedCommands(connections, *commands) as sent:
        sent.responses()


def unpack_reply(packed: bytes) -> tuple[str, list[RequestResult]]:
    """The group that is answered, and what became of its requests."""
    group_id, answered = msgpack.unpackb(packed)
    return group_id, [_from_wire(*each) for each in answered]


def _to_wire(valuation_id: ValuationId, outcome: EstimateResult) -> list[Any]:
    if isinstance(outcome, Estimate):
        return [valuation_id, outcome.to_wire(), None]
    return [valuation_id, None, outcome.code]


def _from_wire(
    valuation_id: ValuationId, estimate: list[Any] | None, code: str | None
) -> RequestResult:
    return valuation_id, Estimate.from_wire(estimate) if estimate else error_from_code(code or "")


def error_from_code(code: str) -> DomainError:
    """The domain error that a worker reported by its code."""
    for kind in (errors.ModelNotLoaded, errors.AuditUnavailable, errors.BrokerUnavailable):
        if kind.code == code:
            return kind()
    return ValuationFailed(reason=code)

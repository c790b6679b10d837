"""Replies to groups: pushed by the worker on a list that the asking process reads."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgpack

from shared.adapters.redis_ahead import Ahead, Command
from shared.adapters.redis_client import broker_errors
from shared.adapters.redis_direct import DirectConnections
from shared.domain import errors
from shared.domain.errors import DomainError, ValuationFailed
from shared.domain.ids import ValuationId
from shared.domain.valuation import Estimate

LIST_TTL_S = 60
"""A reply list whose process is gone disappears after this time."""

LIST_MAX = 1000
"""Replies that may lie on one list; beyond that the oldest are dropped. A process that reads has a
few groups under way, so only one that is stuck, and whose callers have left, ever has that many."""

Outcome: TypeAlias = Estimate | DomainError
Answered: TypeAlias = tuple[ValuationId, Outcome]


def push_reply(
    connections: DirectConnections,
    reply_to: str,
    group_id: str,
    answered: Sequence[Answered],
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
        ("LTRIM", reply_to, 0, LIST_MAX - 1),
        ("EXPIRE", reply_to, LIST_TTL_S),
    ]
    with broker_errors(), Ahead(connections, *commands) as sent:
        sent.answers()


def unpack_reply(packed: bytes) -> tuple[str, list[Answered]]:
    """The group that is answered, and what became of its requests."""
    group_id, answered = msgpack.unpackb(packed)
    return group_id, [_from_wire(*each) for each in answered]


def _to_wire(valuation_id: ValuationId, outcome: Outcome) -> list[Any]:
    if isinstance(outcome, Estimate):
        return [valuation_id, outcome.to_wire(), None]
    return [valuation_id, None, outcome.code]


def _from_wire(valuation_id: ValuationId, estimate: list[Any] | None, code: str | None) -> Answered:
    return valuation_id, Estimate.from_wire(estimate) if estimate else error_of(code or "")


def error_of(code: str) -> DomainError:
    """The domain error that a worker reported by its code."""
    for kind in (errors.ModelNotLoaded, errors.AuditUnavailable, errors.BrokerUnavailable):
        if kind.code == code:
            return kind()
    return ValuationFailed(reason=code)

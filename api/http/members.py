"""Finds members that a JSON object names twice."""

import json
from collections import Counter
from contextlib import suppress
from itertools import islice
from typing import Any

from shared.domain.errors import FieldProblem, InvalidInput
from shared.fields.shapes import member_pointer

MAX_REPEATED = 20
"""Further repeated members are not reported."""


def refuse_repeated_members(raw: bytes, body: Any) -> None:
    """Check that no object names a member twice, of which parsers keep the last without a word.

    Each member has a colon, and few values have one: their number clears most bodies at once.

    Args:
        raw: the JSON text.
        body: its value.

    Raises:
        InvalidInput: an object does.
    """
    if raw.count(b":") == _count_members(body):
        return
    repeated: dict[str, None] = {}

    def note_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            repeated.update({name: None for name, count in counts.items() if count > 1})
        return found

    with suppress(RecursionError, ValueError):
        json.loads(raw, object_pairs_hook=note_repeats)
    if repeated:
        names = islice(repeated, MAX_REPEATED)
        raise InvalidInput([FieldProblem(member_pointer("", n), "repeated-member") for n in names])


def _count_members(body: Any) -> int:
    """Number of members of an object, or of the objects of a list; those inside are not counted."""
    if isinstance(body, dict):
        return len(body)
    return (
        sum(len(each) for each in body if isinstance(each, dict)) if isinstance(body, list) else 0
    )

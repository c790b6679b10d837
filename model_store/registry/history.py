"""Who moved the registry's pointer, when, from what to what: a file of lines that only grows."""

import dataclasses
import json
import logging
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from model_store.registry.atomic_files import append_line
from shared.domain.errors import NoEarlierModel

HISTORY_FILE = "history.jsonl"

logger = logging.getLogger(__name__)


class Action(StrEnum):
    """The operator's verbs."""

    ACTIVATE = "activate"
    ROLLBACK = "rollback"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ActivationRecord:
    """One move of the pointer."""

    at: str
    """UTC, ISO 8601."""
    action: Action
    version: str
    previous: str | None
    by: str

    def to_json(self) -> dict[str, Any]:
        """The record's fields as they stand in the history."""
        return dataclasses.asdict(self)


def read_history(versions_path: Path) -> list[ActivationRecord]:
    """Every move of the pointer, the oldest first; a line torn by a crash is left out."""
    try:
        text = (versions_path / HISTORY_FILE).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [change for line in text.splitlines() if (change := _parse_line(line)) is not None]


def append_activation(versions_path: Path, change: ActivationRecord) -> None:
    """Add a move, durably."""
    append_line(versions_path / HISTORY_FILE, json.dumps(change.to_json()))


def rollback_target(changes: Sequence[ActivationRecord], active: str | None) -> str:
    """The version below the active one on the stack of activations.

    Raises:
        NoEarlierModel: nothing was active before.
    """
    stack: list[str] = []
    for change in _effective(changes, active):
        while stack and change.action is Action.ROLLBACK and stack[-1] != change.version:
            stack.pop()
        if not stack or stack[-1] != change.version:
            stack.append(change.version)
    if stack and stack[-1] == active:
        stack.pop()
    if not stack:
        raise NoEarlierModel(version=active or "-")
    return stack[-1]


def _effective(
    changes: Sequence[ActivationRecord], active: str | None
) -> Iterator[ActivationRecord]:
    """The history without lines whose move of the pointer a crash prevented."""
    for number, change in enumerate(changes, start=1):
        found = changes[number].previous if number < len(changes) else active
        if change.version == found:
            yield change


def _parse_line(line: str) -> ActivationRecord | None:
    try:
        given = json.loads(line)
        return ActivationRecord(**given | {"action": Action(given["action"])})
    except (ValueError, TypeError, KeyError):
        logger.warning("history_line_unreadable: %r", line[:80])
        return None

"""The append-only history of the active version: who changed it, when, from which to which."""

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
    """Kinds of change."""

    ACTIVATE = "activate"
    ROLLBACK = "rollback"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ActivationRecord:
    """One change of the active version."""

    at: str
    """UTC, ISO 8601."""
    action: Action
    version: str
    previous: str | None
    by: str

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object of the history."""
        return dataclasses.asdict(self)


def read_history(versions_path: Path) -> list[ActivationRecord]:
    """Every change, the oldest first; incomplete lines, left by a crash, are skipped."""
    try:
        text = (versions_path / HISTORY_FILE).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [change for line in text.splitlines() if (change := _parse_line(line)) is not None]


def has_history(versions_path: Path) -> bool:
    """Whether the active version was ever changed, be the lines readable or not."""
    try:
        return (versions_path / HISTORY_FILE).stat().st_size > 0
    except FileNotFoundError:
        return False


def append_activation(versions_path: Path, change: ActivationRecord) -> None:
    """Append a change and sync it to disk."""
    append_line(versions_path / HISTORY_FILE, json.dumps(change.to_json()))


def rollback_target(changes: Sequence[ActivationRecord], active: str | None) -> str:
    """The version below the active one on the stack of activations.

    Raises:
        NoEarlierModel: nothing was active before.
    """
    return earlier_versions(changes, active)[0]


def earlier_versions(changes: Sequence[ActivationRecord], active: str | None) -> list[str]:
    """The versions below the active one on the stack of activations, the latest first.

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
    return stack[::-1]


def _effective(
    changes: Sequence[ActivationRecord], active: str | None
) -> Iterator[ActivationRecord]:
    """The history without changes that a crash prevented after they were recorded."""
    for number, change in enumerate(changes, start=1):
        found = changes[number].previous if number < len(changes) else active
        if change.version == found:
            yield change


def _parse_line(line: str) -> ActivationRecord | None:
    try:
        given = json.loads(line)
        change = ActivationRecord(**given | {"action": Action(given["action"])})
        "".join((change.at, change.version, change.previous or "", change.by))  # TypeError if none
    except (ValueError, TypeError, KeyError):
        logger.warning("history_line_unreadable: %r", line[:80])
        return None
    return change

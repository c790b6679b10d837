"""Rolls a new version back if its errors on reported sales are larger than those of an earlier one.

The versions before it are looked at one after the other, the latest first: a bad version is not
hidden by its own recalibration, nor by another bad one that follows it. It happens once for each
activation, never to a version that somebody returned to, and only if no caller alone can have
brought it about.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from model_store.drift.sales import SaleComparison, compare_sales
from model_store.registry.history import Action, ActivationRecord, earlier_versions
from model_store.registry.hosts import open_registry
from model_store.registry.registry import ModelRegistry, etag_of
from shared.domain.errors import ActivationConflict, ActiveModelChanged, NoEarlierModel
from shared.domain.sale import SaleReport
from shared.settings import Settings

AUTOMATIC = "automatic"
"""Who changed the active version, in the history, if nobody asked for it."""
MAX_EARLIER = 5
"""Versions before the active one that it is compared with; older ones priced another market."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RollbackDecision:
    """Whether the active version was rolled back, and why."""

    rolled_back: bool
    reason: str
    active: str | None
    """The active version afterwards."""
    comparison: SaleComparison | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON ready."""
        comparison = self.comparison and self.comparison.to_json()
        return {
            "rolled_back": self.rolled_back,
            "reason": self.reason,
            "active": self.active,
            "comparison": comparison,
        }


def roll_back_if_worse(registry: ModelRegistry, reports: Sequence[SaleReport]) -> RollbackDecision:
    """Compare the active version with those before it, and roll back to one that is better.

    Args:
        registry: with a self-test, which the earlier version must pass.
        reports: see `model_store.drift.sale_reports.sale_reports`.

    Raises:
        ModelVersionNotFound, ModelRefused: the earlier version is missing or fails a check; the
            active version is unchanged.
        OSError: the disk refuses; the active version is unchanged.
    """
    decision = compare_with_previous(registry, reports)
    found = decision.comparison
    if found is None or not (found.is_worse and found.is_broad):
        return decision
    try:
        now = registry.rollback(
            by=AUTOMATIC, expected_etag=etag_of(found.version), to=found.previous
        ).id
    except (ActiveModelChanged, ActivationConflict):
        reason = "another version was activated meanwhile"
        return RollbackDecision(
            rolled_back=False, reason=reason, active=registry.active_version(), comparison=found
        )
    return RollbackDecision(rolled_back=True, reason=found.reason(), active=now, comparison=found)


def compare_with_previous(
    registry: ModelRegistry, reports: Sequence[SaleReport]
) -> RollbackDecision:
    """Compare the active version with those before it, and change nothing.

    The comparison is the one with the latest of them that is better beyond doubt, so that no caller
    alone can have brought it about; else with the latest that is better; else with the latest.
    """
    active, history = registry.known_active_version(), registry.history()
    reason, found = _why_not(history, active), None
    if reason is None and active is not None:
        try:
            found = _most_telling(reports, active, earlier_versions(history, active))
            reason = found.reason()
        except NoEarlierModel:
            reason = "no version was active before"
    return RollbackDecision(rolled_back=False, reason=reason or "", active=active, comparison=found)


def _most_telling(
    reports: Sequence[SaleReport], active: str, earlier: Sequence[str]
) -> SaleComparison:
    """See `compare_with_previous`.

    Args:
        reports: of sales.
        active: the version that is judged.
        earlier: the versions before it, the latest first, at least one; each once.
    """
    others = [name for name in dict.fromkeys(earlier) if name != active]
    if not others:
        raise NoEarlierModel(version=active)
    found = [compare_sales(reports, active, name) for name in others[:MAX_EARLIER]]
    worse = [each for each in found if each.is_worse]
    return next(iter([*(each for each in worse if each.is_broad), *worse, *found]))


def rolled_back_versions(history: Sequence[ActivationRecord]) -> set[str]:
    """The versions that were left by a roll-back, automatic or not."""
    return {
        change.previous
        for change in history
        if change.action is Action.ROLLBACK and change.previous is not None
    }


def _why_not(history: Sequence[ActivationRecord], active: str | None) -> str | None:
    """Why the active version is not judged; None if it is."""
    if active is None:
        return "no version is active"
    # Lines of changes that a crash prevented name other versions.
    lines = [number for number, change in enumerate(history) if change.version == active]
    last = history[lines[-1]] if lines else None
    if last is None or last.action is not Action.ACTIVATE:
        return f"{active} is active since a roll-back"
    if any(change.previous == active for change in history[: lines[-1]]):
        return f"{active} was active before and was activated again by {last.by}"
    return None


def checked_registry(settings: Settings) -> ModelRegistry:
    """A registry that runs a version's self-test before it activates it."""
    from model_store.registry.bundle import load_model  # noqa: PLC0415 - loads compiled kernels

    path = settings.versions_path
    return open_registry(settings, self_test=lambda version: load_model(path, version))

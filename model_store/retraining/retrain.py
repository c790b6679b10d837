"""Trains on new listings and activates the result if it is better than the active version.

A candidate is trained on the months before the last ones and compared with the active version on
the last ones. If it wins, a version is trained on all listings, stored and activated. Until the
pointer moves, nothing that serves has changed.
"""

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd

from data.listings.files import ListingsError
from data.listings.table import LISTING_DATE, quoted_month
from model_store.cards.card import write_card
from model_store.comparison.compare import Comparison, compare_models
from model_store.comparison.fit import require_fit
from model_store.pricing.inference import LoadedModel
from model_store.registry.bundle import in_memory, load_model, save_bundle
from model_store.registry.manifest import SCHEMA_VERSION, ModelVersion
from model_store.registry.registry import ModelRegistry, etag_of
from model_store.registry.shared_models import SharedModels
from model_store.retraining.journal import (
    JournalEntry,
    Step,
    append_entry,
    last_entry,
    retraining_lock,
    utc_now,
)
from model_store.retraining.rival import Rival, level_doubt
from model_store.retraining.rollback import rolled_back_versions
from model_store.retraining.split import NoFairComparison, TimeSplit, split_by_time
from model_store.training.train import TrainedModel, digest, train_bundle
from shared.domain.errors import (
    ActivationConflict,
    ActiveModelChanged,
    ModelRefused,
    ModelVersionNotFound,
)
from shared.messages.texts import describe_problem

BETTER = "better"
"""Verdict of a comparison in favour of the candidate."""


class ActiveVersionUnusable(Exception):
    """The active version cannot be loaded, so nothing can be compared; the message says why."""


class Decision(StrEnum):
    """What a retraining did."""

    ACTIVATED = "activated"
    KEPT = "kept"
    """The active version was kept."""
    UNCHANGED = "unchanged"
    """The same listings were used before: nothing was trained."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RetrainingResult:
    """What was decided, and why."""

    decision: Decision
    """With `dry_run`: what would have been decided."""
    reason: str
    dry_run: bool
    version: str | None
    """The new version, or that of an earlier run; None: there is none."""
    active_before: str | None
    rows: int
    """Listings that were read."""
    comparison: Comparison | None = None
    judged_months: tuple[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON ready."""
        return {
            "decision": str(self.decision),
            "reason": self.reason,
            "dry_run": self.dry_run,
            "version": self.version,
            "active_before": self.active_before,
            "rows": self.rows,
            "judged_months": self.judged_months,
            "comparison": self.comparison and self.comparison.to_json(),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retraining:
    """One retraining.

    Args:
        versions_path: the registry's folder.
        name: of the listings, for the manifest.
        seed: of folds, dropout, forest and bootstrap.
        by: who asked for it, for the history.
        if_better: activate only if the candidate is significantly better.
        dry_run: store and activate nothing.
        is_scheduled: nobody asked for it: after a roll-back, only listings of later months than
            those of the version that was rolled back are activated.
        jobs: number of threads that fit trees.
        on_progress: called after each step of a training.
        shared: as of `ModelRegistry`.
    """

    versions_path: Path
    name: str
    seed: int
    by: str
    if_better: bool
    dry_run: bool = False
    is_scheduled: bool = False
    jobs: int = 1
    on_progress: Callable[[str], None] = lambda _: None
    shared: SharedModels | None = None

    def run(self, listings: pd.DataFrame) -> RetrainingResult:
        """Train, compare and activate.

        Args:
            listings: a canonical table.

        Raises:
            RetrainingRuns: another process is retraining.
            ListingsError: the listings cannot be trained on.
            ActivePointerLost: which version is active is not known.
            ActiveVersionUnusable: with `if_better`, the active version cannot be loaded.
            ModelRefused: the new version fails a check; the active version is unchanged.
            OSError: the disk refuses; the active version is unchanged.
        """
        with retraining_lock(self.versions_path):
            table = _until_this_month(listings)
            key = self._key(table)
            return self._known_result(table, key) or self._retrain(table, key)

    @property
    def _registry(self) -> ModelRegistry:
        path = self.versions_path
        return ModelRegistry(
            path, self_test=lambda version: load_model(path, version), shared=self.shared
        )

    def _key(self, table: pd.DataFrame) -> str:
        text = f"{digest(table)}:{self.seed}:{SCHEMA_VERSION}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _known_result(self, table: pd.DataFrame, key: str) -> RetrainingResult | None:
        """The result if the same listings were used before; None if they must be trained on."""
        active = self._registry.known_active_version()
        entry = last_entry(self.versions_path, key)
        if entry is None:
            return None
        if entry.version is None:
            if not self.if_better or entry.active != active:
                return None
            reason = f"these listings were compared on {entry.at}: {entry.reason}"
            return self._result(Decision.UNCHANGED, reason, table, active=active)
        return self._stored_result(entry, entry.version, active, table, key)

    def _stored_result(
        self, entry: JournalEntry, version: str, active: str | None, table: pd.DataFrame, key: str
    ) -> RetrainingResult | None:
        """The result if these listings gave a version that is still stored."""
        reason = ""
        if not self._is_stored(version):
            return None
        has_served = entry.step is Step.ACTIVATED or version in rolled_back_versions(
            self._registry.history()
        )
        if version == active:
            reason = "the active version was trained on these listings"
        elif self.if_better and has_served:
            reason = (
                f"these listings gave version {version} on {entry.at}; it is not active any more,"
                " and is not activated again without being asked for:"
                f" `carprice models activate {version}`"
            )
        elif self.if_better and not (entry.is_better and entry.active == active):
            return None
        if reason:
            return self._result(Decision.UNCHANGED, reason, table, version, active=active)
        reason = f"version {version} was trained on these listings on {entry.at}"
        return self._activate(version, active, reason, table, key)

    def _is_stored(self, version: str) -> bool:
        try:
            self._registry.check(version)
        except (ModelVersionNotFound, ModelRefused):
            return False
        return True

    def _retrain(self, table: pd.DataFrame, key: str) -> RetrainingResult:
        active = self._registry.known_active_version()
        comparison, months, reason = None, None, "no version was active"
        is_better = active is None
        if active is not None:
            comparison, months, reason = self._compare(table, active)
            is_better = comparison is not None and comparison.verdict == BETTER
            if is_better and (held := self._held_back(table, comparison)) is not None:
                is_better, reason = False, held
            if self.if_better and not is_better:
                self._note(Step.KEPT, key, active, reason=reason)
                return self._result(
                    Decision.KEPT,
                    reason,
                    table,
                    active=active,
                    comparison=comparison,
                    months=months,
                )
        if self.dry_run:
            return self._result(
                Decision.ACTIVATED,
                reason,
                table,
                active=active,
                comparison=comparison,
                months=months,
            )
        version = self._store(self._train(table))
        self._note(Step.TRAINED, key, active, version.id, is_better=is_better)
        result = self._activate(version.id, active, reason, table, key)
        return dataclasses.replace(result, comparison=comparison, judged_months=months)

    def _compare(
        self, table: pd.DataFrame, active: str
    ) -> tuple[Comparison | None, tuple[str, str] | None, str]:
        """The comparison with the active version, the months of it, and the result in words."""
        try:
            rival = Rival.of(self.versions_path, active)
        except (ModelRefused, ModelVersionNotFound) as error:
            detail = describe_problem(error.code, error.params, "en")[1]
            reason = f"the active version cannot be loaded, so nothing can be compared. {detail}"
            if self.if_better:
                raise ActiveVersionUnusable(reason) from error
            return None, None, reason
        try:
            split = split_by_time(table, rival.base)
            judged = rival.before(split)
            comparison = self._judge(split, judged)
        except (NoFairComparison, ListingsError) as error:
            return None, None, f"no fair comparison is possible: {error}{rival.note}"
        return comparison, split.months, _in_words(comparison) + rival.note

    def _judge(self, split: TimeSplit, serving: LoadedModel) -> Comparison:
        """Compare a candidate that has seen only the earlier months."""
        candidate = in_memory(self._train(split.training))
        return compare_models(serving, candidate, split.judged, seed=self.seed)

    def _train(self, table: pd.DataFrame) -> TrainedModel:
        return train_bundle(
            table, seed=self.seed, name=self.name, jobs=self.jobs, on_progress=self.on_progress
        )

    def _store(self, trained: TrainedModel) -> ModelVersion:
        require_fit(trained.metrics)
        predictions = trained.predictions
        return save_bundle(
            trained,
            self.versions_path,
            lambda made: {} if predictions is None else write_card(made, predictions),
        )

    def _activate(
        self, version: str, active: str | None, reason: str, table: pd.DataFrame, key: str
    ) -> RetrainingResult:
        if not self.dry_run:
            try:
                self._registry.activate(version, by=self.by, expected_etag=etag_of(active))
            except (ActiveModelChanged, ActivationConflict):
                now = self._registry.active_version()
                reason = f"{now} was activated meanwhile; {version} is stored"
                return self._result(Decision.KEPT, reason, table, version, active=active)
            self._note(Step.ACTIVATED, key, active, version)
        return self._result(Decision.ACTIVATED, reason, table, version, active=active)

    def _held_back(self, table: pd.DataFrame, found: Comparison | None) -> str | None:
        """Why a better candidate is not activated at present; None if it may be."""
        if found is not None and (doubt := level_doubt(found)) is not None:
            return f"{_in_words(found)}, but {doubt}"
        if not self.is_scheduled:
            return None
        registry, month = self._registry, quoted_month(table)
        for version in sorted(rolled_back_versions(registry.history())):
            try:
                as_of = registry.get(version).data_as_of
            except (ModelVersionNotFound, ModelRefused):
                continue
            if month <= as_of:
                return (
                    f"version {version}, with prices of {as_of}, was rolled back: the schedule"
                    " activates only listings of later months (`carprice retrain` activates these)"
                )
        return None

    def _note(
        self,
        step: Step,
        key: str,
        active: str | None,
        version: str | None = None,
        *,
        is_better: bool = False,
        reason: str = "",
    ) -> None:
        if self.dry_run:
            return
        entry = JournalEntry(
            at=utc_now(),
            step=step,
            key=key,
            active=active,
            version=version,
            is_better=is_better,
            reason=reason,
        )
        append_entry(self.versions_path, entry)

    def _result(
        self,
        decision: Decision,
        reason: str,
        table: pd.DataFrame,
        version: str | None = None,
        *,
        active: str | None,
        comparison: Comparison | None = None,
        months: tuple[str, str] | None = None,
    ) -> RetrainingResult:
        return RetrainingResult(
            decision=decision,
            reason=reason,
            dry_run=self.dry_run,
            version=version,
            active_before=active,
            rows=len(table),
            comparison=comparison,
            judged_months=months,
        )


def _until_this_month(listings: pd.DataFrame) -> pd.DataFrame:
    """The listings without those of a future month, whose date is wrong."""
    this_month = f"{dt.datetime.now(dt.UTC):%Y-%m}"
    is_future = listings[LISTING_DATE].notna() & (listings[LISTING_DATE] > this_month)
    return listings[~is_future].reset_index(drop=True)


def _in_words(found: Comparison) -> str:
    """The verdict as a sentence."""
    meaning = {
        BETTER: "is better than",
        "worse": "is worse than",
        "equal": "is not significantly better than",
    }[found.verdict]
    return (
        f"the candidate {meaning} the active version: median error {found.b.median_ape:.2f} %"
        f" against {found.a.median_ape:.2f} % on {found.rows:,} listings that neither has seen"
        f" (difference {found.difference:+.2f}, 95 % interval {found.difference_low:+.2f} to"
        f" {found.difference_high:+.2f})"
    )

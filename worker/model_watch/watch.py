"""Measures drift and the errors on reported sales, and rolls a worse version back."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from model_store.registry.registry import ModelRegistry
from shared.domain.clock import Clock
from shared.domain.errors import DomainError
from shared.domain.sale import SaleReport
from shared.logging import describe, get_logger
from shared.metrics import MODEL_ROLLBACKS, MODEL_WATCH_FAILURES, MODEL_WORSE
from shared.redis.model_figures import ModelFigures, ModelFiguresStore
from shared.settings import Settings

if TYPE_CHECKING:
    from model_store.drift.psi import Psi

DRIFT_DAYS = 7
RECORDS_PER_DAY = 20_000
"""Enough for a PSI to two decimals; a week takes a few seconds of processor time."""
VERSIONS_SHOWN = 5
"""Versions whose errors are exported: the latest ones with reports."""

log = get_logger("model_watch")


class ModelWatch:
    """Watches the active version.

    Args:
        settings: with paths and `auto_rollback`.
        figures: where the figures for `/metrics` are stored.
        clock: the time of day.
    """

    def __init__(self, settings: Settings, figures: ModelFiguresStore, clock: Clock) -> None:
        self._settings = settings
        self._figures = figures
        self._clock = clock

    def run(self) -> None:
        """Roll back if the sales require it, then measure drift and store the figures.

        Raises:
            BrokerUnavailable: the figures cannot be stored.
        """
        # numpy and pandas are imported by the first run, not by the parent of the pool.
        from model_store.drift.sales import errors_by_version  # noqa: PLC0415

        reports = self._sale_reports()
        self._roll_back_if_worse(reports)
        errors = errors_by_version(reports)
        cars, psi, psi_given = self._drift()
        latest = sorted(errors, reverse=True)[:VERSIONS_SHOWN]
        self._figures.put(
            ModelFigures(
                version=ModelRegistry(self._settings.versions_path).active_version(),
                cars=cars,
                psi=psi,
                psi_given=psi_given,
                sale_errors={name: _median(errors[name]) for name in latest},
                sale_reports={name: len(errors[name]) for name in latest},
            )
        )

    def _sale_reports(self) -> Sequence[SaleReport]:
        from model_store.drift.sale_reports import sale_reports  # noqa: PLC0415

        try:
            return sale_reports(self._settings.audit_folder)
        except OSError as error:
            _count_failure("sales", error)
            return []

    def _roll_back_if_worse(self, reports: Sequence[SaleReport]) -> None:
        from model_store.retraining.rollback import (  # noqa: PLC0415
            checked_registry,
            compare_with_previous,
            roll_back_if_worse,
        )

        registry = checked_registry(self._settings)
        try:
            if self._settings.auto_rollback == "off":
                decision = compare_with_previous(registry, reports)
            else:
                decision = roll_back_if_worse(registry, reports)
        except (DomainError, OSError) as error:
            _count_failure("rollback", error)
            return
        if decision.rolled_back:
            MODEL_ROLLBACKS.inc()
            log.warning("model_rolled_back", active=decision.active, reason=decision.reason)
        elif decision.comparison is not None and decision.comparison.is_worse:
            MODEL_WORSE.inc()
            log.warning("model_not_rolled_back", active=decision.active, reason=decision.reason)

    def _drift(self) -> tuple[int, Mapping[str, float], Mapping[str, float]]:
        """Number of cars of the last week, and the two PSI of each field that has them."""
        from model_store.drift.report import DriftUnavailable, drift_report  # noqa: PLC0415

        today = dt.datetime.fromtimestamp(self._clock(), dt.UTC).date()
        try:
            report = drift_report(
                self._settings.versions_path,
                self._settings.audit_folder,
                first=today - dt.timedelta(DRIFT_DAYS - 1),
                last=today,
                max_records_per_day=RECORDS_PER_DAY,
            )
        except DriftUnavailable as error:
            log.info("drift_not_measured", reason=error.code)
            return 0, {}, {}
        except (DomainError, OSError) as error:
            _count_failure("drift", error)
            return 0, {}, {}
        whole = report.whole
        return whole.cars, _values(whole.psi), _values(whole.given)


def _values(found: "Mapping[str, Psi | None]") -> Mapping[str, float]:
    """Those that have a value."""
    return {
        name: psi.value for name, psi in found.items() if psi is not None and psi.value is not None
    }


def _median(errors: Sequence[float]) -> float:
    ordered = sorted(errors)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[~middle]) / 2


def _count_failure(part: str, error: Exception) -> None:
    MODEL_WATCH_FAILURES.labels(part=part).inc()
    log.warning("model_watch_failed", part=part, error=describe(error))

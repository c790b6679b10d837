"""The drift report: PSI of each field by day or week, from the audit log."""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from model_store.drift.audit_sample import DaySample, files_by_day
from model_store.drift.counts import PeriodCounts, RecordCounts
from model_store.drift.profile import PRICE_FIELD, TrainingProfile, read_profile
from model_store.drift.psi import MODERATE, SIGNIFICANT, DriftLevel, Psi
from model_store.registry.manifest import ModelVersion
from model_store.registry.registry import ModelRegistry
from shared.audit.chain import FILE_PATTERN, file_name
from shared.domain.errors import ActivePointerLost, ModelVersionNotFound
from shared.i18n.command import gettext as _
from shared.messages.texts import describe_problem
from shared.redis.model_figures import months_since

MAX_RECORDS_PER_DAY = 50_000
"""Records of a day that are read; a busier day is sampled."""
DOMINANT_CALLER = 0.5
"""From this share of the cars on the report names the caller."""
_SHIFTS_SHOWN = 3


class By(StrEnum):
    """Length of a period."""

    DAY = "day"
    WEEK = "week"
    """From Monday to Sunday."""


class DriftUnavailable(Exception):
    """There is nothing to compare; the message says why and what to do.

    Args:
        code: one word for programs.
        message: one sentence.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """A bin whose share has changed."""

    label: str
    trained: float
    """Share of the training data, 0 to 1."""
    now: float
    """Share of the cars of the period."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PeriodReport:
    """The PSI of each field in one period."""

    label: str
    first: dt.date
    last: dt.date
    cars: int
    """Different cars that were counted."""
    psi: Mapping[str, Psi]
    given: Mapping[str, Psi | None]
    """PSI among the cars that state the field; None: the training data hardly have it."""

    def to_json(self) -> dict[str, Any]:
        """JSON ready."""
        return {
            "period": self.label,
            "from": self.first.isoformat(),
            "to": self.last.isoformat(),
            "cars": self.cars,
            "fields": {
                name: psi.to_json() | {"psi_given": given and given.value}
                for (name, psi), given in zip(self.psi.items(), self.given.values(), strict=True)
            },
        }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DriftReport:
    """Drift of the whole time and of each period in it."""

    version: str
    data_as_of: str
    """Month (YYYY-MM) of the training data's price level."""
    age_months: int
    """Months from `data_as_of` to the last day of the report."""
    trained_rows: int
    by: By
    whole: PeriodReport
    periods: Sequence[PeriodReport]
    shifts: Mapping[str, Sequence[Shift]]
    """The bins that contribute most to each field's PSI; empty if it has none."""
    records: RecordCounts
    callers: int
    top_caller: tuple[str, float]
    """The caller with most cars, and its share of them."""

    def to_json(self) -> dict[str, Any]:
        """JSON ready."""
        shifts = {
            name: [dataclasses.asdict(each) for each in found]
            for name, found in self.shifts.items()
        }
        return {
            "version": self.version,
            "data_as_of": self.data_as_of,
            "data_age_months": self.age_months,
            "training_rows": self.trained_rows,
            "thresholds": {"moderate": MODERATE, "significant": SIGNIFICANT},
            **self.whole.to_json(),
            "by": str(self.by),
            "periods": [period.to_json() for period in self.periods],
            "shifts": shifts,
            "records": self.records.to_json(),
            "notes": self.notes(),
        }

    def notes(self) -> list[str]:
        """What a reader must know to judge the figures, one sentence each."""
        records, found = self.records, []
        if records.sampled_days:
            found.append(
                _(
                    "{sampled_days} busy days were sampled: {read} of about {estimated} records "
                    "were read."
                ).format(
                    sampled_days=records.sampled_days,
                    read=f"{records.read:,}",
                    estimated=f"{records.estimated:,.0f}",
                )
            )
        few = [name for name, psi in self.whole.psi.items() if psi.level is DriftLevel.TOO_FEW]
        if few:
            least = min(self.whole.psi[name].needed for name in few)
            found.append(
                _(
                    "Too few cars for a PSI of {few}: chance alone would exceed the thresholds (at "
                    "least {least} cars are needed)."
                ).format(few=", ".join(few), least=least)
            )
        price = self.whole.psi[PRICE_FIELD].cars
        if price < self.whole.cars:
            found.append(
                _(
                    "The price is that of the {price} cars that version {version} priced; other "
                    "versions priced {others}."
                ).format(
                    price=f"{price:,}", version=self.version, others=f"{self.whole.cars - price:,}"
                )
            )
        name, share = self.top_caller
        if share >= DOMINANT_CALLER and self.callers > 1:
            found.append(
                _("{share} of the cars are from one caller ({name}).").format(
                    share=f"{share:.0%}", name=name
                )
            )
        if records.repeated:
            found.append(
                _("{repeated} repeated requests for the same car were not counted again.").format(
                    repeated=f"{records.repeated:,}"
                )
            )
        if records.unreadable:
            found.append(
                _("{unreadable} lines could not be read and were left out.").format(
                    unreadable=f"{records.unreadable:,}"
                )
            )
        return found


def drift_report(
    versions_path: Path,
    audit_folder: Path,
    *,
    first: dt.date,
    last: dt.date,
    by: By = By.WEEK,
    version: str | None = None,
    max_records_per_day: int = MAX_RECORDS_PER_DAY,
) -> DriftReport:
    """Compare the cars of the audit log with a version's training data.

    Memory is bounded by the records read in one period, at most `max_records_per_day` a day.

    Args:
        versions_path: the registry's folder.
        audit_folder: the audit log.
        first: first day, UTC.
        last: last day, included.
        by: length of the periods.
        version: to compare with; None: the active one.
        max_records_per_day: see `DaySample`; 0: every record is read.

    Raises:
        DriftUnavailable: there is no version, profile or record to compare.
        ModelRefused: the version's files are damaged.
        OSError: the log cannot be read.
    """
    manifest, profile = _version_and_profile(versions_path, version)
    days = _days_in_range(audit_folder, first, last)
    whole = PeriodCounts(profile, manifest.id)
    periods = []
    for label, members in _periods(days, by):
        counts = PeriodCounts(profile, manifest.id)
        for day in members:
            counts.add_day(DaySample(day, days[day], max_records_per_day))
        counts.forget_requests()
        dates = [dt.date.fromisoformat(day) for day in members]
        periods.append(_period_report(label, dates[0], dates[-1], counts))
        whole.merge(counts)
    if not whole.cars:
        raise DriftUnavailable(
            "no-valuations",
            _(
                "the audit log has no priced car from {first} to {last}: {failed} valuations "
                "failed, {unreadable} lines could not be read"
            ).format(
                first=first,
                last=last,
                failed=f"{whole.records.failed:,}",
                unreadable=f"{whole.records.unreadable:,}",
            ),
        )
    caller, most = whole.callers.most_common(1)[0]
    return DriftReport(
        version=manifest.id,
        data_as_of=manifest.data_as_of,
        age_months=months_since(manifest.data_as_of, last),
        trained_rows=profile.rows,
        by=by,
        whole=_period_report("whole", first, last, whole),
        periods=periods,
        shifts={name: _shifts(profile, whole, name) for name in profile.fields},
        records=whole.records,
        callers=len(whole.callers),
        top_caller=(caller, most / max(sum(whole.callers.values()), 1)),
    )


def _version_and_profile(
    versions_path: Path, version: str | None
) -> tuple[ModelVersion, TrainingProfile]:
    registry = ModelRegistry(versions_path)
    try:
        wanted = version or registry.known_active_version()
    except ActivePointerLost as error:
        detail = describe_problem(error.code, error.params, "en")[1]
        raise DriftUnavailable("no-model", detail) from None
    if wanted is None:
        raise DriftUnavailable(
            "no-model", _("no model is active: `carprice train --activate` makes one")
        )
    try:
        manifest = registry.get(wanted)
    except ModelVersionNotFound:
        raise DriftUnavailable(
            "no-model",
            _("there is no version {wanted}: `carprice models list` shows them").format(
                wanted=wanted
            ),
        ) from None
    profile = read_profile(versions_path, wanted)
    if profile is None:
        raise DriftUnavailable(
            "no-profile",
            _(
                "version {wanted} was trained by a release that stored no profile of the "
                "training data: train again (`carprice train`, `carprice retrain`), or name "
                "another one with --version"
            ).format(wanted=wanted),
        )
    return manifest, profile


def _days_in_range(audit_folder: Path, first: dt.date, last: dt.date) -> dict[str, list[Path]]:
    days = {
        day: paths
        for day, paths in files_by_day(audit_folder).items()
        if any(path.stat().st_size for path in paths if path.exists())
    }
    if not days:
        raise DriftUnavailable("no-records", _why_no_records(audit_folder))
    wanted = {day: paths for day, paths in days.items() if str(first) <= day <= str(last)}
    if not wanted:
        raise DriftUnavailable(
            "no-records-in-period",
            _(
                "the audit log has no records from {first} to {last}; it has some from {oldest} "
                "to {newest}"
            ).format(first=first, last=last, oldest=min(days), newest=max(days)),
        )
    return wanted


def _why_no_records(folder: Path) -> str:
    """Why a folder has no audit records, and what to do."""
    if not folder.is_dir():
        text = (
            _(
                "{folder} is no folder: nothing has been valued yet, or CARPRICE_HOME (AUDIT_PATH,"
                " --folder) names another folder"
            )
            if folder.exists()
            else _(
                "{folder} does not exist: nothing has been valued yet, or CARPRICE_HOME"
                " (AUDIT_PATH, --folder) names another folder"
            )
        )
        return text.format(folder=folder)
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if any(FILE_PATTERN.fullmatch(name) for name in names):
        return _("{folder} has no audit records: its files are empty").format(folder=folder)
    if names:
        example = file_name("2026-11-01", "WRITER")
        text = _(
            "{folder} has no audit records: none of its {number} files is named as the audit log"
            " names them ({example}); the first is {first}"
        )
        return text.format(folder=folder, number=f"{len(names):,}", example=example, first=names[0])
    text = _(
        "{folder} is empty: nothing has been valued yet, or CARPRICE_HOME (AUDIT_PATH, --folder)"
        " names another folder"
    )
    return text.format(folder=folder)


def _periods(days: Mapping[str, Any], by: By) -> Iterator[tuple[str, list[str]]]:
    """The days with records, grouped; each group with its label."""
    groups: dict[str, list[str]] = {}
    for day in days:
        year, week, _ = dt.date.fromisoformat(day).isocalendar()
        groups.setdefault(day if by is By.DAY else f"{year}-W{week:02}", []).append(day)
    yield from groups.items()


def _period_report(label: str, first: dt.date, last: dt.date, counts: PeriodCounts) -> PeriodReport:
    psi = {name: counts.psi(name) for name in counts.fields}
    given = {name: counts.psi_given(name) for name in counts.fields}
    return PeriodReport(label=label, first=first, last=last, cars=counts.cars, psi=psi, given=given)


def _shifts(profile: TrainingProfile, counts: PeriodCounts, name: str) -> list[Shift]:
    """The bins that contribute most to the PSI of a field."""
    if counts.psi(name).value is None:
        return []
    trained = np.array(profile.fields[name].shares)
    now = counts.fields[name].weighted / counts.fields[name].weighted.sum()
    floor = 1e-4
    terms = (now - trained) * np.log(np.maximum(now, floor) / np.maximum(trained, floor))
    labels = profile.fields[name].labels
    return [
        Shift(
            label=labels[index],
            trained=round(float(trained[index]), 4),
            now=round(float(now[index]), 4),
        )
        for index in np.argsort(-terms)[:_SHIFTS_SHOWN]
        if terms[index] > 0
    ]

"""Errors of the estimates on reported sales, by version, and whether one version's are larger."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from shared.audit.chain import OUTCOMES_PREFIX
from shared.domain.sale import SaleReport

MIN_REPORTS = 50
"""Reported sales that each of two versions needs before they are compared."""
MAX_REPORTS = 1_000
"""Only the latest reports of a version count: older ones are of another market."""
CONFIDENCE = 0.999
"""One-sided, as the comparison is repeated while reports come in."""
MIN_FACTOR = 1.1
"""A median error that is larger by less than a tenth is no reason to go back."""
_RESAMPLES = 8_000
_BATCH = 500


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SaleComparison:
    """The errors of two versions on the sales reported for their own valuations.

    The sales are of different cars: each version has priced those of its time.
    """

    version: str
    """The newer version, which is judged."""
    previous: str
    reports: int
    """Of `version`, at most `MAX_REPORTS`."""
    previous_reports: int
    median_ape: float | None
    """Median absolute error as a share of the sale price; None without reports."""
    previous_median_ape: float | None
    difference_low: float | None
    """Lower bound of the difference of the medians (one-sided, `CONFIDENCE`); None: too few."""

    @property
    def is_worse(self) -> bool:
        """Whether the errors of `version` are larger beyond doubt."""
        if self.difference_low is None or not self.median_ape or self.previous_median_ape is None:
            return False
        factor = MIN_FACTOR * self.previous_median_ape
        return self.difference_low > 0 and self.median_ape >= factor

    def reason(self) -> str:
        """The result as one sentence."""
        if self.difference_low is None:
            return (
                f"{self.reports} sales of {self.version} and {self.previous_reports} of"
                f" {self.previous} are reported; {MIN_REPORTS} of each are needed"
            )
        word = "is" if self.is_worse else "is not"
        return (
            f"the median error of {self.version} on {self.reports} sales ({self.median_ape:.1%})"
            f" {word} significantly larger than that of {self.previous} on"
            f" {self.previous_reports} ({self.previous_median_ape:.1%})"
        )

    def to_json(self) -> dict[str, Any]:
        """JSON ready."""
        return dataclasses.asdict(self) | {"is_worse": self.is_worse, "confidence": CONFIDENCE}


def sale_reports(audit_folder: Path) -> Sequence[SaleReport]:
    """The last report on each valuation, in the order of time; unreadable lines are left out.

    Raises:
        OSError: the log cannot be read.
    """
    latest: dict[str, SaleReport] = {}
    for path in sorted(audit_folder.glob(f"{OUTCOMES_PREFIX}_*.jsonl")):
        for report in _read(path):
            known = latest.get(report.valuation_id)
            if known is None or known.recorded_at <= report.recorded_at:
                latest[report.valuation_id] = report
    return sorted(latest.values(), key=lambda report: report.recorded_at)


def errors_by_version(reports: Sequence[SaleReport]) -> Mapping[str, list[float]]:
    """Absolute errors as shares of the sale price, of each version's latest reports."""
    found: dict[str, list[float]] = {}
    for report in reports:
        found.setdefault(report.model_version, []).append(report.ape)
    return {version: errors[-MAX_REPORTS:] for version, errors in found.items()}


def compare_sales(
    errors: Mapping[str, Sequence[float]], version: str, previous: str
) -> SaleComparison:
    """Compare the median errors of two versions by a bootstrap.

    Args:
        errors: as `errors_by_version` returns them.
        version: the newer one.
        previous: the one before.
    """
    new, old = (np.array(errors.get(name, ()), dtype=np.float64) for name in (version, previous))
    low = None
    if min(len(new), len(old)) >= MIN_REPORTS:
        random = np.random.default_rng(len(new))
        differences = _medians(new, random) - _medians(old, random)
        low = float(np.quantile(differences, 1 - CONFIDENCE))
    return SaleComparison(
        version=version,
        previous=previous,
        reports=len(new),
        previous_reports=len(old),
        median_ape=float(np.median(new)) if len(new) else None,
        previous_median_ape=float(np.median(old)) if len(old) else None,
        difference_low=low,
    )


def _medians(
    values: npt.NDArray[np.float64], random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Medians of resamples, in batches that bound the memory."""
    size = (_BATCH, len(values))
    batches = [
        np.median(values[random.integers(len(values), size=size)], axis=1)
        for _ in range(_RESAMPLES // _BATCH)
    ]
    return np.concatenate(batches)


def _read(path: Path) -> Iterator[SaleReport]:
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    yield SaleReport.from_json(orjson.loads(line))
                except (KeyError, TypeError, ValueError, AttributeError):
                    continue
    except FileNotFoundError:  # deleted meanwhile, by the retention
        return

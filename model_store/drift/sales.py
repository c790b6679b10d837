"""Errors of the estimates on reported sales, by version, and whether one version's are larger."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.domain.sale import SaleReport

MIN_REPORTS = 50
"""Counted sales that each of two versions needs before they are compared."""
MIN_CALLERS = 5
"""Callers whose sales of each version are needed to roll back: fewer could bring it about."""
MAX_SHARE = 0.2
"""Share of a version's counted sales that one caller may have; only the latest are counted."""
MAX_FACTOR = 3.0
"""Sales further from the estimate are typing errors or other cars, unless most sales are."""
MAX_REPORTS = 1_000
"""Only the latest reports of a version count: older ones are of another market."""
CONFIDENCE = 0.999
"""One-sided, as the comparison is repeated while reports come in."""
MIN_FACTOR = 1.1
"""A median error that is larger by less than a tenth is no reason to go back."""
_TOP_CALLERS = 5
_RESAMPLES = 8_000
_BATCH = 500

FloatArray = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CountedSales:
    """The sales of one version that count."""

    errors: FloatArray
    """(n,) absolute errors as shares of the sale price."""
    callers: npt.NDArray[np.int64]
    """(n,) number of the caller, from 0 on."""
    left_out: int
    """Sales further than `MAX_FACTOR` from the estimate."""

    @property
    def caller_count(self) -> int:
        """Number of callers."""
        return len(np.unique(self.callers))

    @property
    def top_share(self) -> float:
        """Share of the caller with most sales, 0 to 1."""
        return (
            float(np.bincount(self.callers).max() / len(self.callers)) if len(self.errors) else 0.0
        )

    @property
    def median(self) -> float | None:
        """The median error; None without sales."""
        return float(np.median(self.errors)) if len(self.errors) else None

    def __str__(self) -> str:
        """The sales in words, for a reason."""
        text = (
            f"{len(self.errors)} sales ({self.median or 0.0:.1%}; {self.caller_count} callers, the"
            f" largest with {self.top_share:.0%})"
        )
        if self.left_out:
            text += f", without {self.left_out} beyond a factor of {MAX_FACTOR:g}"
        return text


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SaleComparison:
    """The errors of two versions on the sales reported for their own valuations.

    The sales are of different cars: each version has priced those of its time.
    """

    version: str
    """The newer version, which is judged."""
    previous: str
    sales: CountedSales
    """Of `version`."""
    previous_sales: CountedSales
    difference_low: float | None
    """Lower bound of the difference of the medians (one-sided, `CONFIDENCE`); None: too few."""
    is_broad: bool = False
    """Whether it is worse, too, if callers are drawn instead of sales, and without any one of the
    callers with most sales: one caller alone cannot have brought it about."""

    @property
    def is_worse(self) -> bool:
        """Whether the errors of `version` are larger beyond doubt."""
        new, old = self.sales.median, self.previous_sales.median
        if self.difference_low is None or not new or old is None:
            return False
        return self.difference_low > 0 and new >= MIN_FACTOR * old

    def reason(self) -> str:
        """The result as one sentence."""
        if self.difference_low is None:
            return (
                f"{len(self.sales.errors)} sales of {self.version} and"
                f" {len(self.previous_sales.errors)} of {self.previous} are reported;"
                f" {MIN_REPORTS} of each are needed"
            )
        word = "is" if self.is_worse else "is not"
        found = (
            f"the median error of {self.version} on {self.sales} {word} significantly larger than"
            f" that of {self.previous} on {self.previous_sales}"
        )
        if self.is_worse and not self.is_broad:
            found += (
                f"; it is not rolled back, for that needs {MIN_CALLERS} callers of each and the"
                " same result without any one of them: decide yourself (`carprice models rollback`)"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """JSON ready."""
        sides = {"": self.sales, "previous_": self.previous_sales}
        found: dict[str, Any] = {"version": self.version, "previous": self.previous}
        for prefix, sales in sides.items():
            found |= {
                f"{prefix}reports": len(sales.errors),
                f"{prefix}median_ape": sales.median,
                f"{prefix}callers": sales.caller_count,
                f"{prefix}top_caller_share": round(sales.top_share, 4),
                f"{prefix}left_out": sales.left_out,
            }
        return found | {
            "difference_low": self.difference_low,
            "is_worse": self.is_worse,
            "is_broad": self.is_broad,
            "confidence": CONFIDENCE,
        }


def errors_by_version(reports: Sequence[SaleReport]) -> Mapping[str, list[float]]:
    """Absolute errors as shares of the sale price, of each version's latest reports."""
    found: dict[str, list[float]] = {}
    for report in reports:
        found.setdefault(report.model_version, []).append(report.ape)
    return {version: errors[-MAX_REPORTS:] for version, errors in found.items()}


def counted_sales(reports: Iterable[SaleReport], version: str) -> CountedSales:
    """The sales of a version that count.

    Those of a caller count once for equal estimates: they are of the same car. Among five callers
    or more none has more than a fifth.

    Args:
        reports: in the order of time.
        version: the others are left out.
    """
    by_caller: dict[str, list[SaleReport]] = {}
    cars: dict[tuple[str, float, float, float], SaleReport] = {}
    for report in reports:
        if report.model_version == version:
            car = (report.caller, report.price_mad, report.low_mad, report.high_mad)
            cars.pop(car, None)  # the latest report is the last one of the order, too
            cars[car] = report
    for report in cars.values():
        by_caller.setdefault(report.caller, []).append(report)
    # First among the latest thousand: a caller with many reports must not displace the others'.
    most = int(MAX_SHARE * MAX_REPORTS) if len(by_caller) >= MIN_CALLERS else MAX_REPORTS
    latest = sorted(
        (report for own in by_caller.values() for report in own[-most:]),
        key=lambda report: report.recorded_at,
    )[-MAX_REPORTS:]
    kept = _within_share(latest)
    usual = [each for each in kept if 1 / MAX_FACTOR <= each.ratio <= MAX_FACTOR]
    # If most of them are that far off, the estimates are wrong.
    chosen = usual if 2 * len(usual) >= len(kept) else kept
    names = {name: number for number, name in enumerate(sorted({each.caller for each in chosen}))}
    return CountedSales(
        errors=np.array([each.ape for each in chosen], dtype=np.float64),
        callers=np.array([names[each.caller] for each in chosen], dtype=np.int64),
        left_out=len(kept) - len(chosen),
    )


def compare_sales(reports: Sequence[SaleReport], version: str, previous: str) -> SaleComparison:
    """Compare the median errors of two versions by a bootstrap.

    Args:
        reports: as `sale_reports` returns them.
        version: the newer one.
        previous: the one before.
    """
    new, old = (counted_sales(reports, name) for name in (version, previous))
    found = SaleComparison(
        version=version, previous=previous, sales=new, previous_sales=old, difference_low=None
    )
    if min(len(new.errors), len(old.errors)) < MIN_REPORTS:
        return found
    low = _lower_bound(new, old, by_caller=False)
    found = dataclasses.replace(found, difference_low=low)
    if not found.is_worse or not _has_enough_callers(new, old):
        return found
    is_broad = _lower_bound(new, old, by_caller=True) > 0 and all(
        _is_worse_without(reports, caller, version, previous)
        for caller in _top_callers(reports, (version, previous))
    )
    return dataclasses.replace(found, is_broad=is_broad)


def _is_worse_without(
    reports: Sequence[SaleReport], caller: str, version: str, previous: str
) -> bool:
    """Whether the errors are larger without the sales of a caller, too."""
    others = [report for report in reports if report.caller != caller]
    new, old = (counted_sales(others, name) for name in (version, previous))
    if new.median is None or old.median is None or new.median < MIN_FACTOR * old.median:
        return False
    return _lower_bound(new, old, by_caller=_has_enough_callers(new, old)) > 0


def _top_callers(reports: Sequence[SaleReport], versions: tuple[str, str]) -> list[str]:
    """The callers with most reports on either version."""
    found: set[str] = set()
    for version in versions:
        many = Counter(each.caller for each in reports if each.model_version == version)
        found.update(name for name, _ in many.most_common(_TOP_CALLERS))
    return sorted(found)


def _lower_bound(new: CountedSales, old: CountedSales, *, by_caller: bool) -> float:
    """One-sided lower bound of the difference of the medians.

    Args:
        new: sales of the newer version.
        old: sales of the one before.
        by_caller: draw callers, each with all of its sales, instead of sales.
    """
    random = np.random.default_rng(len(new.errors))
    medians = [_medians(sales, random, by_caller=by_caller) for sales in (new, old)]
    return float(np.quantile(medians[0] - medians[1], 1 - CONFIDENCE))


def _has_enough_callers(*sides: CountedSales) -> bool:
    return all(side.caller_count >= MIN_CALLERS for side in sides)


def _within_share(reports: Sequence[SaleReport]) -> list[SaleReport]:
    """The latest reports of each caller, so that none has more than `MAX_SHARE`."""
    many = Counter(report.caller for report in reports)
    if len(many) < MIN_CALLERS:
        return list(reports)
    most = max(many.values())
    while most > MAX_SHARE * sum(min(each, most) for each in many.values()):
        most -= 1
    found = []
    for report in reports:
        if many[report.caller] <= most:
            found.append(report)
        many[report.caller] -= 1
    return found


def _medians(sales: CountedSales, random: np.random.Generator, *, by_caller: bool) -> FloatArray:
    """Medians of resamples of the callers or of the sales, in batches that bound the memory."""
    order = np.argsort(sales.errors)
    errors, callers = sales.errors[order], sales.callers[order]
    many, groups = len(errors), sales.caller_count
    found = []
    for _ in range(_RESAMPLES // _BATCH):
        if by_caller:
            times = random.multinomial(groups, np.full(groups, 1 / groups), size=_BATCH)
            above = np.cumsum(times.astype(np.int32)[:, callers], axis=1)
            found.append(errors[np.argmax(2 * above >= above[:, -1:], axis=1)])
        else:
            drawn = random.integers(many, size=(_BATCH, many), dtype=np.int32)
            found.append(errors[np.partition(drawn, many // 2, axis=1)[:, many // 2]])
    return np.concatenate(found)

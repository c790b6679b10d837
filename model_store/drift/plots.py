"""The plots of a drift report, as PNG files."""

from collections.abc import Sequence

from model_store.drift.psi import MODERATE, SIGNIFICANT, DriftLevel
from model_store.drift.report import DriftReport, PeriodReport, Shift
from model_store.figures import empty_axes, png

_COLOURS = {
    DriftLevel.STABLE: "#1d6b52",
    DriftLevel.MODERATE: "#c9912b",
    DriftLevel.SIGNIFICANT: "#b4532a",
}
_WIDTH = 7.6
_LABEL_CHARS = 24


def psi_bars(whole: PeriodReport) -> bytes:
    """PSI of each field that has one, with the two thresholds."""
    found = [(name, psi) for name, psi in whole.psi.items() if psi.value is not None]
    found.sort(key=lambda item: item[1].value or 0.0)
    axes = empty_axes(_WIDTH, 1.2 + 0.28 * len(found))
    colours = [_COLOURS[psi.level] for _, psi in found]
    axes.barh([name for name, _ in found], [psi.value or 0.0 for _, psi in found], color=colours)
    for threshold in (MODERATE, SIGNIFICANT):
        axes.axvline(threshold, color="#555555", linewidth=0.8, linestyle="--")
    axes.set_xlabel("PSI against the training data (thresholds 0.1 and 0.25)")
    return png(axes)


def psi_lines(periods: Sequence[PeriodReport], fields: Sequence[str]) -> bytes:
    """PSI of some fields by period; periods with too few cars have no point."""
    axes = empty_axes(_WIDTH, 3.6)
    places = range(len(periods))
    for name in fields:
        values = [period.psi[name].value for period in periods]
        axes.plot(places, [float("nan") if v is None else v for v in values], "o-", label=name)
    for threshold in (MODERATE, SIGNIFICANT):
        axes.axhline(threshold, color="#555555", linewidth=0.8, linestyle="--")
    axes.set_xticks(list(places), [period.label for period in periods], rotation=35, ha="right")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("PSI")
    axes.legend(frameon=False, fontsize="small", ncols=3)
    return png(axes)


def shift_bars(shifts: Sequence[Shift]) -> bytes:
    """Share of the training data and of the cars of the period, in the bins that changed most."""
    axes = empty_axes(_WIDTH, 0.9 + 0.55 * len(shifts))
    for offset, label, colour in ((0.2, "training", "#9aa5a1"), (-0.2, "now", "#1d6b52")):
        shares = [100 * (each.trained if label == "training" else each.now) for each in shifts]
        places = [-index + offset for index in range(len(shifts))]
        axes.barh(places, shares, height=0.38, color=colour, label=label)
    names = [each.label[:_LABEL_CHARS] for each in shifts]
    axes.set_yticks([-index for index in range(len(shifts))], names)
    axes.set_xlabel("Share of the cars (%)")
    axes.legend(frameon=False, fontsize="small")
    return png(axes)


def worst_fields(report: DriftReport, count: int) -> list[str]:
    """The fields with the largest PSI over the whole time, the largest first."""
    found = {name: psi.value for name, psi in report.whole.psi.items() if psi.value is not None}
    return sorted(found, key=lambda name: -found[name])[:count]

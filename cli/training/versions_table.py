"""The table of versions that `carprice models list` prints."""

from collections.abc import Sequence

from model_store.registry.manifest import ModelVersion
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _

_HEADER = (
    mark("VERSION"), mark("CREATED"), mark("DATA"), mark("LISTED"), mark("AS OF"), mark("ROWS"),
    mark("MEDIAN ERROR"), mark("COVERAGE 90"), mark("FOREST"), mark("TREES"), mark("NODES"),
)  # fmt: skip


def versions_table(versions: Sequence[ModelVersion], active: str | None) -> str:
    """The versions with their data and figures; the active one has a star."""
    return left_aligned([("", *map(_, _HEADER)), *(_row(each, active) for each in versions)])


def _row(version: ModelVersion, active: str | None) -> tuple[str, ...]:
    return (
        "*" if version.id == active else "",
        version.id,
        f"{version.created_at:%Y-%m-%d %H:%M}",
        _data(version),
        _period(version),
        version.data_as_of,
        str(version.training.get("rows", "-")),
        *_figures(version),
        version.estimator,
        str(version.tree_count),
        str(version.node_count),
    )


def _data(version: ModelVersion) -> str:
    """Name of the training data, and of what the version was recalibrated on."""
    name = str(version.training.get("name", "-"))
    facts = version.calibrated_on
    text = _("{name}, recalibrated: {other}")
    return name if facts is None else text.format(name=name, other=facts.get("name", "-"))


def _figures(version: ModelVersion) -> tuple[str, str]:
    """Median error and coverage; of a recalibrated version on the listings of its recalibration."""
    facts = version.calibrated_on
    median, coverage = (version.metrics.get(name) for name in ("median_ape", "coverage_90"))
    if facts is not None:
        median, coverage = facts.get("median_ape"), facts.get("coverage_after")
    return _percent(median, "{:.2f} %"), _percent(coverage, "{:.1%}")


def _period(version: ModelVersion) -> str:
    """First and last month of the training listings."""
    months = version.training.get("months")
    text = _("{first} to {last}")
    return text.format(first=months[0], last=months[1]) if months else "-"


def _percent(figure: float | None, form: str) -> str:
    return "-" if figure is None else form.format(figure)


def left_aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as text, in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )

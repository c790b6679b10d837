"""The plots of a model card as PNG files; equal predictions give equal bytes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from model_store.cards.languages import CardTexts
from model_store.figures import empty_axes, png
from model_store.training.card_predictions import MIN_GROUP_SIZE, CardPredictions, GroupMetrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE_INCHES = (7.2, 4.2)
_COLOUR = "#1d6b52"
_SECOND_COLOUR = "#b4532a"
_NOMINAL_90 = 90.0
_PRICE_AXIS_QUANTILES = (0.005, 0.995)
_MAX_GRID, _MIN_GRID = 40, 8
_MAX_FEATURES_SHOWN = 15
_TICKS = (1.0, 2.0, 5.0)


def predicted_against_actual(predictions: CardPredictions, texts: CardTexts) -> bytes:
    """Estimates against asking prices, as counts in hexagonal bins.

    Bins with fewer than `MIN_GROUP_SIZE` listings stay empty, so no single listing is visible.
    """
    axes = _axes(texts("axis-asked"), texts("axis-estimated"))
    rows = len(predictions.actual_mad)
    grid = int(np.clip(np.sqrt(rows) / 4, _MIN_GRID, _MAX_GRID))
    # The extremes are single listings: the axes exclude them.
    ends = np.quantile(predictions.actual_mad, _PRICE_AXIS_QUANTILES)
    hexagons = axes.hexbin(
        predictions.actual_mad,
        predictions.price_mad,
        gridsize=grid,
        extent=(*np.log10(ends), *np.log10(ends)),
        xscale="log",
        yscale="log",
        mincnt=MIN_GROUP_SIZE,
        bins="log",
        cmap="viridis",
        linewidths=0.2,
    )
    _format_price_axes(axes, texts)
    axes.plot(ends, ends, color=_SECOND_COLOUR, linewidth=1.2, label=texts("equal"))
    axes.legend(loc="upper left", frameon=False)
    axes.figure.colorbar(hexagons, ax=axes, label=texts("listings"))
    return png(axes)


def error_bars(groups: Sequence[GroupMetrics], x_label: str, texts: CardTexts) -> bytes:
    """Median absolute error of each group; `x_label` names a text."""
    axes = _axes(texts(x_label), texts("axis-error"))
    places = np.arange(len(groups))
    axes.bar(places, [group.median_ape for group in groups], color=_COLOUR)
    _label_groups(axes, groups, texts)
    return png(axes)


def coverage_points(groups: Sequence[GroupMetrics], x_label: str, texts: CardTexts) -> bytes:
    """Share of asking prices inside the 90 % interval, in each group; `x_label` names a text."""
    axes = _axes(texts(x_label), texts("axis-inside"))
    shares = [100 * group.coverage_90 for group in groups]
    axes.axhline(_NOMINAL_90, color=_SECOND_COLOUR, linewidth=1.2, label=texts("nominal"))
    axes.plot(np.arange(len(groups)), shares, "o-", color=_COLOUR, label=texts("measured"))
    axes.set_ylim(min([80.0, *shares]) - 2, 100)
    axes.legend(loc="lower right", frameon=False)
    _label_groups(axes, groups, texts)
    return png(axes)


def importance_bars(predictions: CardPredictions, texts: CardTexts) -> bytes:
    """Feature importances of the forest, the largest on top."""
    axes = _axes(texts("axis-weight"), "")
    ordered = sorted(predictions.importance.items(), key=lambda item: item[1])[
        -_MAX_FEATURES_SHOWN:
    ]
    axes.barh(
        [texts.column(name) for name, _ in ordered],
        [100 * weight for _, weight in ordered],
        color=_COLOUR,
    )
    axes.grid(visible=True, axis="x", alpha=0.3)
    return png(axes)


def _label_groups(axes: "Axes", groups: Sequence[GroupMetrics], texts: CardTexts) -> None:
    labels = [texts.group(group.label) for group in groups]
    axes.set_xticks(np.arange(len(groups)), labels, rotation=35)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right")
        label.set_rotation_mode("anchor")
    axes.grid(visible=True, axis="y", alpha=0.3)


def _format_price_axes(axes: "Axes", texts: CardTexts) -> None:
    """Tick labels of both logarithmic axes as 20,000 instead of 2 x 10^4."""
    from matplotlib import ticker  # noqa: PLC0415

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(ticker.LogLocator(subs=_TICKS))
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: texts.number(value)))
        axis.set_minor_formatter(ticker.NullFormatter())


def _axes(x_label: str, y_label: str) -> "Axes":
    """Empty axes with labels."""
    axes = empty_axes(*_SIZE_INCHES)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return axes

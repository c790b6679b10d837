"""Line charts of prices as SVG: places of lines, axes and labels in user units.

In a right-to-left page the chart is mirrored: its horizontal axis begins at the right.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from api.pages.language import page_language
from api.pages.typography import format_number
from shared.i18n.languages import direction

WIDTH, HEIGHT = 340, 212
"""Size of the drawing; about a pixel per unit at the narrowest."""
LEFT, RIGHT, TOP, BOTTOM = 64.0, 316.0, 26.0, 160.0
"""Borders of the lines; outside are the labels of the axes."""
TICK_GAP, LABEL_BASE, TITLE_BASE = 6.0, 177.0, 201.0
"""Distance of the price labels from the axis; base lines of the other labels."""
PRICE_TICKS = 4
"""Intervals of the price axis, about."""
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)


class Point(NamedTuple):
    """A price, and the interval around it."""

    at: float
    """Place on the horizontal axis."""
    price_mad: float
    low_mad: float | None = None
    high_mad: float | None = None


class Tick(NamedTuple):
    """A labelled place of the horizontal axis."""

    at: float
    label: str


def line_chart(
    points: Sequence[Point], ticks: Sequence[Tick], marked: Point | None = None
) -> dict[str, Any]:
    """The places of a line with its band, of the grid, and of the labels.

    Args:
        points: by increasing place; two or more.
        ticks: of the horizontal axis.
        marked: one more point, drawn by itself.
    """
    shown = [*points, marked] if marked else list(points)
    lowest = min(point.price_mad if point.low_mad is None else point.low_mad for point in shown)
    highest = max(point.price_mad if point.high_mad is None else point.high_mad for point in shown)
    prices = price_ticks(lowest, highest)
    first = min(point.at for point in shown)
    last = max(point.at for point in shown)
    is_mirrored = direction(page_language()) == "rtl"

    def across(at: float) -> float:
        share = (at - first) / max(last - first, 1e-9)
        x = LEFT + (RIGHT - LEFT) * share
        return round(WIDTH - x if is_mirrored else x, 1)

    def up(price_mad: float) -> float:
        share = (price_mad - prices[0]) / (prices[-1] - prices[0])
        return round(BOTTOM - (BOTTOM - TOP) * share, 1)

    banded = [one for one in points if one.low_mad is not None and one.high_mad is not None]
    highs = [(across(one.at), up(one.high_mad or 0)) for one in banded]
    lows = [(across(one.at), up(one.low_mad or 0)) for one in banded]
    label_at = LEFT - TICK_GAP
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "start": WIDTH - LEFT if is_mirrored else LEFT,
        "end": WIDTH - RIGHT if is_mirrored else RIGHT,
        "bottom": BOTTOM,
        "curve": _joined([(across(one.at), up(one.price_mad)) for one in points]),
        "band": _joined([*highs, *reversed(lows)]),
        "dots": [{"x": across(one.at), "y": up(one.price_mad)} for one in points],
        "marked": marked and {"x": across(marked.at), "y": up(marked.price_mad)},
        "prices": [{"y": up(price), "label": format_number(price)} for price in prices],
        "price_x": WIDTH - label_at if is_mirrored else label_at,
        "price_anchor": "start" if is_mirrored else "end",
        "ticks": [{"x": across(one.at), "label": one.label} for one in ticks],
        "label_y": LABEL_BASE,
        "title_x": round(WIDTH / 2, 1),
        "title_y": TITLE_BASE,
        "unit_x": WIDTH - 2.0 if is_mirrored else 2.0,
        "unit_anchor": "end" if is_mirrored else "start",
    }


def price_ticks(lowest: float, highest: float) -> list[float]:
    """Round prices from below the lowest to above the highest, equally spaced.

    >>> price_ticks(61_000, 117_000)
    [60000.0, 80000.0, 100000.0, 120000.0]
    """
    rough = max(highest - lowest, 0.02 * highest, 100.0) / PRICE_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(nice * power for nice in _NICE if nice * power >= rough)
    start = math.floor(lowest / step)
    end = max(math.ceil(highest / step), start + 1)
    return [number * step for number in range(start, end + 1)]


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)

"""Plots of the last minutes as SVG: a line with two axes."""

import dataclasses
from collections.abc import Callable, Sequence

WIDTH, HEIGHT = 340, 130
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 12, 24
MIN_POINTS = 2


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A line in a box of `WIDTH` times `HEIGHT`."""

    title: str
    lines: Sequence[str]
    """Coordinates of `polyline`; several, if values are missing in between."""
    top: str
    """The largest value of the vertical axis, written."""
    span: str
    """How long ago the horizontal axis begins, written."""
    last: str
    """The last value, written."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    upper: int = TOP
    lower: int = HEIGHT - BOTTOM


def make_plot(
    title: str,
    points: Sequence[tuple[float, float | None]],
    write: Callable[[float], str],
    write_span: Callable[[float], str],
) -> Plot | None:
    """A plot; None with fewer than two values.

    Args:
        title: what is plotted.
        points: how long ago, seconds, and the value, the oldest first.
        write: a value as text.
        write_span: a time as text.
    """
    values = [value for _, value in points if value is not None]
    if len(values) < MIN_POINTS:
        return None
    top, span = _round_up(max(values)), max(ago for ago, _ in points) or 1.0
    x_per_s, y_per_one = (WIDTH - LEFT - RIGHT) / span, (HEIGHT - TOP - BOTTOM) / top
    lines: list[list[str]] = [[]]
    for ago, value in points:
        if value is None:
            lines.append([])
            continue
        x, y = WIDTH - RIGHT - ago * x_per_s, HEIGHT - BOTTOM - value * y_per_one
        lines[-1].append(f"{x:.1f},{y:.1f}")
    return Plot(
        title=title,
        lines=[" ".join(line) for line in lines if line],
        top=write(top),
        span=write_span(span),
        last=write(values[-1]),
    )


def _round_up(value: float) -> float:
    """The next number with one digit that is 1, 2 or 5.

    >>> _round_up(0.03), _round_up(7), _round_up(0)
    (0.05, 10.0, 1.0)
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** len(str(int(value))) if value >= 1 else 1.0
    while power / 10 >= value:
        power /= 10
    for part in (5, 2):
        if power / part >= value:
            return power / part
    return power

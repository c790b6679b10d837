"""Axes of plots without pyplot's global state, and their PNG files."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 100


def empty_axes(width: float, height: float) -> "Axes":
    """Axes of a figure of this size in inches, without content."""
    # matplotlib takes half a second to import and is needed by few commands.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def png(axes: "Axes") -> bytes:
    """The figure as a PNG file; equal content gives equal bytes."""
    file = io.BytesIO()
    # Without matplotlib's version, so that the bytes depend on the content only.
    axes.figure.canvas.print_figure(file, format="png", metadata={"Software": None})
    return file.getvalue()

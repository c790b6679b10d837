"""The plots and the times of the operations dashboard."""

from collections.abc import Iterator

import pytest
from flask import Flask

from api.dashboard.plots import HEIGHT, LEFT, RIGHT, WIDTH, make_plot
from api.dashboard.texts import NONE, format_rate, format_share, format_span


@pytest.fixture
def request_context() -> Iterator[None]:
    """A request without a language: its page is French."""
    with Flask(__name__).test_request_context("/ops"):
        yield


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, NONE),
        (0, "0 ms"),
        (0.0004, "0,4 ms"),
        (0.25, "250 ms"),
        (3.2, "3,2 s"),
        (59.6, "60 s"),
        (300, "5 min"),
        (10_000, "3 h"),
        (400_000, "5 j"),
    ],
)
@pytest.mark.usefixtures("request_context")
def test_times_have_one_unit(seconds: float | None, shown: str) -> None:
    assert format_span(seconds) == shown


@pytest.mark.parametrize(
    ("per_s", "shown"), [(0, "0/s"), (0.02, "0,02/s"), (1.25, "1,2/s"), (1234, "1\u202f234/s")]
)
@pytest.mark.usefixtures("request_context")
def test_small_rates_have_decimals(per_s: float, shown: str) -> None:
    assert format_rate(per_s) == shown


@pytest.mark.usefixtures("request_context")
def test_a_share_is_a_percentage() -> None:
    assert (format_share(None), format_share(0.5)) == (NONE, "50\u202f%")


def test_a_plot_has_a_line_inside_of_its_axes() -> None:
    points = [(300.0, 1.0), (200.0, None), (100.0, 4.0), (0.0, 7.0)]
    plot = make_plot("t", points, "{:g}".format, "{:g} s".format)
    assert plot is not None
    assert (plot.top, plot.span, plot.last) == ("10", "300 s", "7")
    assert len(plot.lines) == 2  # a value is missing in between
    for x, y in (pair.split(",") for line in plot.lines for pair in line.split()):
        assert LEFT <= float(x) <= WIDTH - RIGHT
        assert 0 <= float(y) <= HEIGHT
    assert plot.lines[1].split()[-1].startswith(f"{WIDTH - RIGHT:.1f},")


@pytest.mark.parametrize("points", [[], [(0.0, 3.0)], [(9.0, None), (0.0, 3.0)]])
def test_one_value_makes_no_plot(points: list[tuple[float, float | None]]) -> None:
    assert make_plot("t", points, str, str) is None


def test_values_of_zero_make_a_flat_line() -> None:
    plot = make_plot("t", [(10.0, 0.0), (0.0, 0.0)], "{:g}".format, str)
    assert plot is not None
    assert plot.top == "1"

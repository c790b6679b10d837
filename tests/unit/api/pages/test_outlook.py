"""What the page shows of the depreciation curve and of comparable cars."""

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from api.pages.car.chart import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Point,
    Tick,
    line_chart,
    price_ticks,
)
from api.pages.car.outlook import build_comparable, build_mileages, build_outlook
from shared.domain.outlook import (
    Comparable,
    Depreciation,
    DepreciationPoint,
    DifferenceReason,
    Pace,
    SimilarityReason,
)
from shared.domain.typical import MileagePrice, TypicalCar
from shared.domain.valuation import Estimate
from tests.unit.api.pages.in_language import in_language

SHARES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)


def quantiles(price_mad: float) -> tuple[float, ...]:
    return tuple(price_mad * share for share in SHARES)


TODAY = Estimate(
    price_mad=100_000.0, quantiles_mad=quantiles(100_000.0), model_version="v", model_known=True
)


EMPTY = {"fuel": None, "transmission": None, "km_driven": None, "price_mad": 1.0}


def years_on(pace: Pace = Pace.OWN) -> Depreciation:
    prices = [90_000.0, 80_000.0, 80_000.0]
    return Depreciation(
        km_per_year=12_345,
        pace=pace,
        points=tuple(
            DepreciationPoint(
                years=number,
                km_driven=50_000 + 12_345 * number,
                price_mad=price,
                quantiles_mad=quantiles(price),
            )
            for number, price in enumerate(prices, start=1)
        ),
    )


@pytest.fixture(autouse=True)
def french() -> Iterator[None]:
    """The texts are those of a French page."""
    with in_language("fr"):
        yield


def places(points: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", points)]


def test_the_curve_starts_today_falls_and_stays_in_its_frame() -> None:
    view = build_outlook(TODAY, years_on(), 50_000)
    assert [year["when"] for year in view["years"]] == [
        "Aujourd'hui", "Dans 1 an", "Dans 2 ans", "Dans 3 ans",
    ]  # fmt: skip
    chart = view["chart"]
    curve = places(chart["curve"])
    assert (curve[0][0], curve[-1][0]) == (LEFT, RIGHT)
    heights = [y for _, y in curve]
    assert heights == sorted(heights), "down is more in a drawing"
    band = places(chart["band"])
    assert len(band) == 2 * len(curve)
    assert TOP <= min(y for _, y in band) < max(y for _, y in band) <= BOTTOM


def test_the_years_are_in_french_and_rounded() -> None:
    year = build_outlook(TODAY, years_on(), 50_000)["years"][1]
    assert (year["kilometres"], year["price"]) == ("62\u202f300\u00a0km", "90\u202f000\u00a0MAD")
    assert year["interval"] == "63\u202f000\u00a0MAD à 117\u202f000\u00a0MAD"


def test_the_pace_is_named_as_own_or_of_the_market() -> None:
    own, market = (build_outlook(TODAY, years_on(pace), 1)["pace"] for pace in Pace)
    assert own == "au même rythme qu'aujourd'hui, 12\u202f300\u00a0km par an"
    assert market.startswith("au rythme habituel du marché")


def test_a_comparable_shows_its_similarities_differences_and_number_of_listings() -> None:
    typical = Comparable(
        company="mercedes benz",
        model="classe c",
        year_from=2016,
        year_to=2018,
        km_driven=120_049,
        fuel="Diesel",
        transmission="Automatic",
        price_mad=251_049.0,
        listings=27,
        distance=0.4,
        alike=(SimilarityReason.MODEL, SimilarityReason.NEAR_YEAR, SimilarityReason.FUEL),
        differs=(DifferenceReason.TRANSMISSION, DifferenceReason.MORE_KM),
    )
    view = build_comparable(typical)
    assert view["name"] == "Mercedes-Benz Classe C de 2016 à 2018"
    assert view["facts"] == "120\u202f000\u00a0km · Diesel · automatique"
    assert view["alike"] == "même modèle, année proche"
    assert view["differs"] == "autre boîte de vitesses, plus de kilomètres"
    assert (view["price"], view["listings"]) == ("251\u202f000\u00a0MAD", "27 annonces")


def test_without_kilometres_today_has_those_from_which_the_forecast_starts() -> None:
    view = build_outlook(TODAY, years_on(), None)
    assert view["years"][0]["kilometres"] == "50\u202f000\u00a0km"


def test_the_price_axis_has_round_prices_around_the_band() -> None:
    chart = build_outlook(TODAY, years_on(), 50_000)["chart"]
    assert [one["label"] for one in chart["prices"]] == [
        "40\u202f000", "60\u202f000", "80\u202f000", "100\u202f000", "120\u202f000", "140\u202f000",
    ]  # fmt: skip
    heights = [one["y"] for one in chart["prices"]]
    assert (heights[0], heights[-1]) == (BOTTOM, TOP)
    assert [one["label"] for one in chart["ticks"]] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("lowest", "highest"),
    [(0.0, 0.0), (1.0, 1.0), (99_999.0, 100_001.0), (1e6, 9e8), (61e3, 117e3)],
)
def test_any_prices_have_an_axis_that_holds_them(lowest: float, highest: float) -> None:
    ticks = price_ticks(lowest, highest)
    assert ticks[0] <= lowest <= highest <= ticks[-1]
    assert 2 <= len(ticks) <= 8
    assert len({round(b - a, 6) for a, b in pairwise(ticks)}) == 1


def test_a_right_to_left_chart_is_mirrored() -> None:
    points, ticks = [Point(0, 100.0), Point(1, 90.0)], [Tick(0, "0"), Tick(1, "1")]
    left = line_chart(points, ticks)
    with in_language("ar"):
        right = line_chart(points, ticks)
    for one, other in zip(left["ticks"], right["ticks"], strict=True):
        assert other["x"] == pytest.approx(WIDTH - one["x"])
    assert (left["price_anchor"], right["price_anchor"]) == ("end", "start")
    assert right["price_x"] > right["start"] > right["end"]


def test_the_car_lies_on_the_line_of_its_price_by_kilometres() -> None:
    curve = tuple(MileagePrice(km, 120_000.0 - km / 10) for km in range(20_000, 180_000, 20_000))
    typical = TypicalCar(
        fuel="Diesel", transmission="Manual", km_driven=90_000, price_mad=1.0, mileages=curve
    )
    view = build_mileages(TODAY, typical, 70_000)
    assert view is not None
    own = view["chart"]["marked"]
    assert (own["x"], own["y"]) in places(view["chart"]["curve"])
    assert len(view["rows"]) == len(curve), "the table has the round kilometres"
    without = build_mileages(TODAY, typical, None)
    assert without
    assert without["is_marked"] is False
    assert build_mileages(TODAY, TypicalCar(**EMPTY), 70_000) is None

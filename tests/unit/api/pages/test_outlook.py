"""What the page shows of the depreciation curve and of comparable cars."""

import re

from api.pages.car.outlook import BOTTOM, LEFT, RIGHT, TOP, build_comparable, build_outlook
from shared.domain.outlook import (
    Comparable,
    Depreciation,
    DepreciationPoint,
    DifferenceReason,
    Pace,
    SimilarityReason,
)
from shared.domain.valuation import Estimate

SHARES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)


def quantiles(price_mad: float) -> tuple[float, ...]:
    return tuple(price_mad * share for share in SHARES)


TODAY = Estimate(
    price_mad=100_000.0, quantiles_mad=quantiles(100_000.0), model_version="v", model_known=True
)


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


def places(points: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", points)]


def test_the_curve_starts_today_falls_and_stays_in_its_frame() -> None:
    view = build_outlook(TODAY, years_on(), 50_000)
    assert [year["when"] for year in view["years"]] == [
        "Aujourd'hui", "Dans 1 an", "Dans 2 ans", "Dans 3 ans",
    ]  # fmt: skip
    curve = places(view["curve"])
    assert (curve[0][0], curve[-1][0]) == (LEFT, RIGHT)
    heights = [y for _, y in curve]
    assert heights == sorted(heights), "down is more in a drawing"
    band = places(view["band"])
    assert len(band) == 2 * len(curve)
    assert (min(y for _, y in band), max(y for _, y in band)) == (TOP, BOTTOM)


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
    assert view["name"] == "Mercedes-Benz Classe C 2016 à 2018"
    assert view["facts"] == "120\u202f000\u00a0km · Diesel · automatique"
    assert view["alike"] == "même modèle, année proche"
    assert view["differs"] == "autre boîte de vitesses, plus de kilomètres"
    assert (view["price"], view["listings"]) == ("251\u202f000\u00a0MAD", "27\u00a0annonces")


def test_without_kilometres_today_has_those_from_which_the_forecast_starts() -> None:
    view = build_outlook(TODAY, years_on(), None)
    assert view["years"][0]["kilometres"] == "50\u202f000\u00a0km"

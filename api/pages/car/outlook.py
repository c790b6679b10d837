"""What the page shows of the depreciation curve and of the comparable cars."""

from collections.abc import Sequence
from typing import Any

from api.pages.typography import NO_BREAK_SPACE, format_number, format_price
from shared.domain.outlook import (
    Comparable,
    Depreciation,
    DifferenceReason,
    Pace,
    SimilarityReason,
)
from shared.domain.valuation import Estimate, interval_of
from shared.fields.spellings import FRENCH_CHOICES
from shared.vehicles.names import display_names

WIDTH, HEIGHT = 340, 150
"""Size of the SVG drawing, user units."""
LEFT, RIGHT, TOP, BOTTOM = 14.0, 326.0, 8.0, 122.0
"""Borders of the curve, user units."""

PACES = {
    Pace.OWN: "au même rythme qu'aujourd'hui",
    Pace.MARKET: "au rythme habituel du marché",
}
LIKENESSES = {
    SimilarityReason.MODEL: "même modèle",
    SimilarityReason.COMPANY: "même marque",
    SimilarityReason.YEAR: "même année",
    SimilarityReason.NEAR_YEAR: "année proche",
    SimilarityReason.KM: "kilométrage proche",
    SimilarityReason.PRICE: "prix proche",
}
"""Reasons of similarity that are shown; fuel and gearbox are shown in any case."""
DIFFERENCES = {
    DifferenceReason.FUEL: "autre carburant",
    DifferenceReason.TRANSMISSION: "autre boîte de vitesses",
    DifferenceReason.OLDER: "plus ancienne",
    DifferenceReason.NEWER: "plus récente",
    DifferenceReason.FEWER_KM: "moins de kilomètres",
    DifferenceReason.MORE_KM: "plus de kilomètres",
    DifferenceReason.CHEAPER: "moins chère",
    DifferenceReason.DEARER: "plus chère",
}


def build_outlook(
    estimate: Estimate, depreciation: Depreciation, km_driven: int | None
) -> dict[str, Any]:
    """The drawing and the table of the next years; the first entry of `years` is today.

    Args:
        estimate: of today.
        depreciation: of the next years.
        km_driven: odometer of today, km; None: that of usual cars.
    """
    if km_driven is None:
        first = depreciation.points[0]
        km_driven = first.km_driven - first.years * depreciation.km_per_year
    numbers = [0, *(point.years for point in depreciation.points)]
    kilometres = [km_driven, *(point.km_driven for point in depreciation.points)]
    prices = [estimate.price_mad, *(point.price_mad for point in depreciation.points)]
    rows = [estimate.quantiles_mad, *(point.quantiles_mad for point in depreciation.points)]
    intervals = [interval_of(row) for row in rows]
    bottom = min(interval.low_mad for interval in intervals)
    top = max(interval.high_mad for interval in intervals)

    def across(years: int) -> float:
        return round(LEFT + (RIGHT - LEFT) * years / numbers[-1], 1)

    def up(price_mad: float) -> float:
        share = (price_mad - bottom) / max(top - bottom, 1.0)
        return round(BOTTOM - (BOTTOM - TOP) * share, 1)

    highs = [(across(n), up(one.high_mad)) for n, one in zip(numbers, intervals, strict=True)]
    lows = [(across(n), up(one.low_mad)) for n, one in zip(numbers, intervals, strict=True)]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "pace": f"{PACES[depreciation.pace]}, {_km(depreciation.km_per_year)} par an",
        "years": [
            {
                "when": "Aujourd'hui" if count == 0 else f"Dans {_years(count)}",
                "short": "Auj." if count == 0 else f"+{count}",
                "kilometres": _km(km),
                "price": format_price(price),
                "interval": f"{format_price(interval.low_mad)} à {format_price(interval.high_mad)}",
                "x": across(count),
                "y": up(price),
            }
            for count, km, price, interval in zip(
                numbers, kilometres, prices, intervals, strict=True
            )
        ],
        "curve": _points(
            [(across(n), up(price)) for n, price in zip(numbers, prices, strict=True)]
        ),
        "band": _points([*highs, *reversed(lows)]),
    }


def build_comparable(one: Comparable) -> dict[str, str]:
    """The texts of a comparable car."""
    years = str(one.year_from)
    if one.year_to != one.year_from:
        years = f"{one.year_from} à {one.year_to}"
    facts = [_km(one.km_driven), FRENCH_CHOICES[one.fuel], FRENCH_CHOICES[one.transmission].lower()]
    return {
        "name": " ".join((*display_names(one.company, one.model), years)),
        "facts": " · ".join(facts),
        "alike": ", ".join(LIKENESSES[each] for each in one.alike if each in LIKENESSES),
        "differs": ", ".join(DIFFERENCES[each] for each in one.differs),
        "price": format_price(one.price_mad),
        "listings": f"{format_number(one.listings)}{NO_BREAK_SPACE}annonces",
    }


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _years(count: int) -> str:
    return f"{count} an{'s' if count > 1 else ''}"


def _km(kilometres: int) -> str:
    """Kilometres rounded to the nearest hundred, the precision of forecasts and typical values."""
    return f"{format_number(round(kilometres, -2))}{NO_BREAK_SPACE}km"

"""What the page shows of other prices: in the next years, at other kilometres, of other cars."""

from typing import Any

from api.pages.car.chart import Point, Tick, line_chart
from api.pages.car.reading import format_value
from api.pages.language import gettext as _
from api.pages.language import ngettext, page_language
from api.pages.typography import format_number, format_price
from shared.domain.outlook import (
    Comparable,
    Depreciation,
    DifferenceReason,
    Pace,
    SimilarityReason,
)
from shared.domain.typical import TypicalCar
from shared.domain.valuation import Estimate, interval_of
from shared.i18n.catalogue import mark
from shared.i18n.numbers import COMMA
from shared.vehicles.names import display_names

PACES = {
    Pace.OWN: mark("driven as much as so far, {distance} a year"),
    Pace.MARKET: mark("driven as is usual in the market, {distance} a year"),
}
LIKENESSES = {
    SimilarityReason.MODEL: mark("same model"),
    SimilarityReason.COMPANY: mark("same brand"),
    SimilarityReason.YEAR: mark("same year"),
    SimilarityReason.NEAR_YEAR: mark("near year"),
    SimilarityReason.KM: mark("near mileage"),
    SimilarityReason.PRICE: mark("near price"),
}
"""Reasons of similarity that are shown; fuel and gearbox are shown in any case."""
DIFFERENCES = {
    DifferenceReason.FUEL: mark("another fuel"),
    DifferenceReason.TRANSMISSION: mark("another gearbox"),
    DifferenceReason.OLDER: mark("older"),
    DifferenceReason.NEWER: mark("newer"),
    DifferenceReason.FEWER_KM: mark("fewer kilometres"),
    DifferenceReason.MORE_KM: mark("more kilometres"),
    DifferenceReason.CHEAPER: mark("cheaper"),
    DifferenceReason.DEARER: mark("dearer"),
}
KM_TICKS = 4
"""Labels of the mileage axis."""


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
    rows = [(0, km_driven, estimate.price_mad, estimate.quantiles_mad)]
    rows += [
        (one.years, one.km_driven, one.price_mad, one.quantiles_mad) for one in depreciation.points
    ]
    points = []
    for years, _km_then, price, quantiles in rows:
        interval = interval_of(quantiles)
        points.append(Point(years, price, interval.low_mad, interval.high_mad))
    pace = _(PACES[depreciation.pace])
    return {
        "pace": pace.format(distance=_distance(depreciation.km_per_year)),
        "chart": line_chart(points, [Tick(row[0], format_number(row[0])) for row in rows]),
        "years": [
            {
                "when": _when(years),
                "kilometres": _distance(km),
                "price": format_price(price),
                "interval": _range(point),
            }
            for (years, km, price, _quantiles), point in zip(rows, points, strict=True)
        ],
    }


def build_mileages(
    estimate: Estimate, typical: TypicalCar, km_driven: int | None
) -> dict[str, Any] | None:
    """The drawing and the table of the price by kilometres; None without kilometres."""
    if len(typical.mileages) <= 1:
        return None
    points = [Point(one.km_driven, one.price_mad) for one in typical.mileages]
    every = max(len(points) // KM_TICKS, 1)
    ticks = [Tick(one.at, format_number(one.at)) for one in points[every - 1 :: every]]
    own = None if km_driven is None else Point(km_driven, estimate.price_mad)
    if own is not None:
        # The line goes through the car.
        points = sorted({point.at: point for point in (*points, own)}.values())
    return {
        "chart": line_chart(points, ticks, own),
        "is_marked": own is not None,
        "rows": [
            {"kilometres": _distance(one.km_driven), "price": format_price(one.price_mad)}
            for one in typical.mileages
        ],
    }


def build_comparable(one: Comparable) -> dict[str, str]:
    """The texts of a comparable car."""
    years = str(one.year_from)
    if one.year_to != one.year_from:
        years = _("{first} to {last}").format(first=one.year_from, last=one.year_to)
    gearbox = format_value("transmission", one.transmission)
    facts = [
        _distance(one.km_driven),
        format_value("fuel", one.fuel),
        gearbox[:1].lower() + gearbox[1:],
    ]
    listings = ngettext("{number} listing", "{number} listings", one.listings)
    return {
        "name": " ".join((*display_names(one.company, one.model), years)),
        "facts": " · ".join(facts),
        "alike": COMMA[page_language()].join(
            _(LIKENESSES[each]) for each in one.alike if each in LIKENESSES
        ),
        "differs": COMMA[page_language()].join(_(DIFFERENCES[each]) for each in one.differs),
        "price": format_price(one.price_mad),
        "listings": listings.format(number=format_number(one.listings)),
    }


def _when(years: int) -> str:
    if years == 0:
        return _("Today")
    return ngettext("In {number} year", "In {number} years", years).format(number=years)


def _range(point: Point) -> str:
    low, high = format_price(point.low_mad or 0), format_price(point.high_mad or 0)
    return _("{low} to {high}").format(low=low, high=high)


def _distance(kilometres: int) -> str:
    """Kilometres rounded to the nearest hundred, the precision of forecasts and typical values."""
    return format_value("km_driven", round(kilometres, -2))

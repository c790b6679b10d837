"""The self-test of a version: cars whose prices are stored and checked before it serves."""

from collections.abc import Callable, Sequence

from model_store.registry.manifest import ModelVersion, SelfTestCase
from shared.domain.car import CarFeatures, Condition, Fuel, Origin, Owner, SellerType, Transmission
from shared.domain.errors import ModelRefused
from shared.i18n.command import gettext as _

TOLERANCE = 1e-4
"""Largest relative difference of a price; processors may round a logarithm differently."""

Prices = Callable[[Sequence[CarFeatures]], Sequence[float]]

SELF_TEST_CARS: tuple[CarFeatures, ...] = (
    CarFeatures(
        company="dacia",
        model="logan",
        year=2018,
        fuel=Fuel.DIESEL,
        transmission=Transmission.MANUAL,
        km_driven=120_000,
        fiscal_power_cv=6,
    ),
    CarFeatures(
        company="toyota",
        model="corolla",
        year=2020,
        fuel=Fuel.PETROL,
        transmission=Transmission.MANUAL,
        km_driven=25_000,
        seller_type=SellerType.INDIVIDUAL,
        engine_cc=1600.0,
        max_power_bhp=120.0,
    ),
    CarFeatures(
        company="mercedes benz",
        model="c class",
        year=2013,
        fuel=Fuel.DIESEL,
        transmission=Transmission.AUTOMATIC,
        km_driven=185_000,
        edition="avantgarde",
        owner=Owner.SECOND,
        fiscal_power_cv=8,
        city="casablanca",
        condition=Condition.VERY_GOOD,
        origin=Origin.WW_MOROCCO,
        doors=5,
    ),
    CarFeatures(
        company="a brand that nobody knows",
        model="nor this model",
        year=2009,
        fuel=Fuel.HYBRID,
        transmission=Transmission.AUTOMATIC,
        km_driven=240_000,
    ),
    CarFeatures(company="renault", model="clio", year=2017, transmission=Transmission.MANUAL),
    CarFeatures(company="volkswagen", model="golf", year=2015, km_driven=160_000),
)
"""Few and many details, known and unknown, complete and not: together they run every path."""


def expected_prices(prices: Prices) -> tuple[SelfTestCase, ...]:
    """The cases for a new version's manifest."""
    return tuple(
        SelfTestCase(car=car, price_mad=price)
        for car, price in zip(SELF_TEST_CARS, prices(SELF_TEST_CARS), strict=True)
    )


def check_prices(version: ModelVersion, prices: Prices) -> None:
    """Value the manifest's cars and compare the prices.

    Raises:
        ModelRefused: the manifest has no cases, or a price differs.
    """
    if not version.self_test:
        raise ModelRefused(version=version.id, reason=_("the manifest has no self-test"))
    found = prices([case.car for case in version.self_test])
    for case, price in zip(version.self_test, found, strict=True):
        # `not <=` instead of `>`: NaN must fail.
        if not abs(price - case.price_mad) <= TOLERANCE * case.price_mad:
            reason = _(
                "self-test: {company} {model} is priced {price} MAD, the manifest says {price_mad}"
            ).format(
                company=case.car.company,
                model=case.car.model,
                price=f"{price:.2f}",
                price_mad=f"{case.price_mad:.2f}",
            )
            raise ModelRefused(version=version.id, reason=reason)

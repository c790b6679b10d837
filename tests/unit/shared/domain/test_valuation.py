"""Estimates answer intervals, percentiles and verdicts without the forest."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.outlook import (
    Comparable,
    Depreciation,
    DepreciationPoint,
    DifferenceReason,
    Pace,
    SimilarityReason,
)
from shared.domain.valuation import (
    COVERAGES,
    QUANTILE_LEVELS,
    Contribution,
    Estimate,
    Explanation,
    VerdictPosition,
)

QUANTILES = (70e3, 75e3, 80e3, 90e3, 100e3, 110e3, 125e3, 133e3, 142e3)
ESTIMATE = Estimate(
    price_mad=100_000.0, quantiles_mad=QUANTILES, model_version="v1", model_known=True
)


@pytest.mark.parametrize(
    ("coverage", "low", "high"),
    [(0.5, 90e3, 110e3), (0.8, 80e3, 125e3), (0.9, 75e3, 133e3), (0.95, 70e3, 142e3)],
)
def test_each_coverage_is_a_symmetric_pair_of_quantiles(coverage, low, high):
    interval = ESTIMATE.interval(coverage)
    assert (interval.low_mad, interval.high_mad, interval.coverage) == (low, high, coverage)


def test_a_coverage_that_no_pair_of_quantiles_gives_is_refused():
    with pytest.raises(ValueError, match="coverage must be one of"):
        ESTIMATE.interval(0.7)


def test_every_documented_coverage_is_available():
    assert [ESTIMATE.interval(coverage).coverage for coverage in COVERAGES] == list(COVERAGES)


@pytest.mark.parametrize(
    ("price", "percentile"), [(90e3, 25.0), (100e3, 50.0), (1.0, 2.5), (10e6, 97.5), (75e3, 5.0)]
)
def test_a_percentile_at_a_quantile_is_its_level_and_stays_within_what_is_known(price, percentile):
    assert ESTIMATE.percentile(price) == percentile


@given(st.floats(1e3, 1e6), st.floats(1e3, 1e6))
def test_a_higher_price_never_has_a_lower_percentile(one, other):
    low, high = sorted((one, other))
    assert ESTIMATE.percentile(low) <= ESTIMATE.percentile(high)


def test_equal_neighbouring_quantiles_do_not_divide_by_zero():
    flat = Estimate(
        price_mad=5.0, quantiles_mad=(5.0,) * len(QUANTILE_LEVELS), model_version="v", model_known=1
    )
    assert flat.percentile(5.0) in {2.5, 97.5}


@pytest.mark.parametrize(
    ("asking", "position"),
    [
        (89_999, VerdictPosition.BELOW),
        (90_000, VerdictPosition.FAIR),
        (110_000, VerdictPosition.FAIR),
        (110_001, VerdictPosition.ABOVE),
    ],
)
def test_an_asking_price_is_fair_within_the_central_half_of_the_market(asking, position):
    verdict = ESTIMATE.verdict(asking)
    assert verdict.position is position
    assert verdict.difference_mad == asking - 100_000


DEPRECIATION = Depreciation(
    km_per_year=2,
    pace=Pace.MARKET,
    points=(DepreciationPoint(years=1, km_driven=2, price_mad=1.0, quantiles_mad=QUANTILES),),
)
COMPARABLE = Comparable(
    company="dacia",
    model="logan",
    year_from=2018,
    year_to=2019,
    km_driven=90_000,
    fuel="Diesel",
    transmission="Manual",
    price_mad=80_000.0,
    listings=12,
    distance=0.5,
    alike=(SimilarityReason.MODEL, SimilarityReason.PRICE),
    differs=(DifferenceReason.FUEL,),
)


@pytest.mark.parametrize("with_extras", [False, True])
def test_an_estimate_survives_the_wire(with_extras):
    estimate = Estimate(
        price_mad=1.5,
        quantiles_mad=QUANTILES,
        model_version="v",
        model_known=False,
        explanation=Explanation(
            base_mad=1.0,
            contributions=(Contribution(feature="year", value=2020, effect_mad=0.5),),
            averages={"year": 2014.5},
        )
        if with_extras
        else None,
        depreciation=DEPRECIATION if with_extras else None,
        comparables=(COMPARABLE,) if with_extras else None,
    )
    assert Estimate.from_wire(estimate.to_wire()) == estimate


def test_effects_of_fields_without_a_value_of_an_older_version_are_in_the_base():
    wire = ESTIMATE.to_wire()
    wire[4] = [1.0, [["year", 2020, 0.5], ["condition", None, 11_400.25]]]
    assert Estimate.from_wire(wire).explanation == Explanation(
        base_mad=11_401.25, contributions=(Contribution("year", 2020, 0.5),)
    )


def test_that_nothing_is_comparable_survives_the_wire():
    alone = dataclasses.replace(ESTIMATE, comparables=())
    assert Estimate.from_wire(alone.to_wire()).comparables == ()

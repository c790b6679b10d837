"""A loaded model computes estimates and explanations."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.explain.contributions import shapley_values_mad
from model_store.pricing.error_growth import REFERENCE_GROWTH
from model_store.pricing.inference import LoadedModel
from model_store.registry.self_test import SELF_TEST_CARS
from shared.domain.car import FIELD_NAMES, CarFeatures, Condition, Fuel, Origin
from shared.domain.clock import month_number
from shared.domain.valuation import COVERAGES, QUANTILE_LEVELS
from tests.unit.model_store import small_models

MANY = small_models.random_cars(120, seed=3)
EVERY_KIND = [*SELF_TEST_CARS, *MANY[:12]]


def company_is_unpriced(model: LoadedModel) -> bool:
    """Whether the model has no effects of brands."""
    return not model.encoder.ordinal_encoder.vocabularies["company"]


def as_columns(cars: list[CarFeatures]) -> dict[str, list[Any]]:
    return {name: [getattr(car, name) for car in cars] for name in FIELD_NAMES}


def test_no_cars_give_no_estimates(model: LoadedModel) -> None:
    assert model.estimate([]) == []


def test_the_price_is_to_the_cent_and_lies_inside_every_interval(model: LoadedModel) -> None:
    for estimate in model.estimate(MANY):
        assert estimate.price_mad == round(estimate.price_mad, 2)
        assert list(estimate.quantiles_mad) == sorted(estimate.quantiles_mad)
        assert len(estimate.quantiles_mad) == len(QUANTILE_LEVELS)
        for interval in map(estimate.interval, COVERAGES):
            assert interval.low_mad <= estimate.price_mad <= interval.high_mad


def test_a_car_has_the_same_estimate_alone_and_in_any_group(model: LoadedModel) -> None:
    together = model.estimate(MANY)
    assert [model.estimate([car])[0] for car in MANY] == together
    assert model.estimate(MANY[:7]) + model.estimate(MANY[7:]) == together


def test_columns_are_valued_as_cars_are(model: LoadedModel) -> None:
    table = model.estimate_columns(as_columns(EVERY_KIND), len(EVERY_KIND))
    estimates = model.estimate(EVERY_KIND)
    assert table.price_mad.tolist() == [each.price_mad for each in estimates]
    assert [tuple(row) for row in table.quantiles_mad.tolist()] == [
        each.quantiles_mad for each in estimates
    ]
    assert table.model_known.tolist() == [each.model_known for each in estimates]


def test_an_estimate_holds_plain_values_and_names_its_version(model: LoadedModel) -> None:
    (estimate,) = model.estimate(MANY[:1])
    assert type(estimate.price_mad) is float
    assert type(estimate.model_known) is bool
    assert {type(price) for price in estimate.quantiles_mad} == {float}
    assert estimate.model_version == model.version.id


def test_an_unknown_model_is_priced_and_marked_as_unknown(model: LoadedModel) -> None:
    stranger = dataclasses.replace(MANY[0], company="nobody", model="knows")
    known, unknown = model.estimate([MANY[0], stranger])
    assert (known.model_known, unknown.model_known) == (True, False)
    assert unknown.price_mad > 0


def test_prices_of_extreme_cars_are_finite(model: LoadedModel) -> None:
    absurd = dataclasses.replace(
        MANY[0], year=1, km_driven=10**12, fiscal_power_cv=10**6, engine_cc=1e300
    )
    prices = model.estimate([absurd])[0].quantiles_mad
    assert all(math.isfinite(price) and price >= 1.0 for price in prices)


@pytest.mark.parametrize("car", EVERY_KIND, ids=range(len(EVERY_KIND)))
def test_base_and_contributions_sum_to_the_price_to_the_cent(
    model: LoadedModel, car: CarFeatures
) -> None:
    explanation = model.explain(car)
    total = explanation.base_mad + sum(each.effect_mad for each in explanation.contributions)
    assert round(total, 2) == model.estimate([car])[0].price_mad


def test_contributions_have_the_names_and_values_of_the_cars_fields(model: LoadedModel) -> None:
    car = MANY[0]
    contributions = model.explain(car).contributions
    names = [each.feature for each in contributions]
    assert {"year", "km_driven"} <= set(names) <= set(FIELD_NAMES)
    assert len(set(names)) == len(names)
    assert [each.value for each in contributions] == [getattr(car, name) for name in names]
    assert {type(each.value) for each in contributions} <= {str, int, float, type(None)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("condition", Condition.DAMAGED),
        ("origin", Origin.NOT_CUSTOMS_CLEARED),
        ("fuel", Fuel.CNG),
        ("city", "zagora"),
        ("model", "zorglub"),
        ("company", "nobody"),
    ],
)
def test_a_value_that_training_has_not_seen_is_no_reason(
    model: LoadedModel, field: str, value: str
) -> None:
    """A damaged car was told that its condition raises the price: priced as not stated."""
    car = dataclasses.replace(MANY[0], **{field: value})
    found = model.explain(car)
    assert field not in {one.feature for one in found.contributions}
    total = found.base_mad + sum(one.effect_mad for one in found.contributions)
    assert round(total, 2) == model.estimate([car])[0].price_mad


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("condition", Condition.DAMAGED), ("origin", Origin.NOT_CUSTOMS_CLEARED),
        ("city", "zagora"), ("edition", "tdi 150"), ("engine_cc", 1968.0), ("doors", 3),
        ("max_power_bhp", 400.0), ("torque_nm", 320.0), ("mileage_mpg", 60.0),
    ],
)  # fmt: skip
def test_a_value_without_an_effect_is_named_and_leaves_the_price(
    model: LoadedModel, field: str, value: Any
) -> None:
    """A Golf with 400 bhp, any trim and any city had the price of a bare one, without a word."""
    stated = dataclasses.replace(MANY[0], **{field: value})
    bare, found = model.estimate([dataclasses.replace(MANY[0], **{field: None}), stated])
    assert field in found.unpriced
    assert field not in bare.unpriced
    assert found.quantiles_mad == bare.quantiles_mad


def test_no_reason_of_a_price_is_said_to_have_no_effect(model: LoadedModel) -> None:
    for car, estimate in zip(EVERY_KIND, model.estimate(EVERY_KIND), strict=True):
        reasons = {one.feature for one in model.explain(car).contributions}
        # A brand that is not in the data may be known by its class.
        assert reasons.isdisjoint(set(estimate.unpriced) - {"company"})


def test_an_unknown_brand_is_told_from_an_unknown_model(model: LoadedModel) -> None:
    names = [("bmw", "x5"), ("bmw", "zorglub"), ("zorglub", "x1")]
    cars = [dataclasses.replace(MANY[0], company=one, model=two) for one, two in names]
    found = model.estimate(cars)
    assert [("company" in one.unpriced, one.model_known) for one in found] == [
        (False, True), (company_is_unpriced(model), False), (True, False)
    ]  # fmt: skip


def test_estimates_state_the_age_that_their_widths_stand_for(model: LoadedModel) -> None:
    """Data that are five months older than their newest month widen the intervals earlier."""
    month = month_number(model.version.data_as_of) + 9
    late = dataclasses.replace(model, calibration=dataclasses.replace(
        model.calibration, growth=dataclasses.replace(REFERENCE_GROWTH, lag_months=5)
    ))  # fmt: skip
    assert late.estimate(MANY[:1], month=month)[0].width_age_months == 14


def test_the_largest_contributions_come_first_and_none_is_zero(model: LoadedModel) -> None:
    sizes = [abs(each.effect_mad) for each in model.explain(MANY[0]).contributions]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) > 0


def test_contributions_on_the_log_scale_are_the_baselines_and_the_forests(
    model: LoadedModel,
) -> None:
    """A field that only the baseline uses contributes exactly its effect in the baseline."""
    car = MANY[0]
    intercept, effects = model.encoder.baseline_effects(model.encoder.code([car]))
    encoded = model.encoder.encode([car])
    assert intercept + effects.sum() == pytest.approx(encoded.baseline_log[0])
    explanation = model.explain(car)
    reasons = {one.feature for one in explanation.contributions}
    others = [
        effect
        for field, effect in zip(model.encoder.effect_fields, effects[0], strict=True)
        if field not in reasons
    ]
    for feature, effect in zip(
        model.encoder.feature_names, model._tree_shap.explain(encoded.matrix[0]), strict=True
    ):
        fields = model.encoder.feature_fields[feature]
        others += [effect / len(fields) for field in fields if field not in reasons]
    base_log = intercept + model._tree_shap.base + math.fsum(others)
    # The base includes the rounding differences: at most half a cent per contribution.
    assert explanation.base_mad == pytest.approx(math.exp(base_log), abs=0.1)


@given(st.floats(5, 14), st.lists(st.floats(-2, 2), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_shares_in_mad_are_shapley_values_of_a_product(
    base_log: float, effects: list[float]
) -> None:
    orders = list(itertools.permutations(range(len(effects))))
    expected = np.zeros(len(effects))
    for order in orders:
        price = math.exp(base_log)
        for player in order:
            expected[player] += price * (math.exp(effects[player]) - 1) / len(orders)
            price *= math.exp(effects[player])
    found = shapley_values_mad(base_log, effects)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)
    total = math.exp(base_log + sum(effects)) - math.exp(base_log)
    assert found.sum() == pytest.approx(total, rel=1e-9, abs=1e-6)


def test_prices_do_not_depend_on_the_month_and_intervals_do(model: LoadedModel) -> None:
    data = month_number(model.version.data_as_of)
    table = [model.estimate(MANY, month=data + age) for age in (-3, 0, 12, 30)]
    for before, new, horizon, old in zip(*table, strict=True):
        assert before.price_mad == new.price_mad == horizon.price_mad == old.price_mad
        assert before.quantiles_mad == new.quantiles_mad == horizon.quantiles_mad
        assert old.interval().low_mad < new.interval().low_mad
        assert new.interval().high_mad < old.interval().high_mad
        assert old.month == data + 30


def test_columns_have_the_same_intervals_as_single_cars_in_every_month(model: LoadedModel) -> None:
    for age in (0, 20):
        month = month_number(model.version.data_as_of) + age
        table = model.estimate_columns(as_columns(EVERY_KIND), len(EVERY_KIND), month=month)
        alone = [model.estimate([car], month=month)[0].quantiles_mad for car in EVERY_KIND]
        assert [tuple(row) for row in table.quantiles_mad.tolist()] == alone


def test_without_a_month_the_current_one_counts(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = month_number(model.version.data_as_of) + 40
    monkeypatch.setattr("model_store.pricing.inference.current_month", lambda: month)
    (now,) = model.estimate(MANY[:1])
    assert now == model.estimate(MANY[:1], month=month)[0]
    row = model.estimate_columns(as_columns(MANY[:1]), 1).quantiles_mad[0]
    assert tuple(row.tolist()) == now.quantiles_mad

"""Encoding: a car has the same encoding alone, in a group, and as columns."""

import dataclasses
import json

import numpy as np
import pytest

from data.hedonic.model import HedonicModel
from data.hedonic.ordinal_encoder import NUMBERS
from data.listings.table import car_columns
from data.market.generator import generate
from data.market.reference import ReferenceMarket
from data.vehicles.columns import CategoricalColumn, CategoryTable, Column
from model_store.pricing.feature_matrix import (
    BASELINE,
    COMPLETE,
    EFFECT_PREFIX,
    INCOMPLETE,
    MISSING,
    UNKNOWN_MODEL,
    CarEncoder,
)
from shared.domain.car import (
    FIELD_NAMES,
    CarFeatures,
    Condition,
    Fuel,
    Owner,
    SellerType,
    Transmission,
)

MARKET = ReferenceMarket.load()
FEATURES = (
    "year",
    "km_driven",
    "engine_cc",
    "fuel",
    "owner",
    "effect_company",
    "effect_model",
    "effect_torque_nm",
    BASELINE,
)
ENCODER = CarEncoder(MARKET.hedonic, FEATURES, ("fiscal_power_cv",))
COROLLA = CarFeatures(
    company="toyota",
    model="corolla",
    year=2020,
    fuel=Fuel.PETROL,
    transmission=Transmission.MANUAL,
    km_driven=25_000,
    owner=Owner.FIRST,
    seller_type=SellerType.INDIVIDUAL,
    engine_cc=1600.0,
    max_power_bhp=120.0,
)


@pytest.fixture(scope="module")
def cars() -> list[CarFeatures]:
    columns = car_columns(generate(MARKET, 700, seed=3))
    rows = zip(*(columns[name] for name in FIELD_NAMES), strict=True)
    return [CarFeatures.from_wire(list(row)) for row in rows]


def test_alone_in_a_group_and_as_columns_a_car_has_the_same_bits(cars: list[CarFeatures]) -> None:
    crowd = ENCODER.encode(cars)
    columns = {name: [getattr(car, name) for car in cars] for name in FIELD_NAMES}
    by_columns = ENCODER.encode_columns(columns, len(cars))
    np.testing.assert_array_equal(crowd.matrix, by_columns.matrix)
    np.testing.assert_array_equal(crowd.baseline_log, by_columns.baseline_log)
    for index, car in enumerate(cars):
        alone = ENCODER.encode([car])
        np.testing.assert_array_equal(alone.matrix[0], crowd.matrix[index])
        assert alone.baseline_log[0] == crowd.baseline_log[index]
        assert alone.level[0] == crowd.level[index]


def test_the_matrix_is_what_a_forest_runtime_needs(cars: list[CarFeatures]) -> None:
    encoded = ENCODER.encode(cars)
    assert encoded.matrix.dtype == np.float32
    assert encoded.matrix.flags.c_contiguous
    assert encoded.matrix.shape == (len(cars), len(FEATURES))
    assert np.isfinite(encoded.matrix).all()
    assert encoded.baseline_log.dtype == np.float64
    assert encoded.level.dtype == np.int8


def test_columns_hold_the_cars_values_and_a_sentinel_where_they_are_missing() -> None:
    row = dict(zip(FEATURES, ENCODER.encode([COROLLA]).matrix[0].tolist(), strict=True))
    assert row["year"] == 2020
    assert row["engine_cc"] == 1600
    assert row["fuel"] == list(Fuel).index(Fuel.PETROL)
    assert row["effect_torque_nm"] == 0
    bare = CarFeatures(**{**COROLLA.to_dict(), "owner": None, "engine_cc": None})
    row = dict(zip(FEATURES, ENCODER.encode([bare]).matrix[0].tolist(), strict=True))
    assert row["owner"] == row["engine_cc"] == MISSING


def test_effects_of_the_fields_sum_to_the_baseline(cars: list[CarFeatures]) -> None:
    baselines = ENCODER.encode(cars).baseline_log
    intercept, effects = ENCODER.baseline_effects(ENCODER.code(cars))
    assert set(ENCODER.effect_fields) <= set(FIELD_NAMES)
    np.testing.assert_allclose(intercept + effects.sum(axis=1), baselines, atol=1e-12)


def test_every_column_belongs_to_fields_of_the_car() -> None:
    assert set(ENCODER.feature_fields) == set(FEATURES)
    for column, fields in ENCODER.feature_fields.items():
        assert fields
        assert set(fields) <= set(FIELD_NAMES)
        if column.startswith(EFFECT_PREFIX):
            assert column.endswith(fields[0])


def test_the_level_of_information_depends_on_what_is_known() -> None:
    complete = CarFeatures(**{**COROLLA.to_dict(), "fiscal_power_cv": 8})
    unknown = CarFeatures(**{**COROLLA.to_dict(), "model": "no such car"})
    levels = ENCODER.encode([complete, COROLLA, unknown]).level.tolist()
    assert levels == [COMPLETE, INCOMPLETE, UNKNOWN_MODEL]
    assert ENCODER.vehicle_code(COROLLA)
    assert not ENCODER.vehicle_code(unknown)


def test_values_that_training_never_saw_count_as_missing() -> None:
    odd = CarFeatures(
        **{**COROLLA.to_dict(), "city": "atlantis", "fiscal_power_cv": 99, "doors": 9, "year": 1990}
    )
    assert np.isfinite(ENCODER.encode([odd]).matrix).all()
    nobody = CarFeatures(**{**COROLLA.to_dict(), "company": "nobody", "model": "nothing"})
    assert np.isfinite(ENCODER.encode([nobody]).baseline_log).all()


def without_damaged() -> HedonicModel:
    """The baseline of a market without damaged cars."""
    cells = MARKET.hedonic.cells
    kept = {key: cell for key, cell in cells["condition"].items() if key != Condition.DAMAGED}
    return dataclasses.replace(MARKET.hedonic, cells={**cells, "condition": kept})


def test_cars_for_parts_are_coded_as_damaged_ones() -> None:
    """A car for parts was dearer than a damaged one: priced as if no condition were stated."""
    encoder = CarEncoder(MARKET.hedonic, ("condition", "effect_condition", BASELINE))
    unstated, damaged, for_parts = (
        CarFeatures(**{**COROLLA.to_dict(), "condition": each})
        for each in (None, Condition.DAMAGED, Condition.FOR_PARTS)
    )
    rows = encoder.encode([unstated, damaged, for_parts]).matrix.tolist()
    assert rows[1] == rows[2] != rows[0]
    columns: dict[str, Column] = {
        name: np.full(3, np.nan if (value := getattr(unstated, name)) is None else value)
        if name in NUMBERS
        else CategoricalColumn(CategoryTable([getattr(unstated, name)]), np.zeros(3, np.int64))
        for name in FIELD_NAMES
    }
    table = CategoryTable([None, Condition.DAMAGED, Condition.FOR_PARTS])
    columns["condition"] = CategoricalColumn(table, np.arange(3))
    assert encoder.encode_columns(columns, 3).matrix.tolist() == rows


def test_stored_encoders_of_earlier_releases_keep_their_matrix() -> None:
    """Their self-tests have prices of owners that the trees read as the ones beside them."""
    names = ("owner", BASELINE)
    second = CarFeatures(**{**COROLLA.to_dict(), "owner": Owner.SECOND})
    stored = CarEncoder(MARKET.hedonic, names).to_json()
    assert CarEncoder.from_json(stored).encode([second]).matrix[0, 0] == MISSING
    del stored["masked_fields"]
    assert CarEncoder.from_json(stored).encode([second]).matrix[0, 0] == 1.0


def test_a_condition_that_training_never_saw_is_coded_as_one_that_is_not_stated() -> None:
    encoder = CarEncoder(without_damaged(), ("condition", "effect_condition", BASELINE))
    conditions = (None, Condition.DAMAGED, Condition.FOR_PARTS, Condition.FAIR)
    cars = [CarFeatures(**{**COROLLA.to_dict(), "condition": each}) for each in conditions]
    unstated, damaged, for_parts, fair = encoder.encode(cars).matrix.tolist()
    assert damaged == for_parts == unstated
    assert fair != unstated
    columns = {name: [getattr(car, name) for car in cars] for name in FIELD_NAMES}
    assert encoder.encode_columns(columns, 4).matrix.tolist()[1] == unstated


def test_an_encoder_survives_json(cars: list[CarFeatures]) -> None:
    again = CarEncoder.from_json(json.loads(json.dumps(ENCODER.to_json())))
    np.testing.assert_array_equal(again.encode(cars).matrix, ENCODER.encode(cars).matrix)

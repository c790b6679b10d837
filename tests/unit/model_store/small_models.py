"""Small real models for tests: a few vehicles, a forest that fits in a tenth of a second."""

import random
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from data.hedonic.model import Cell, HedonicModel, PiecewiseLinear, Term
from model_store.forest.forest import PackedForest
from model_store.pricing.calibration import IntervalCalibration
from model_store.pricing.feature_matrix import CarEncoder
from model_store.pricing.usual_cars import AGE_BANDS, MAX_AGE, UsualStatistics
from model_store.training.card_predictions import CardPredictions
from model_store.training.train import TrainedModel
from shared.domain.car import CarFeatures, Fuel, Transmission

VEHICLES = {"dacia|logan": -0.5, "renault|clio": -0.2, "toyota|corolla": 0.1, "bmw|x5": 1.0}
FEATURES = (
    "year",
    "km_driven",
    "fiscal_power_cv",
    "fuel",
    "transmission",
    "effect_model",
    "baseline_log",
)

SCORES = {
    "r2": 0.9, "r2_log": 0.91, "mae_mad": 20_000.0, "mape": 12.0, "median_ape": 8.0,
    "coverage_90": 0.9, "split": "out of bag",
}  # fmt: skip


def random_cars(count: int, seed: int = 0) -> list[CarFeatures]:
    """Cars of the known vehicles; a third of the fiscal powers is missing."""
    chance = random.Random(seed)
    cars = []
    for _ in range(count):
        company, model = chance.choice(sorted(VEHICLES)).split("|")
        year = chance.randint(2000, 2024)
        cars.append(
            CarFeatures(
                company=company,
                model=model,
                year=year,
                fuel=chance.choice([Fuel.DIESEL, Fuel.PETROL]),
                transmission=chance.choice(list(Transmission)),
                km_driven=chance.randint(0, 20_000) * (2026 - year),
                fiscal_power_cv=chance.choice([None, 6, 8]),
            )
        )
    return cars


def encoder(youth: float = 2.2) -> CarEncoder:
    """A baseline by vehicle, year, kilometres and gearbox.

    Args:
        youth: how much more, on the log scale, the youngest car is worth than the oldest.
    """
    terms = (
        Term(name="vehicle", field="model", keys=("vehicle",)),
        Term(
            name="age",
            field="year",
            curve=PiecewiseLinear(variable="year", knots=(1990, 2026), origin=2015),
        ),
        Term(
            name="wear",
            field="km_driven",
            curve=PiecewiseLinear(variable="km_driven", knots=(0, 400_000), origin=120_000),
        ),
        Term(name="gearbox", field="transmission", keys=("transmission",)),
    )
    cells = {
        "vehicle": {name: Cell(50, (effect,)) for name, effect in VEHICLES.items()},
        "age": {"": Cell(200, (youth,))},
        "wear": {"": Cell(200, (-0.9,))},
        "gearbox": {"Automatic": Cell(80, (0.15,)), "Manual": Cell(120, (0.0,))},
    }
    hedonic = HedonicModel(
        intercept=11.8, terms=terms, cells=cells, vehicle_years=dict.fromkeys(VEHICLES, 2015.0)
    )
    return CarEncoder(hedonic=hedonic, feature_names=FEATURES, detail_fields=("fiscal_power_cv",))


def usual() -> UsualStatistics:
    """Logans are diesels by three to one, X5 are automatic; 15,000 km a year."""
    kinds = {
        "dacia|logan": {"Diesel|Manual": {"2015": 75}, "Petrol|Manual": {"2015": 25}},
        "renault|clio": {"Diesel|Manual": {"2010": 60}, "Petrol|Automatic": {"2020": 60}},
        "toyota|corolla": {"Petrol|Manual": {"2012": 30}, "Petrol|Automatic": {"2016": 30}},
        "bmw|x5": {"Diesel|Automatic": {"2014": 80}},
    }
    return UsualStatistics(
        kinds=kinds,
        powers={"dacia|logan": {"Diesel|Manual": {"6": 40}, "Petrol|Manual": {"8": 20}}},
        km_by_age=tuple(5_000.0 + 15_000.0 * age for age in range(MAX_AGE + 1)),
        km_by_vehicle={"bmw|x5": 0.2},
        km_by_kind={"Diesel|Manual": 0.1, "Petrol|Manual": -0.2},
        km_spread=((-0.4, 0.4),) * len(AGE_BANDS),
    )


def train(seed: int = 0, trees: int = 20, level: float = 0.0) -> TrainedModel:
    """A forest on the residual of the baseline; `level` shifts every log price."""
    cars = random_cars(500, seed)
    encoded = encoder().encode(cars)
    residual = level + np.array([_residual(car) for car in cars])
    residual += np.random.default_rng(seed).normal(scale=0.1, size=len(cars))
    estimator = RandomForestRegressor(trees, max_depth=7, min_samples_leaf=3, random_state=seed)
    estimator.fit(encoded.matrix, residual)
    difficulty = RandomForestRegressor(5, max_depth=3, random_state=seed)
    difficulty.fit(encoded.matrix, np.abs(residual - estimator.predict(encoded.matrix)) - 1.0)
    held_out = encoder().encode(others := random_cars(300, seed + 1))
    output = PackedForest.from_estimator(estimator).predict(held_out.matrix)
    actual = held_out.baseline_log + level + [_residual(car) for car in others]
    calibration = IntervalCalibration.fit(
        held_out.level,
        held_out.baseline_log + output.mean,
        output.std,
        difficulty.predict(held_out.matrix),
        actual + np.random.default_rng(seed + 1).normal(scale=0.1, size=len(others)),
        min_count=50,
    )
    return TrainedModel(
        estimator=estimator,
        difficulty=difficulty,
        encoder=encoder(),
        calibration=calibration,
        usual=usual(),
        metrics={"split": "none", "coverage_90": 0.9},
        training={"name": "small", "rows": 500, "digest": "0" * 64, "data_as_of": "2026-06"},
    )


def scikit_learn_output(estimator: Any, matrix: Any) -> tuple[Any, Any]:
    """Mean and total standard deviation, computed from scikit-learn's trees."""
    means = [tree.predict(matrix) for tree in estimator.estimators_]
    impurities = [tree.tree_.impurity[tree.apply(matrix)] for tree in estimator.estimators_]
    mean = np.mean(means, axis=0)
    second_moment = np.mean([i + m**2 for i, m in zip(impurities, means, strict=True)], axis=0)
    return mean, np.sqrt(second_moment - mean**2)


def _residual(car: CarFeatures) -> float:
    """Residual of the baseline: a step and an interaction."""
    is_old_diesel = car.fuel is Fuel.DIESEL and car.year < 2010
    few_km = car.km_driven is not None and car.km_driven < 60_000
    return 0.2 * (car.fiscal_power_cv == 8) - 0.3 * is_old_diesel + 0.1 * few_km


def card_predictions(rows: int = 3000) -> CardPredictions:
    """Predictions for listings; the brand kia has fewer than `MIN_GROUP_SIZE`."""
    rng = np.random.default_rng(7)
    actual = np.exp(rng.normal(11.8, 0.6, rows))
    price = actual * np.exp(rng.normal(0.0, 0.12, rows))
    spread = np.linspace(-0.3, 0.3, 9)
    return CardPredictions(
        actual_mad=actual,
        baseline_mad=actual * 1.1,
        price_mad=price,
        quantiles_mad=price[:, None] * np.exp(spread),
        company=rng.choice(["dacia", "renault", "kia"], rows, p=[0.6, 0.398, 0.002]).astype(object),
        age_years=rng.integers(0, 25, rows).astype(np.float64),
        level=np.zeros(rows, dtype=np.int8),
        importance={"year": 0.75, "km_driven": 0.25},
    )

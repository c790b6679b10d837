"""Leaves are weighted medians; out-of-bag predictions leave out duplicates of the car."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from data.hedonic.model import FloatArray
from model_store.forest.forest import PackedForest
from model_store.training.forests import Matrix, OutOfBag, clip_outliers, fit_forest, out_of_bag


def test_near_duplicates_do_not_leak_prices() -> None:
    rng = np.random.default_rng(3)
    cars = np.repeat(np.arange(300), 2)
    matrix = rng.random((300, 4)).astype(np.float32)[cars]
    noise = rng.normal(size=300)[cars]
    forest = RandomForestRegressor(40, max_samples=0.6, random_state=1).fit(matrix, noise)
    each_for_itself = out_of_bag(forest, matrix, np.arange(600)).mean
    together = out_of_bag(forest, matrix, cars).mean
    assert np.corrcoef(each_for_itself, noise)[0, 1] > 0.5
    assert abs(np.corrcoef(together, noise)[0, 1]) < 0.2


def test_a_car_with_a_duplicate_in_every_sample_is_still_predicted() -> None:
    matrix = np.zeros((50, 1), dtype=np.float32)
    target = np.full(50, 0.25)
    forest = RandomForestRegressor(20, max_samples=0.6, random_state=1).fit(matrix, target)
    found = out_of_bag(forest, matrix, np.zeros(50, dtype=np.int64))
    np.testing.assert_allclose(found.mean, target)
    np.testing.assert_allclose(found.std, 0.0, atol=1e-6)


def test_a_leaf_predicts_the_median_of_its_cars() -> None:
    """One car in five is far above the others: they would move a mean by 0.06."""
    rng = np.random.default_rng(5)
    is_far = rng.random(600) < 0.2
    matrix = rng.random((600, 2)).astype(np.float32)
    forest, _ = fitted(matrix, np.where(is_far, 0.3, 0.0), np.ones(600))
    assert np.mean(forest.predict(matrix)) < 0.03


def test_cars_with_a_larger_weight_count_more() -> None:
    rng = np.random.default_rng(6)
    is_old = rng.random(600) < 0.6
    residual = np.where(is_old, 0.2, 0.0) + rng.normal(scale=0.05, size=600)
    matrix = rng.random((600, 2)).astype(np.float32)
    weighted, _ = fitted(matrix, residual, np.where(is_old, 0.01, 1.0))
    even, _ = fitted(matrix, residual, np.ones(600))
    assert np.mean(weighted.predict(matrix)) < 0.05
    assert np.mean(even.predict(matrix)) > 0.1


def test_the_packed_forest_predicts_the_medians() -> None:
    rng = np.random.default_rng(7)
    matrix = rng.random((600, 3)).astype(np.float32)
    residual = rng.exponential(size=600) * matrix[:, 0]
    forest, _ = fitted(matrix, residual, np.ones(600))
    packed = PackedForest.from_estimator(forest).predict(matrix)
    np.testing.assert_allclose(packed.mean, forest.predict(matrix), atol=1e-9)
    assert np.mean(packed.mean) < np.mean(residual)


def test_the_impurity_of_a_leaf_is_about_its_median() -> None:
    rng = np.random.default_rng(8)
    matrix = rng.random((600, 3)).astype(np.float32)
    residual = rng.exponential(size=600)
    forest, _ = fitted(matrix, residual, np.ones(600))
    sample, tree = forest.estimators_samples_[0], forest.estimators_[0].tree_
    leaf_of = tree.apply(matrix[sample])
    leaf = leaf_of[0]
    inside = clip_outliers(residual)[sample][leaf_of == leaf]
    median = tree.value[leaf, 0, 0]
    assert np.sum(inside < median) <= len(inside) / 2
    assert np.sum(inside > median) <= len(inside) / 2
    assert tree.impurity[leaf] == pytest.approx(np.mean((inside - median) ** 2))


def fitted(
    matrix: Matrix, residual: FloatArray, weights: FloatArray
) -> tuple[RandomForestRegressor, OutOfBag]:
    return fit_forest(
        matrix,
        residual,
        np.full(len(matrix), 11.0),
        weights=weights,
        duplicate_groups=np.arange(len(matrix)),
        seed=1,
        jobs=1,
        on_progress=lambda _: None,
    )

"""Out-of-bag predictions use trees whose sample has no duplicate of the car."""

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from model_store.training.forests import out_of_bag


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

"""Calibration: intervals hold what they promise on cars from the same market."""

import json

import numpy as np
import pytest

from model_store.calibration import MEDIAN_INDEX, IntervalCalibration
from shared.domain.valuation import QUANTILE_LEVELS

ROWS = 20_000


def sample(
    seed: int,
) -> tuple[
    np.ndarray[tuple[int], np.dtype[np.int8]],
    np.ndarray[tuple[int], np.dtype[np.float64]],
    np.ndarray[tuple[int], np.dtype[np.float64]],
    np.ndarray[tuple[int], np.dtype[np.float64]],
]:
    """Levels, means, deviations and real prices; a higher level strays further than it says."""
    rng = np.random.default_rng(seed)
    level = rng.integers(0, 3, ROWS).astype(np.int8)
    mean = rng.normal(11.8, 0.7, ROWS)
    std = rng.uniform(0.05, 0.3, ROWS)
    actual = mean + std * (1 + 0.5 * level) * rng.standard_t(5, ROWS)
    return level, mean, std, actual


@pytest.fixture(scope="module")
def calibration() -> IntervalCalibration:
    return IntervalCalibration.fit(*sample(1))


@pytest.mark.parametrize(("low", "high"), [(0, -1), (1, -2), (2, -3), (3, -4)])
def test_every_interval_covers_its_share_at_every_level(
    calibration: IntervalCalibration, low: int, high: int
) -> None:
    level, mean, std, actual = sample(2)
    quantiles = calibration.quantiles_log(level, mean, std)
    inside = (actual >= quantiles[:, low]) & (actual <= quantiles[:, high])
    promised = QUANTILE_LEVELS[high] - QUANTILE_LEVELS[low]
    for wanted in range(3):
        assert inside[level == wanted].mean() == pytest.approx(promised, abs=0.02)


def test_quantiles_do_not_decrease_and_the_median_is_the_point_estimate(
    calibration: IntervalCalibration,
) -> None:
    level, mean, std, _ = sample(3)
    quantiles = calibration.quantiles_log(level, mean, std)
    assert quantiles.shape == (ROWS, len(QUANTILE_LEVELS))
    assert (np.diff(quantiles, axis=1) >= 0).all()
    np.testing.assert_array_equal(quantiles[:, MEDIAN_INDEX], mean)


def test_a_forest_that_is_too_sure_still_gets_an_interval(calibration: IntervalCalibration) -> None:
    one = calibration.quantiles_log(np.zeros(1, np.int8), np.array([11.8]), np.zeros(1))
    assert one[0, -1] > one[0, 0]


def test_a_level_without_examples_takes_the_one_below() -> None:
    level, mean, std, actual = sample(4)
    found = IntervalCalibration.fit(np.zeros_like(level), mean, std, actual)
    assert found.factors[0] == found.factors[1] == found.factors[2]


def test_cheap_cars_get_wider_intervals_where_they_stray_further() -> None:
    rng = np.random.default_rng(5)
    mean = rng.normal(11.8, 0.7, ROWS)
    std = np.full(ROWS, 0.15)
    actual = mean + std * np.exp(-0.3 * (mean - 11.8)) * rng.standard_normal(ROWS)
    found = IntervalCalibration.fit(np.zeros(ROWS, np.int8), mean, std, actual)
    assert found.widths[0] > 1.3 * found.widths[-1]
    held_out = rng.normal(11.8, 0.7, ROWS)
    strayed = held_out + std * np.exp(-0.3 * (held_out - 11.8)) * rng.standard_normal(ROWS)
    quantiles = found.quantiles_log(np.zeros(ROWS, np.int8), held_out, std)
    inside = (strayed >= quantiles[:, 1]) & (strayed <= quantiles[:, -2])
    for cars in (held_out < np.quantile(held_out, 0.1), held_out > np.quantile(held_out, 0.9)):
        assert inside[cars].mean() == pytest.approx(0.9, abs=0.03)


def test_a_calibration_survives_json(calibration: IntervalCalibration) -> None:
    text = json.dumps(calibration.to_json())
    assert IntervalCalibration.from_json(json.loads(text)) == calibration

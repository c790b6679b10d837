"""The PSI is unbiased without drift, large with it, and withheld for few cars."""

import numpy as np
import pytest

from model_store.drift.psi import DriftLevel, corrected_psi

SHARES = [0.4, 0.3, 0.15, 0.1, 0.04, 0.01]


def psi_of(counts, shares=SHARES, rows=30_000):
    counts = np.array(counts, dtype=float)
    many = int(counts.sum())
    return corrected_psi(shares, rows, counts, cars=many, effective=many)


@pytest.mark.parametrize("cars", [150, 1_000, 20_000])
@pytest.mark.parametrize("bins", [6, 40])
def test_without_drift_the_mean_psi_is_that_of_the_subtracted_bias(cars, bins):
    random = np.random.default_rng(cars + bins)
    shares = random.dirichlet(np.full(bins, 0.7))
    every = [psi_of(random.multinomial(cars, shares), shares) for _ in range(200)]
    found = [each for each in every if each.value is not None]
    assert len(found) in {0, 200}
    assert not found or bins == 6 or cars > 150, "chance alone would exceed the threshold"
    assert sum(each.value >= 0.1 for each in found) <= 4, "no car has drifted"
    raw = [each.value + each.bias for each in found if each.value > 0]
    assert not found or np.mean(raw) == pytest.approx(found[0].bias, rel=0.6)


def test_a_small_training_set_adds_to_the_bias():
    counts = [800, 600, 300, 200, 80, 20]
    assert psi_of(counts, rows=300).bias > 3 * psi_of(counts, rows=100_000).bias


def test_the_psi_is_that_of_the_formula():
    actual = np.array([0.1, 0.3, 0.15, 0.1, 0.34, 0.01])
    expected = np.array(SHARES)
    exact = float(np.sum((actual - expected) * np.log(actual / expected)))
    found = psi_of(actual * 100_000)
    assert found.value == pytest.approx(exact, abs=0.002)
    assert found.level is DriftLevel.SIGNIFICANT


@pytest.mark.parametrize(
    ("share", "level"), [(0.36, "stable"), (0.24, "moderate"), (0.1, "significant")]
)
def test_the_levels_have_the_usual_thresholds(share, level):
    # A share moves from the first bin to the second.
    counts = np.array([share, 0.7 - share, 0.15, 0.1, 0.04, 0.01]) * 50_000
    assert str(psi_of(counts).level) == level


def test_too_few_cars_have_no_psi_and_the_needed_number_is_told():
    found = psi_of([60, 20, 10, 5, 3, 1])
    assert (found.value, found.level, found.cars, found.needed) == (None, "too-few", 99, 100)
    many_bins = psi_of([5] * 60, shares=[1 / 60] * 60)
    assert (many_bins.value, many_bins.needed) == (None, 600)


def test_the_effective_number_of_weighted_cars_decides():
    counts = np.array(SHARES) * 1_000
    assert corrected_psi(SHARES, 30_000, counts, cars=1_000, effective=60.0).value is None


def test_a_category_that_training_never_had_is_drift_of_bounded_size():
    found = psi_of([5_000, 4_000, 1_000], shares=[0.6, 0.4, 0.0])
    assert found.level is DriftLevel.SIGNIFICANT
    assert found.value < 2.0
    gone = [psi_of([n, 0], shares=[0.9, 0.1]).value for n in (2_000, 200_000)]
    assert gone[0] == pytest.approx(gone[1], rel=0.3), "whatever the number of cars"
    same = psi_of([5_000, 4_000, 1_000], shares=[0.6, 0.4, 0.0], rows=3_000_000)
    assert found.value == pytest.approx(same.value, rel=0.02), "whatever the number of listings"

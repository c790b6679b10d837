"""Fitting the smallest forest that is as good as a large one, and its out-of-bag statistics."""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

from data.hedonic.model import FloatArray, IntArray
from model_store.pricing.calibration import MIN_STD

_TREES = 200
_SEARCH_TREES = 40
_DEPTHS = (6, 8, 10, 12)
_TOLERANCE = 1.01
_TREE_STEPS = (50, 100, 150, 200)
_CLIP_DEVIATIONS = 4.0

_DIFFICULTY_TREES = 24
_DIFFICULTY_DEPTH = 8
_DIFFICULTY_MIN_SAMPLES_LEAF = 15
_MIN_ERROR = 0.05
"""In deviations: an error of none is luck, and its logarithm would outweigh all others."""

Matrix = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OutOfBag:
    """Predictions for the training cars by the trees that did not see them.

    Args:
        mean: (n,) predicted residual.
        std: (n,) total standard deviation: spread of the leaves' means plus spread inside leaves.
    """

    mean: FloatArray
    std: FloatArray


def fit_forest(
    matrix: Matrix,
    residual: FloatArray,
    baseline_log: FloatArray,
    *,
    duplicate_groups: IntArray,
    seed: int,
    jobs: int,
    on_progress: Callable[[str], None],
) -> tuple[RandomForestRegressor, OutOfBag]:
    """Fit the smallest forest within one percent of the best mean absolute error out of bag.

    Args:
        matrix: (n, k) encoded cars.
        residual: (n,) what the forest learns, log scale.
        baseline_log: (n,) what it is added to.
        duplicate_groups: (n,) a number for each row, shared by near duplicates.
        seed: of the trees.
        jobs: threads that fit trees.
        on_progress: told after each fit.
    """
    target = clip_outliers(residual)
    actual = np.exp(baseline_log + residual)

    def error(forest: RandomForestRegressor) -> float:
        mean = out_of_bag(forest, matrix, duplicate_groups).mean
        return float(np.mean(np.abs(np.exp(baseline_log + mean) - actual)))

    errors = {}
    for depth in _DEPTHS:
        trial = _forest(_SEARCH_TREES, depth, len(matrix), seed, jobs).fit(matrix, target)
        errors[depth] = error(trial)
        on_progress(f"depth {depth}")
    limit = min(errors.values()) * _TOLERANCE
    depth = min(depth for depth, found in errors.items() if found <= limit)
    forest = _forest(_TREES, depth, len(matrix), seed, jobs).fit(matrix, target)
    # What is stored must not depend on the number of threads that made it.
    forest.set_params(n_jobs=1)
    on_progress("forest")
    return forest, out_of_bag(forest, matrix, duplicate_groups)


def fit_difficulty(
    matrix: Matrix,
    error: FloatArray,
    oob: OutOfBag,
    *,
    duplicate_groups: IntArray,
    seed: int,
    jobs: int,
) -> tuple[RandomForestRegressor, FloatArray]:
    """Fit the second forest.

    Args:
        matrix: (n, k) encoded cars.
        error: (n,) log price less the estimate by trees that did not see the car.
        oob: those trees' means and deviations.
        duplicate_groups: (n,) a number for each row, shared by near duplicates.
        seed: of the trees.
        jobs: threads that fit trees.

    Returns:
        The forest, which predicts the log of the error in deviations, and (n,) what its trees say
        about each car that they did not see.
    """
    deviations = np.abs(error) / np.maximum(oob.std, MIN_STD)
    forest = RandomForestRegressor(
        n_estimators=_DIFFICULTY_TREES,
        max_depth=_DIFFICULTY_DEPTH,
        min_samples_leaf=max(_DIFFICULTY_MIN_SAMPLES_LEAF, len(matrix) // 500),
        max_features=0.35,
        max_samples=0.6,
        n_jobs=jobs,
        random_state=seed,
    ).fit(matrix, np.log(deviations + _MIN_ERROR))
    # What is stored must not depend on the number of threads that made it.
    forest.set_params(n_jobs=1)
    return forest, out_of_bag(forest, matrix, duplicate_groups).mean


def clip_outliers(residual: FloatArray) -> FloatArray:
    """Residuals without the typing errors among the prices."""
    centre = float(np.median(residual))
    reach = _CLIP_DEVIATIONS * 1.4826 * float(np.median(np.abs(residual - centre)))
    return np.clip(residual, centre - reach, centre + reach)


def out_of_bag(
    forest: RandomForestRegressor, matrix: Matrix, duplicate_groups: IntArray
) -> OutOfBag:
    """Mean and total deviation for each row over the trees that saw neither it nor one like it.

    A near duplicate that a tree has seen gives the price away, or, where it was listed as far on
    the other side of the market, pulls the estimate away from it. A row that every tree knows by
    its duplicates is measured by the trees that did not see itself.
    """
    rows = len(matrix)
    strict, loose = np.zeros((4, rows)), np.zeros((4, rows))
    for tree, seen in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        unseen = np.ones(rows, dtype=bool)
        unseen[seen] = False
        known = np.zeros(duplicate_groups.max() + 1, dtype=bool)
        known[duplicate_groups[seen]] = True
        leaves = tree.tree_.apply(matrix[unseen])
        value = tree.tree_.value[leaves, 0, 0]
        sums = np.array([np.ones(len(leaves)), value, value**2, tree.tree_.impurity[leaves]])
        loose[:, unseen] += sums
        strict[:, unseen] += sums * ~known[duplicate_groups[unseen]]
    votes, total, square, impurity = np.where(strict[0] > 0, strict, loose)
    votes = np.maximum(votes, 1)
    mean = total / votes
    variance = (square + impurity) / votes - mean**2
    return OutOfBag(mean=mean, std=np.sqrt(np.maximum(variance, 0.0)))


def _forest(trees: int, depth: int, rows: int, seed: int, jobs: int) -> RandomForestRegressor:
    return RandomForestRegressor(
        n_estimators=trees,
        max_depth=depth,
        min_samples_leaf=max(5, rows // 2000),
        max_features=0.35,
        max_samples=0.6,
        n_jobs=jobs,
        random_state=seed,
    )

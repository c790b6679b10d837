"""Fits the price forest and the difficulty forest; computes out-of-bag statistics.

The standard deviation of the price forest measures how much prices of similar cars differ, but its
splits are chosen to predict prices, not their uncertainty. The difficulty forest predicts how large
the out-of-bag errors are in these standard deviations (the difficulty estimate of normalised
conformal prediction).
"""

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
_CLIP_DEVIATIONS = 4.0

_DIFFICULTY_TREES = 24
_DIFFICULTY_DEPTH = 8
_DIFFICULTY_MIN_SAMPLES_LEAF = 15
_MIN_ERROR = 0.05
"""Added to errors, in standard deviations, so that the log of small errors is bounded."""

Matrix = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OutOfBag:
    """Out-of-bag predictions for the training cars.

    Args:
        mean: (n,) predicted residual.
        std: (n,) total standard deviation: between the trees and within their leaves.
    """

    mean: FloatArray
    std: FloatArray


def fit_forest(
    matrix: Matrix,
    residual: FloatArray,
    baseline_log: FloatArray,
    *,
    weights: FloatArray,
    duplicate_groups: IntArray,
    seed: int,
    jobs: int,
    on_progress: Callable[[str], None],
) -> tuple[RandomForestRegressor, OutOfBag]:
    """Fit the forest of the smallest depth within 1 % of the best out-of-bag mean absolute error.

    A leaf predicts the median of its cars rather than their mean: prices are judged by their
    absolute error.

    Args:
        matrix: (n, k) encoded cars.
        residual: (n,) target of the forest, log scale.
        baseline_log: (n,) baseline that the prediction is added to.
        weights: (n,) of the cars (`data.listings.weights`).
        duplicate_groups: (n,) group of each row; near duplicates share it.
        seed: of the trees.
        jobs: number of threads that fit trees.
        on_progress: called after each fit.
    """
    target = clip_outliers(residual)
    actual = np.exp(baseline_log + residual)

    def error(forest: RandomForestRegressor) -> float:
        mean = out_of_bag(forest, matrix, duplicate_groups).mean
        return float(np.mean(np.abs(np.exp(baseline_log + mean) - actual)))

    def fitted(trees: int, depth: int) -> RandomForestRegressor:
        forest = _forest(trees, depth, min_leaf, seed, jobs)
        forest.fit(matrix, target, sample_weight=weights)
        _set_leaves_to_medians(forest, matrix, target, weights)
        return forest

    min_leaf = max(5, len(matrix) // 2000)
    errors = {}
    for depth in _DEPTHS:
        errors[depth] = error(fitted(_SEARCH_TREES, depth))
        on_progress(f"depth {depth}")
    limit = min(errors.values()) * _TOLERANCE
    depth = min(depth for depth, found in errors.items() if found <= limit)
    forest = fitted(_TREES, depth)
    # The stored estimator must not depend on the number of threads that fitted it.
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
    """Fit the difficulty forest.

    Args:
        matrix: (n, k) encoded cars.
        error: (n,) log price minus the out-of-bag estimate.
        oob: out-of-bag statistics of the price forest.
        duplicate_groups: (n,) group of each row; near duplicates share it.
        seed: of the trees.
        jobs: number of threads that fit trees.

    Returns:
        The forest, which predicts the log of the error in standard deviations, and its out-of-bag
        predictions (n,).
    """
    deviations = np.abs(error) / np.maximum(oob.std, MIN_STD)
    min_leaf = max(_DIFFICULTY_MIN_SAMPLES_LEAF, len(matrix) // 500)
    forest = _forest(_DIFFICULTY_TREES, _DIFFICULTY_DEPTH, min_leaf, seed, jobs)
    forest.fit(matrix, np.log(deviations + _MIN_ERROR))
    # The stored estimator must not depend on the number of threads that fitted it.
    forest.set_params(n_jobs=1)
    return forest, out_of_bag(forest, matrix, duplicate_groups).mean


def clip_outliers(residual: FloatArray) -> FloatArray:
    """Clip residuals at `_CLIP_DEVIATIONS` robust standard deviations: typing errors in prices."""
    centre = float(np.median(residual))
    limit = _CLIP_DEVIATIONS * 1.4826 * float(np.median(np.abs(residual - centre)))
    return np.clip(residual, centre - limit, centre + limit)


def out_of_bag(
    forest: RandomForestRegressor, matrix: Matrix, duplicate_groups: IntArray
) -> OutOfBag:
    """Mean and total standard deviation of each row over the trees whose sample has no duplicate.

    A near duplicate in a tree's sample leaks the price; the antithetic duplicate of a generated
    listing biases the estimate away from it. A row with a duplicate in every tree's sample is
    predicted by the trees whose sample does not contain the row itself.
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


def _set_leaves_to_medians(
    forest: RandomForestRegressor, matrix: Matrix, target: FloatArray, weights: FloatArray
) -> None:
    """Replace the value of each leaf by the weighted median of the tree's sample in it.

    The leaf's impurity becomes the mean square of the distance from that median.
    """
    order = np.argsort(target, kind="stable")
    for tree, sample in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        drawn = np.bincount(sample, minlength=len(target)) * weights
        rows = order[drawn[order] > 0]
        leaves = tree.tree_.apply(matrix)[rows]
        by_leaf = np.argsort(leaves, kind="stable")
        rows, leaves = rows[by_leaf], leaves[by_leaf]
        ends = np.append(np.flatnonzero(np.diff(leaves)), len(leaves) - 1)
        total = np.cumsum(drawn[rows])
        below = np.append(0.0, total[ends[:-1]])
        middle = np.searchsorted(total, (below + total[ends]) / 2)
        median = target[rows[middle]]
        mean = tree.tree_.value[leaves[ends], 0, 0]
        tree.tree_.impurity[leaves[ends]] += (mean - median) ** 2
        tree.tree_.value[leaves[ends], 0, 0] = median


def _forest(trees: int, depth: int, min_leaf: int, seed: int, jobs: int) -> RandomForestRegressor:
    return RandomForestRegressor(
        n_estimators=trees,
        max_depth=depth,
        min_samples_leaf=min_leaf,
        max_features=0.35,
        max_samples=0.6,
        n_jobs=jobs,
        random_state=seed,
    )

"""Where cars stray further than the forest that prices them can tell.

The spread between its trees and inside their leaves says how far cars of a kind lie apart, but its
trees are cut to find prices, not to find where prices are uncertain. A small second forest is cut
for that (the difficulty estimate of normalised conformal prediction): it learns from errors on
cars that the first one had not seen.
"""

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from data.hedonic.model import FloatArray, IntArray
from model_store.pricing.calibration import MIN_STD
from model_store.training.forest_choice import Matrix, OutOfBag, out_of_bag

_TREES = 24
_DEPTH = 8
_MIN_SAMPLES_LEAF = 15
_MIN_ERROR = 0.05
"""In deviations: an error of none is luck, and its logarithm would outweigh all others."""


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
        n_estimators=_TREES,
        max_depth=_DEPTH,
        min_samples_leaf=max(_MIN_SAMPLES_LEAF, len(matrix) // 500),
        max_features=0.35,
        max_samples=0.6,
        n_jobs=jobs,
        random_state=seed,
    ).fit(matrix, np.log(deviations + _MIN_ERROR))
    # What is stored must not depend on the number of threads that made it.
    forest.set_params(n_jobs=1)
    return forest, out_of_bag(forest, matrix, duplicate_groups).mean

"""The sums of `tree_shap` in plain numpy: over all nodes of a level at once."""

import numpy as np
from numpy.typing import NDArray

from model_store.explain.paths import ForestPaths


def shapley_values(
    paths: ForestPaths,
    row: NDArray[np.float32],
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """See `tree_shap.Engine`."""
    feature_values = row[paths.feature]
    known = ((feature_values > paths.low) & (feature_values <= paths.high)).astype(np.float64)
    factor = np.multiply.outer(points, known - paths.share) + paths.share
    slope = (known - paths.share) / factor
    ratio = factor / factor[:, paths.previous]
    reached = _sums_over_leaves(paths, _products(paths, ratio, weights))
    # A step replaces what the previous one said of its feature.
    effects = (reached * (slope - slope[:, paths.previous])).sum(axis=0)
    return np.bincount(paths.feature, effects, paths.feature_count).astype(np.float64, copy=False)


def _products(
    paths: ForestPaths, ratio: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Product of the ratios on the path to each node, times the quadrature weight."""
    product = ratio * weights[:, None]
    for level in paths.levels:
        product[:, level] = ratio[:, level] * product[:, paths.parent[level]]
    return product


def _sums_over_leaves(paths: ForestPaths, product: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum, over the leaves below each node, of their product times their value."""
    sums = product * paths.value
    for level in reversed(paths.levels):
        pairs = sums[:, level]
        sums[:, paths.parent[level][0::2]] = pairs[:, 0::2] + pairs[:, 1::2]
    return sums

"""The sums of `tree_shap` in plain numpy: over all edges of a level at once."""

import numpy as np
from numpy.typing import NDArray

from model_store.forest_paths import ForestPaths


def shapley_values(
    paths: ForestPaths,
    row: NDArray[np.float32],
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """See `tree_shap.Engine`."""
    edges = paths.edges
    asked = row[edges.feature]
    known = ((asked > edges.low) & (asked <= edges.high)).astype(np.float64)
    factor = np.multiply.outer(points, known) + np.multiply.outer(1.0 - points, edges.share)
    slope = (known - edges.share) / factor
    # An edge replaces what the last one above it said about the same feature.
    has_previous = edges.previous >= 0
    ratio = factor / np.where(has_previous, factor[:, edges.previous], 1.0)
    slope -= np.where(has_previous, slope[:, edges.previous], 0.0)
    product = _products(paths, ratio * weights[:, None], ratio)
    effects = (_sums_over_leaves(paths, product) * slope).sum(axis=0)
    return np.bincount(edges.feature, effects, minlength=paths.feature_count)


def _products(
    paths: ForestPaths, product: NDArray[np.float64], ratio: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Product of the ratios on the path to each edge; `product` holds the topmost edges' own."""
    for level in paths.levels[1:]:
        product[:, level] = ratio[:, level] * product[:, paths.edges.above[level]]
    return product


def _sums_over_leaves(paths: ForestPaths, product: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum, over the leaves below each edge, of their product times their value."""
    sums = product * paths.edges.value
    for level in reversed(paths.levels[1:]):
        pairs = sums[:, level]
        sums[:, paths.edges.above[level][0::2]] = pairs[:, 0::2] + pairs[:, 1::2]
    return sums

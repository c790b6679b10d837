"""Shapley values of a packed forest in plain numpy: what the compiled kernel is compared with."""

import numpy as np
from numpy.typing import NDArray

from model_store.explain.paths import ForestPaths
from model_store.explain.tree_shap import TreeShap


def explain(explainer: TreeShap, row: NDArray[np.float32]) -> NDArray[np.float64]:
    """As `TreeShap.explain`; works on all nodes of a level at once."""
    paths, points, weights = explainer.paths, explainer.points, explainer.weights
    feature_values = row[paths.feature]
    known = ((feature_values > paths.low) & (feature_values <= paths.high)).astype(np.float64)
    factor = np.multiply.outer(points, known - paths.share) + paths.share
    slope = (known - paths.share) / factor
    ratio = factor / factor[:, paths.previous]
    reached = _sums_over_leaves(paths, _products(paths, ratio, weights))
    # A step replaces the contribution of the previous step with the same feature.
    effects = (reached * (slope - slope[:, paths.previous])).sum(axis=0)
    return np.bincount(paths.feature, effects, paths.feature_count).astype(np.float64, copy=False)


def _products(
    paths: ForestPaths, ratio: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Product of the ratios on the path to each node, times the quadrature weight."""
    product = ratio * weights[:, None]
    for level in _levels(paths):
        product[:, level] = ratio[:, level] * product[:, paths.parent[level]]
    return product


def _sums_over_leaves(paths: ForestPaths, product: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum, over the leaves below each node, of their product times their value."""
    sums = product * paths.value
    for level in reversed(_levels(paths)):
        pairs = sums[:, level]
        sums[:, paths.parent[level][0::2]] = pairs[:, 0::2] + pairs[:, 1::2]
    return sums


def _levels(paths: ForestPaths) -> list[NDArray[np.int64]]:
    """The nodes of each level below the roots; the two children of a node are adjacent."""
    depth = np.zeros(len(paths.parent), np.int64)
    for node, parent in enumerate(paths.parent.tolist()):
        depth[node] = 0 if node == parent else depth[parent] + 1
    return [np.flatnonzero(depth == level) for level in range(1, depth.max(initial=0) + 1)]

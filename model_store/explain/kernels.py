"""The loop of `tree_shap`, compiled by numba when this module is imported.

This module imports no other kernels, so that `worker.kernel_cache` compiles each module once.
"""

# Numba infers the types of what it compiles from the signature of the outermost function.
# ruff: noqa: ANN001, ANN201, D417, PLR0917
# mypy: disable-error-code="no-untyped-def"

import numpy as np
from numba import types

from data.compilation import compiled

_row = types.Array(types.float32, 1, "C", readonly=True)
_indices = types.Array(types.int64, 1, "C", readonly=True)
_bounds = types.Array(types.float32, 1, "C", readonly=True)
_numbers = types.Array(types.float64, 1, "C", readonly=True)
_paths = (_indices, _indices, _bounds, _bounds, _numbers, _indices, _indices, _numbers)


@compiled(types.void(_row, *_paths, _numbers, _numbers, types.float64[::1]))
def add_shapley_values(
    row, starts, feature, low, high, share, previous, parent, value, points, weights, effects
):
    """Add the Shapley values of one row to `effects`, tree by tree.

    The downward pass forms products along the paths. The upward pass sums over the leaves below
    each node and adds the effect of the node's step; a step replaces the contribution of the
    previous step with the same feature. One tree at a time keeps the scratch arrays in the cache.

    Args:
        row: (feature_count,) one row of the encoder's matrix.
        starts, feature, low, high, share, previous, parent, value: of `ForestPaths`.
        points, weights: of the quadrature.
        effects: (feature_count,)
    """
    largest = np.diff(starts).max()
    inverse = np.empty((largest, len(points)))
    product = np.empty((largest, len(points)))
    below = np.empty((largest, len(points)))
    gain = np.empty(largest)
    inverse[0], product[0], gain[0] = 1.0, weights, 0.0
    for tree in range(len(starts) - 1):
        root = starts[tree]
        for node in range(root + 1, starts[tree + 1]):
            at, last, above = node - root, previous[node] - root, parent[node] - root
            known = 1.0 if low[node] < row[feature[node]] <= high[node] else 0.0
            gain[at] = known - share[node]
            for q in range(len(points)):
                factor = share[node] + points[q] * gain[at]
                product[at, q] = product[above, q] * (factor * inverse[last, q])
                inverse[at, q] = 1.0 / factor
                below[at, q] = 0.0
        for node in range(starts[tree + 1] - 1, root, -1):
            at, last, above = node - root, previous[node] - root, parent[node] - root
            effect = 0.0
            for q in range(len(points)):
                reached = below[at, q] + product[at, q] * value[node]
                effect += reached * (gain[at] * inverse[at, q] - gain[last] * inverse[last, q])
                below[above, q] += reached
            effects[feature[node]] += effect

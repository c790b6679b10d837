"""The sums of `tree_shap`, compiled by numba when this module is imported."""

# Numba infers the types of what it compiles, from the signature that the outermost function states.
# ruff: noqa: ANN001, ANN202, PLR0917
# mypy: disable-error-code="no-untyped-def"

import numpy as np
from numba import types
from numpy.typing import NDArray

from data.compilation import compiled
from model_store.explain.paths import ForestPaths

_row = types.Array(types.float32, 1, "C", readonly=True)
_indices = types.Array(types.int64, 1, "C", readonly=True)
_bounds = types.Array(types.float32, 1, "C", readonly=True)
_numbers = types.Array(types.float64, 1, "C", readonly=True)
_paths = (_indices, _indices, _bounds, _bounds, _numbers, _indices, _indices, _numbers)


@compiled(types.void(_row, *_paths, _numbers, _numbers, types.float64[::1]))
def _add_effects(
    row, starts, feature, low, high, share, previous, parent, value, points, weights, effects
):
    """Tree by tree, so that the scratch arrays stay in the nearest caches.

    On the way down: products along the paths. On the way up: sums over the leaves below each
    node, and the effect of its step; a step replaces what the previous one said of its feature.
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


def shapley_values(
    paths: ForestPaths,
    row: NDArray[np.float32],
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """See `tree_shap.Engine`."""
    effects = np.zeros(paths.feature_count)
    _add_effects(
        row,
        paths.starts,
        paths.feature,
        paths.low,
        paths.high,
        paths.share,
        paths.previous,
        paths.parent,
        paths.value,
        points,
        weights,
        effects,
    )
    return effects

"""The sums of `tree_shap`, compiled by numba when this module is imported."""

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from model_store.compilation import compiled
from model_store.forest_paths import ForestPaths

_row = types.Array(types.float32, 1, "C", readonly=True)
_indices = types.Array(types.int64, 1, "C", readonly=True)
_bounds = types.Array(types.float32, 1, "C", readonly=True)
_numbers = types.Array(types.float64, 1, "C", readonly=True)
_edges = (_indices, _bounds, _bounds, _numbers, _indices, _indices, _numbers)


@compiled(types.void(_row, *_edges, _numbers, _numbers, types.float64[::1]))
def _add_effects(row, feature, low, high, share, previous, above, value, points, weights, effects):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0917
    """Down: products along the paths. Up: sums over the leaves below, and each edge's effect."""
    shape = (len(feature), len(points))
    factor, product, below = np.empty(shape), np.empty(shape), np.zeros(shape)
    known = np.empty(len(feature))
    for edge in range(len(feature)):
        asked = row[feature[edge]]
        known[edge] = 1.0 if low[edge] < asked <= high[edge] else 0.0
        for q in range(len(points)):
            factor[edge, q] = known[edge] * points[q] + share[edge] * (1.0 - points[q])
            ratio = factor[edge, q]
            if previous[edge] >= 0:
                ratio /= factor[previous[edge], q]
            product[edge, q] = ratio * (product[above[edge], q] if above[edge] >= 0 else weights[q])
    for edge in range(len(feature) - 1, -1, -1):
        last = previous[edge]
        for q in range(len(points)):
            reached = below[edge, q] + product[edge, q] * value[edge]
            slope = (known[edge] - share[edge]) / factor[edge, q]
            if last >= 0:
                slope -= (known[last] - share[last]) / factor[last, q]
            effects[feature[edge]] += reached * slope
            if above[edge] >= 0:
                below[above[edge], q] += reached


def shapley_values(
    paths: ForestPaths,
    row: NDArray[np.float32],
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """See `tree_shap.Engine`."""
    edges = paths.edges
    effects = np.zeros(paths.feature_count)
    _add_effects(
        row,
        edges.feature,
        edges.low,
        edges.high,
        edges.share,
        edges.previous,
        edges.above,
        edges.value,
        points,
        weights,
        effects,
    )
    return effects

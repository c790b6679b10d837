"""Exact path-dependent Tree SHAP of a packed forest, for one row, in plain numpy.

The game: with the features S known, each tree answers the mean over the leaves that the row could
still reach, weighted by the training cover wherever a node asks for an unknown feature. For one
leaf this is a product over the features on its path of `o` (1: the row satisfies all of the
path's conditions on the feature, else 0) when known, `z` (the product of the cover ratios of those
conditions) when unknown. Since a Shapley weight is a beta integral, a feature's value is

    leaf * (o_j - z_j) * integral over t in [0, 1] of prod_{i != j} (o_i t + z_i (1 - t)),

a polynomial in t, which Gauss-Legendre quadrature with half as many points as there are features
on the longest path integrates exactly. Nothing is sampled: products run down the trees, sums over
leaves run up, and one row costs two passes over (nodes x points).
"""

import dataclasses
from functools import lru_cache
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from model_store.explain import numpy_sums
from model_store.explain.paths import ForestPaths
from model_store.forest.forest import PackedForest


class Engine(Protocol):
    """Works out the sums."""

    def __call__(
        self,
        paths: ForestPaths,
        row: NDArray[np.float32],
        points: NDArray[np.float64],
        weights: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """(feature_count,) the Shapley values of one row."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TreeShap:
    """Explains rows of one forest."""

    paths: ForestPaths
    base: float
    """What the forest answers when no feature is known."""
    points: NDArray[np.float64]
    """Quadrature points in (0, 1), and"""
    weights: NDArray[np.float64]
    """their weights, which sum to 1."""

    @classmethod
    def of(cls, forest: PackedForest) -> Self:
        """Prepare a forest: once per model, some tens of milliseconds."""
        paths = ForestPaths.of(forest)
        points, weights = np.polynomial.legendre.leggauss(
            max(1, (paths.max_path_features + 1) // 2)
        )
        return cls(
            paths=paths,
            base=_expected_value(forest),
            points=(points + 1.0) / 2.0,
            weights=weights / 2.0,
        )

    def explain(
        self, row: NDArray[np.float32], engine: Engine | None = None
    ) -> NDArray[np.float64]:
        """Shapley value of each feature (feature_count,); with `base` they sum to the mean.

        Args:
            row: (feature_count,) float32, one row of the encoder's matrix.
            engine: None takes the fastest that this machine has.
        """
        if row.shape != (self.paths.feature_count,) or row.dtype != np.float32:
            raise ValueError(f"expected {self.paths.feature_count} float32 values in a row")
        values = np.ascontiguousarray(row)
        return (engine or fastest_engine())(self.paths, values, self.points, self.weights)


@lru_cache(maxsize=1)
def fastest_engine() -> Engine:
    """The compiled engine, or the numpy one where numba cannot be imported."""
    try:
        from model_store.explain import kernels  # noqa: PLC0415 - optional, slow to import
    except ImportError:
        return numpy_sums.shapley_values
    return kernels.shapley_values


def _expected_value(forest: PackedForest) -> float:
    """Mean over the trees of the leaves' means, weighted by cover."""
    is_leaf = forest.left_children == np.arange(forest.node_count)
    tree = np.searchsorted(forest.roots, np.flatnonzero(is_leaf), side="right") - 1
    share = forest.covers[is_leaf] / forest.covers[forest.roots[tree]]
    return float((forest.leaves[is_leaf, 0] * share).sum() / forest.tree_count)

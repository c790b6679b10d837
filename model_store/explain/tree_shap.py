"""Exact path-dependent Tree SHAP of a packed forest, for one row.

In the game, with the set S of features known, each tree answers the mean over the leaves that the
row can still reach, weighted by training cover at every node whose feature is not in S. For one
leaf this is a product over the features on its path: `o` if the feature is known (1 if the row
satisfies all conditions of the path on it, else 0), `z` if not (the product of the cover ratios of
these conditions). Since the Shapley weight is a beta integral, the value of feature j is

    leaf * (o_j - z_j) * integral over t in [0, 1] of prod_{i != j} (o_i t + z_i (1 - t)).

The integrand is a polynomial in t; Gauss-Legendre quadrature with half as many points as the
longest path has features integrates it exactly. Nothing is sampled: one row costs a downward and an
upward pass over (nodes x points).
"""

import dataclasses
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model_store.explain.kernels import add_shapley_values
from model_store.explain.paths import ForestPaths
from model_store.forest.forest import PackedForest


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TreeShap:
    """Explains rows of one forest."""

    paths: ForestPaths
    base: float
    """Expected value of the forest: its answer when no feature is known."""
    points: NDArray[np.float64]
    """Quadrature points in (0, 1)."""
    weights: NDArray[np.float64]
    """Quadrature weights; they sum to 1."""

    @classmethod
    def of(cls, forest: PackedForest) -> Self:
        """Prepare a forest, once per model; takes some tens of milliseconds."""
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

    def explain(self, row: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shapley value of each feature (feature_count,); with `base` they sum to the mean.

        Args:
            row: (feature_count,) float32, one row of the encoder's matrix.

        Raises:
            ValueError: a row of another type or width.
        """
        paths = self.paths
        if row.shape != (paths.feature_count,) or row.dtype != np.float32:
            raise ValueError(f"expected {paths.feature_count} float32 values in a row")
        effects = np.zeros(paths.feature_count)
        add_shapley_values(
            np.ascontiguousarray(row), paths.starts, paths.feature, paths.low, paths.high,
            paths.share, paths.previous, paths.parent, paths.value, self.points, self.weights,
            effects,
        )  # fmt: skip
        return effects


def _expected_value(forest: PackedForest) -> float:
    """Mean over the trees of the leaves' means, weighted by cover."""
    is_leaf = forest.left_children == np.arange(forest.node_count)
    tree = np.searchsorted(forest.roots, np.flatnonzero(is_leaf), side="right") - 1
    share = forest.covers[is_leaf] / forest.covers[forest.roots[tree]]
    return float((forest.leaves[is_leaf, 0] * share).sum() / forest.tree_count)

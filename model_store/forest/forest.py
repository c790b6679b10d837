"""The packed forest that predicts while serving: flat arrays, without scikit-learn or pickle."""

import dataclasses
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model_store.forest.kernels import (
    BLOCK_ROWS,
    evaluate_complete_trees,
    mean_and_std,
    traverse_nodes,
)
from model_store.forest.packing import (
    FEATURE_BITS,
    MAX_FEATURES,
    NODE,
    CompleteTrees,
    packed_arrays,
)

Matrix = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ForestOutput:
    """Predictions for n rows, in the unit of the training targets."""

    mean: NDArray[np.float64]
    """(n,) mean over the trees, as scikit-learn's `predict`."""
    std: NDArray[np.float64]
    """(n,) total standard deviation: between the trees and within their leaves."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PackedForest:
    """A forest as flat arrays; `model_store.forest.packing` defines their layout."""

    nodes: NDArray[Any]
    leaves: NDArray[np.float64]
    covers: NDArray[np.float64]
    roots: NDArray[np.int64]
    depths: NDArray[np.int64]
    feature_count: int
    _complete_trees: CompleteTrees | None = dataclasses.field(init=False, default=None)
    """The same trees as complete trees, for many rows; None if one is too deep."""

    def __post_init__(self) -> None:
        """Validate the arrays and derive the complete trees.

        Raises:
            ValueError: the arrays do not describe a forest. The kernels are compiled without bounds
                checks, so every index must lie inside the arrays.
        """
        self._check_arrays()
        complete_trees = CompleteTrees.of(self.nodes, self.leaves, self.roots, self.depths)
        object.__setattr__(self, "_complete_trees", complete_trees)

    @classmethod
    def from_estimator(cls, estimator: Any) -> Self:
        """Pack a fitted scikit-learn random forest or extra-trees regressor.

        Raises:
            UnsupportedForestError: it cannot be packed.
        """
        return cls(**packed_arrays(estimator), feature_count=int(estimator.n_features_in_))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            ValueError: its arrays do not describe a forest.
        """
        with np.load(path, allow_pickle=False) as arrays:
            names = ("nodes", "leaves", "covers", "roots", "depths")
            stored = {name: arrays[name] for name in names}
            return cls(**stored, feature_count=int(arrays["feature_count"]))

    def save(self, path: Path) -> None:
        """Write the arrays as a compressed `.npz` file."""
        fields = (field.name for field in dataclasses.fields(self) if field.init)
        arrays = {name: np.asarray(getattr(self, name)) for name in fields}
        np.savez_compressed(path, allow_pickle=False, **arrays)

    def predict(self, matrix: Matrix) -> ForestOutput:
        """Mean and total standard deviation of each row, equal to scikit-learn's.

        Args:
            matrix: (n, feature_count) float32 without NaN; copied unless it is C-contiguous.

        Raises:
            ValueError: a matrix of another type or width.
        """
        self._check_matrix(matrix)
        rows, trees = np.ascontiguousarray(matrix), self._complete_trees
        sums = np.zeros((len(rows), 2))
        rest, rest_sums = rows, sums
        if trees is not None and len(rows) >= BLOCK_ROWS:
            evaluate_complete_trees(rows, trees.features, trees.thresholds, trees.leaves, sums)
            done = len(rows) - len(rows) % BLOCK_ROWS
            rest, rest_sums = rows[done:], sums[done:]
        traverse_nodes(rest, self.nodes, self.leaves, self.roots, self.depths, rest_sums)
        mean, std = np.empty(len(rows)), np.empty(len(rows))
        mean_and_std(sums, len(self.roots), mean, std)
        return ForestOutput(mean=mean, std=std)

    @property
    def tree_count(self) -> int:
        """Number of trees."""
        return len(self.roots)

    @property
    def node_count(self) -> int:
        """Number of nodes of all trees."""
        return len(self.nodes)

    @property
    def features(self) -> NDArray[np.uint32]:
        """(N,) the feature that each inner node compares; 0 at leaves."""
        mask = np.uint32(MAX_FEATURES - 1)
        return np.asarray(self.nodes["link"] & mask)

    @property
    def left_children(self) -> NDArray[np.uint32]:
        """(N,) index of each node's left child; a leaf has its own index."""
        return np.asarray(self.nodes["link"] >> np.uint32(FEATURE_BITS))

    def _check_matrix(self, matrix: Matrix) -> None:
        if matrix.dtype != np.float32:
            raise ValueError(f"the matrix must be float32, not {matrix.dtype}")
        if matrix.ndim != 2 or matrix.shape[1] != self.feature_count:  # noqa: PLR2004
            raise ValueError(f"expected {self.feature_count} columns, got shape {matrix.shape}")

    def _check_arrays(self) -> None:
        count = len(self.nodes)
        is_valid = (
            self.nodes.dtype == NODE
            and self.leaves.shape == (count, 2)
            and self.covers.shape == (count,)
            and self.roots.shape == self.depths.shape
            and len(self.roots) > 0
            and 0 <= self.roots.min() <= self.roots.max() < count
            and self.depths.min() >= 0
            and int(self.features.max()) < self.feature_count
        )
        if not is_valid or not _children_are_inside(self.left_children):
            raise ValueError("forest.npz does not describe a forest")


def _children_are_inside(left: NDArray[np.uint32]) -> bool:
    """Whether both children of every inner node come after it and inside the arrays."""
    own = np.arange(len(left))
    is_leaf = left == own
    return bool(np.all(is_leaf | ((left > own) & (left < len(left) - 1))))

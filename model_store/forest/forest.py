"""The packed forest that serving predicts with: flat arrays, no scikit-learn, no pickle."""

import dataclasses
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from model_store.forest import numpy_traversal
from model_store.forest.complete_trees import CompleteTrees
from model_store.forest.packing import FEATURE_BITS, MAX_FEATURES, NODE, packed_arrays

logger = logging.getLogger(__name__)

Matrix = NDArray[np.float32]


class Traversal(Protocol):
    """An engine that walks every row through every tree."""

    def __call__(  # noqa: PLR0917 - positional, as the compiled loops take them
        self,
        matrix: Matrix,
        nodes: NDArray[Any],
        leaves: NDArray[np.float64],
        roots: NDArray[np.int64],
        depths: NDArray[np.int64],
        complete_trees: CompleteTrees | None,
        /,
    ) -> NDArray[np.float64]:
        """(n, 2): per row, the sums over the trees of the leaf's mean and second moment."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ForestOutput:
    """What the forest says about each row, in the unit of its training targets."""

    mean: NDArray[np.float64]
    """(n,) mean over the trees: scikit-learn's `predict`."""
    std: NDArray[np.float64]
    """(n,) total standard deviation: spread between the trees and inside their leaves."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PackedForest:
    """A forest as flat arrays; `forest_packing` describes the layout."""

    nodes: NDArray[Any]
    leaves: NDArray[np.float64]
    covers: NDArray[np.float64]
    roots: NDArray[np.int64]
    depths: NDArray[np.int64]
    feature_count: int
    _complete_trees: CompleteTrees | None = dataclasses.field(init=False, default=None)
    """The same trees for many rows, if they are shallow."""

    def __post_init__(self) -> None:
        """Lay the trees out for many rows.

        Raises:
            ValueError: the arrays do not describe a forest. The walk is compiled without bounds
                checks, so that nothing may reach it that points outside.
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
        """Read what `save` wrote.

        Raises:
            ValueError: they do not describe a forest.
        """
        with np.load(path, allow_pickle=False) as arrays:
            return cls(
                nodes=arrays["nodes"],
                leaves=arrays["leaves"],
                covers=arrays["covers"],
                roots=arrays["roots"],
                depths=arrays["depths"],
                feature_count=int(arrays["feature_count"]),
            )

    def save(self, path: Path) -> None:
        """Write the arrays as a compressed `.npz` file."""
        fields = (field.name for field in dataclasses.fields(self) if field.init)
        arrays = {name: np.asarray(getattr(self, name)) for name in fields}
        np.savez_compressed(path, allow_pickle=False, **arrays)

    def predict(self, matrix: Matrix, traversal: Traversal | None = None) -> ForestOutput:
        """Mean and total standard deviation per row, equal to scikit-learn's.

        Args:
            matrix: (n, feature_count) float32 without NaN; C-contiguous, or it is copied.
            traversal: the engine; None takes the fastest that this machine has.

        Raises:
            ValueError: a matrix of another type or width.
        """
        self._check_matrix(matrix)
        walk = traversal or fastest_traversal()
        rows = np.ascontiguousarray(matrix)
        sums = walk(rows, self.nodes, self.leaves, self.roots, self.depths, self._complete_trees)
        mean, second_moment = (sums / len(self.roots)).T
        return ForestOutput(mean=mean, std=np.sqrt(np.maximum(second_moment - mean * mean, 0.0)))

    @property
    def tree_count(self) -> int:
        """How many trees vote."""
        return len(self.roots)

    @property
    def node_count(self) -> int:
        """How many nodes all trees have together."""
        return len(self.nodes)

    @property
    def features(self) -> NDArray[np.uint32]:
        """(N,) the feature that each inner node asks for; 0 at leaves."""
        mask = np.uint32(MAX_FEATURES - 1)
        return np.asarray(self.nodes["link"] & mask)

    @property
    def left_children(self) -> NDArray[np.uint32]:
        """(N,) index of each node's left child; a leaf's own index."""
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
    """Whether each node is a leaf or has both children after it, inside the arrays."""
    own = np.arange(len(left))
    is_leaf = left == own
    return bool(np.all(is_leaf | ((left > own) & (left < len(left) - 1))))


@lru_cache(maxsize=1)
def fastest_traversal() -> Traversal:
    """The compiled engine, or the numpy one where numba cannot be imported."""
    try:
        from model_store.forest import kernels  # noqa: PLC0415 - optional and slow to import
    except ImportError as error:
        logger.warning("forest_engine_fallback: numba cannot be imported (%s)", error)
        return numpy_traversal.traverse
    return kernels.traverse

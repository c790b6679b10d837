"""Shallow trees as complete ones, level by level: for blocks of many rows."""

import dataclasses
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model_store.forest.packing import FEATURE_BITS, MAX_FEATURES

MAX_DEPTH = 6
"""Inner levels of a complete tree. Its questions double with each level, so that deeper trees are
walked faster than they are asked in full."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CompleteTrees:
    """T trees without gaps: the children of question `i` are `2 i + 1` and `2 i + 2`.

    A leaf above the last level is repeated below itself, under questions that are never true.
    """

    features: NDArray[np.uint8]
    """(T, 2**MAX_DEPTH - 1)"""
    thresholds: NDArray[np.float32]
    """(T, 2**MAX_DEPTH - 1); a row goes to the right child when its feature is above."""
    leaves: NDArray[np.float64]
    """(T, 2**MAX_DEPTH, 2) as in `PackedForest`."""

    @classmethod
    def of(
        cls,
        nodes: NDArray[Any],
        leaves: NDArray[np.float64],
        roots: NDArray[np.int64],
        depths: NDArray[np.int64],
    ) -> Self | None:
        """Lay out packed trees; None if one of them is too deep."""
        if depths.max() > MAX_DEPTH:
            return None
        at = np.asarray(roots, dtype=np.int64)[:, None]
        features, thresholds = [], []
        for _ in range(MAX_DEPTH):
            node = nodes[at]
            features.append(node["link"] & np.uint32(MAX_FEATURES - 1))
            thresholds.append(node["threshold"])
            left = (node["link"] >> np.uint32(FEATURE_BITS)).astype(np.int64)
            children = np.stack([left, np.where(left == at, at, left + 1)], axis=2)
            at = children.reshape(len(roots), -1)
        return cls(
            features=np.concatenate(features, axis=1).astype(np.uint8),
            thresholds=np.concatenate(thresholds, axis=1),
            leaves=leaves[at],
        )

"""The walk through a packed forest in plain numpy: for machines without numba.

About ten times slower than the compiled one; the sums agree to the last bits of a float64.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.forest.complete_trees import CompleteTrees
from model_store.forest.packing import FEATURE_BITS, MAX_FEATURES

_BLOCK_ROWS = 512
"""Rows walked at once: keeps the temporary arrays of 200 trees near one megabyte each."""


def traverse(
    matrix: NDArray[np.float32],
    nodes: NDArray[Any],
    leaves: NDArray[np.float64],
    roots: NDArray[np.int64],
    depths: NDArray[np.int64],
    _complete_trees: CompleteTrees | None = None,
) -> NDArray[np.float64]:
    """See `forest.Traversal`."""
    sums = np.empty((len(matrix), 2))
    for start in range(0, len(matrix), _BLOCK_ROWS):
        block = matrix[start : start + _BLOCK_ROWS]
        reached = _reached_leaves(block, nodes, roots, int(depths.max()))
        sums[start : start + _BLOCK_ROWS] = leaves[reached].sum(axis=1)
    return sums


def _reached_leaves(
    block: NDArray[np.float32], nodes: NDArray[Any], roots: NDArray[np.int64], depth: int
) -> NDArray[np.int64]:
    """(rows, trees) index of the leaf that each row ends in."""
    rows = np.arange(len(block))[:, None]
    at = np.broadcast_to(roots, (len(block), len(roots)))
    for _ in range(depth):
        node = nodes[at]
        link = node["link"]
        goes_right = block[rows, link & (MAX_FEATURES - 1)] > node["threshold"]
        at = (link >> FEATURE_BITS).astype(np.int64) + goes_right
    return at

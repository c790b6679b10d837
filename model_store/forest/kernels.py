"""The walk through a packed forest, compiled by numba when this module is imported.

A walk is a chain of dependent loads, so one at a time leaves the processor waiting. Eight walks
go on at once: eight rows through one tree where there are rows enough (the tree then stays in the
nearest cache), eight trees for one row otherwise. Each row's leaves are added in the order of the
trees either way, so that a car's price is the same to the bit alone and inside any batch.

There are no threads in here: processes share the cores, and a fork at any time is safe.
"""

# Numba infers the types of what it compiles, from the signature that the outermost function states.
# ruff: noqa: ANN001, ANN202, PLR0917
# mypy: disable-error-code="no-untyped-def"

from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from data.compilation import compiled
from model_store.forest.complete_trees import CompleteTrees
from model_store.forest.level_kernels import BLOCK_ROWS, add_blocks
from model_store.forest.packing import FEATURE_BITS, MAX_FEATURES, NODE

_LANES = 8
_BLOCK_ROWS = 256
"""Rows that pass through all trees together: their features stay in the second cache."""

_SHIFT = np.uint32(FEATURE_BITS)
_FEATURE_MASK = np.uint32(MAX_FEATURES - 1)

_matrix = types.Array(types.float32, 2, "C", readonly=True)
_nodes = types.Array(numba.from_dtype(NODE), 1, "C", readonly=True)
_leaves = types.Array(types.float64, 2, "C", readonly=True)
_indices = types.Array(types.int64, 1, "C", readonly=True)
_sums = types.float64[:, ::1]
_forest = (_matrix, _nodes, _leaves, _indices, _indices, _sums)


@numba.njit
def _step(matrix, row, nodes, at):
    """The child of node `at` that a row goes to."""
    node = nodes[at]
    goes_right = matrix[row, node.link & _FEATURE_MASK] > node.threshold
    return np.uint32((node.link >> _SHIFT) + goes_right)


@numba.njit
def _add(sums, row, leaves, at):
    """Count leaf `at` for a row."""
    sums[row, 0] += leaves[at, 0]
    sums[row, 1] += leaves[at, 1]


@numba.njit(error_model="numpy")
def _walk_eight_rows(matrix, row, nodes, leaves, root, depth, sums):
    """Eight rows through one tree."""
    a = b = c = d = e = f = g = h = np.uint32(root)
    for _ in range(depth):
        a = _step(matrix, row, nodes, a)
        b = _step(matrix, row + 1, nodes, b)
        c = _step(matrix, row + 2, nodes, c)
        d = _step(matrix, row + 3, nodes, d)
        e = _step(matrix, row + 4, nodes, e)
        f = _step(matrix, row + 5, nodes, f)
        g = _step(matrix, row + 6, nodes, g)
        h = _step(matrix, row + 7, nodes, h)
    for offset, leaf in enumerate((a, b, c, d, e, f, g, h)):
        _add(sums, row + offset, leaves, leaf)


@numba.njit(error_model="numpy")
def _walk_eight_trees(matrix, row, nodes, leaves, roots, depths, sums):
    """One row through eight trees; a walk that ends early stays on its leaf."""
    a, b, c, d = np.uint32(roots[0]), np.uint32(roots[1]), np.uint32(roots[2]), np.uint32(roots[3])
    e, f, g, h = np.uint32(roots[4]), np.uint32(roots[5]), np.uint32(roots[6]), np.uint32(roots[7])
    for _ in range(depths.max()):
        a = _step(matrix, row, nodes, a)
        b = _step(matrix, row, nodes, b)
        c = _step(matrix, row, nodes, c)
        d = _step(matrix, row, nodes, d)
        e = _step(matrix, row, nodes, e)
        f = _step(matrix, row, nodes, f)
        g = _step(matrix, row, nodes, g)
        h = _step(matrix, row, nodes, h)
    for leaf in (a, b, c, d, e, f, g, h):
        _add(sums, row, leaves, leaf)


@numba.njit(error_model="numpy")
def _walk_row(matrix, row, nodes, leaves, roots, depths, sums):
    """One row through all trees."""
    grouped = len(roots) - len(roots) % _LANES
    for tree in range(0, grouped, _LANES):
        group = slice(tree, tree + _LANES)
        _walk_eight_trees(matrix, row, nodes, leaves, roots[group], depths[group], sums)
    for tree in range(grouped, len(roots)):
        at = np.uint32(roots[tree])
        for _ in range(depths[tree]):
            at = _step(matrix, row, nodes, at)
        _add(sums, row, leaves, at)


@compiled(types.void(*_forest))
def _walk(matrix, nodes, leaves, roots, depths, sums):
    """All rows through all trees."""
    grouped = len(matrix) - len(matrix) % _LANES
    for start in range(0, grouped, _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, grouped)
        for tree in range(len(roots)):
            for row in range(start, stop, _LANES):
                _walk_eight_rows(matrix, row, nodes, leaves, roots[tree], depths[tree], sums)
    for row in range(grouped, len(matrix)):
        _walk_row(matrix, row, nodes, leaves, roots, depths, sums)


def traverse(
    matrix: NDArray[np.float32],
    nodes: NDArray[Any],
    leaves: NDArray[np.float64],
    roots: NDArray[np.int64],
    depths: NDArray[np.int64],
    complete_trees: CompleteTrees | None,
) -> NDArray[np.float64]:
    """See `forest.Traversal`."""
    sums = np.zeros((len(matrix), 2))
    done = 0
    if complete_trees is not None and len(matrix) >= BLOCK_ROWS:
        add_blocks(
            matrix, complete_trees.features, complete_trees.thresholds, complete_trees.leaves, sums
        )
        done = len(matrix) - len(matrix) % BLOCK_ROWS
    _walk(matrix[done:], nodes, leaves, roots, depths, sums[done:])
    return sums

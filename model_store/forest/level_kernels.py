"""All questions of shallow trees at once, compiled by numba when this module is imported.

A walk takes one step after the other, each from memory. For a block of rows it is cheaper to ask
a tree's every question of all rows: the rows' values of one feature lie side by side, so one
instruction compares many, and nothing depends on an answer. Six levels are nine times three: the
three at the top say which of the eight below counts.
"""

# Numba infers the types of what it compiles, from the signature that the outermost function states.
# ruff: noqa: ANN001, ANN201, ANN202, D417
# mypy: disable-error-code="no-untyped-def, assignment"

import numba
import numpy as np
from numba import types

from data.compilation import compiled

BLOCK_ROWS = 256
"""Rows that are asked together: their features and answers stay in the nearest cache."""

_FIRST_LOWER_BLOCK = 7
"""The first question of the fourth level: seven are above it."""

_matrix = types.Array(types.float32, 2, "C", readonly=True)
_features = types.Array(types.uint8, 2, "C", readonly=True)
_leaves = types.Array(types.float64, 3, "C", readonly=True)


@numba.njit(inline="never")
def _evaluate_three_levels(columns, features, thresholds, top, places):
    """Which of eight places each row comes to, below question `top` and the six under it."""
    left, right = 2 * top + 1, 2 * top + 2
    a, b, c = columns[features[top]], columns[features[left]], columns[features[right]]
    d, e = columns[features[2 * left + 1]], columns[features[2 * left + 2]]
    f, g = columns[features[2 * right + 1]], columns[features[2 * right + 2]]
    over_a, over_b, over_c = thresholds[top], thresholds[left], thresholds[right]
    over_d, over_e = thresholds[2 * left + 1], thresholds[2 * left + 2]
    over_f, over_g = thresholds[2 * right + 1], thresholds[2 * right + 2]
    two, four, six = np.uint8(2), np.uint8(4), np.uint8(6)
    for row in range(BLOCK_ROWS):
        at_left = two + np.uint8(e[row] > over_e) if b[row] > over_b else np.uint8(d[row] > over_d)
        at_right = np.uint8(g[row] > over_g) + six
        if not c[row] > over_c:
            at_right = np.uint8(f[row] > over_f) + four
        places[row] = at_right if a[row] > over_a else at_left


@compiled(types.void(_matrix, _features, _matrix, _leaves, types.float64[:, ::1]))
def add_blocks(matrix, features, thresholds, leaves, sums):
    """Add the leaves of all whole blocks of rows to `sums`, in the order of the trees.

    Args:
        matrix: (n, k) as for `forest.Traversal`.
        features, thresholds, leaves: of `CompleteTrees`.
        sums: (n, 2); rows after the last whole block stay as they are.
    """
    columns = np.empty((matrix.shape[1], BLOCK_ROWS), dtype=np.float32)
    top = np.empty(BLOCK_ROWS, dtype=np.uint8)
    below = np.empty((8, BLOCK_ROWS), dtype=np.uint8)
    for start in range(0, len(matrix) - len(matrix) % BLOCK_ROWS, BLOCK_ROWS):
        for row in range(BLOCK_ROWS):
            for column in range(matrix.shape[1]):
                columns[column, row] = matrix[start + row, column]
        for tree in range(len(features)):
            _evaluate_three_levels(columns, features[tree], thresholds[tree], 0, top)
            for part in range(8):
                _evaluate_three_levels(
                    columns,
                    features[tree],
                    thresholds[tree],
                    _FIRST_LOWER_BLOCK + part,
                    below[part],
                )
            for row in range(BLOCK_ROWS):
                part = np.uint64(top[row])
                leaf = (part << np.uint64(3)) | np.uint64(below[part, np.uint64(row)])
                sums[start + row, 0] += leaves[tree, leaf, 0]
                sums[start + row, 1] += leaves[tree, leaf, 1]

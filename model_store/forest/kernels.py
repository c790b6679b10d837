"""The matrix of a packed forest and loops over it, compiled by numba at import.

Each step of a traversal loads a node from memory and depends on the step before. Eight traversals
are therefore interleaved: eight rows through one tree where there are enough rows (the tree stays
in the level-1 cache), otherwise one row through eight trees. Either way the leaves of a row are
added in the order of the trees, so a car has the same price, to the bit, alone and in any batch.

The loops start no threads: each process uses one core, and forking is always safe. This module
imports no other kernels, so that `worker.kernel_cache` compiles each module once.
"""

# Numba infers the types of what it compiles from the signature of the outermost function.
# ruff: noqa: ANN001, ANN201, ANN202, D417, PLR0917
# mypy: disable-error-code="no-untyped-def, assignment"

import numba
import numpy as np
from numba import types

from data.compilation import compiled
from model_store.forest.packing import FEATURE_BITS, MAX_FEATURES, NODE

BLOCK_ROWS = 256
"""Rows that are evaluated together by `evaluate_complete_trees`: they stay in the level-1 cache."""
_FIRST_LOWER_BLOCK = 7
"""The first node of the fourth level: seven nodes are above it."""
_LANES = 8
"""Independent traversals that are interleaved."""
_CACHE_ROWS = 256
"""Rows that pass through all trees together: their features stay in the level-2 cache."""

_SHIFT = np.uint32(FEATURE_BITS)
_FEATURE_MASK = np.uint32(MAX_FEATURES - 1)

_matrix = types.Array(types.float32, 2, "C", readonly=True)
_nodes = types.Array(numba.from_dtype(NODE), 1, "C", readonly=True)
_leaves = types.Array(types.float64, 2, "C", readonly=True)
_indices = types.Array(types.int64, 1, "C", readonly=True)
_sums = types.float64[:, ::1]
_features = types.Array(types.uint8, 2, "C", readonly=True)
_complete_leaves = types.Array(types.float64, 3, "C", readonly=True)
_means = types.float64[::1]
_codes = types.Array(types.int64, 2, "A", readonly=True)
_values = types.Array(types.float64, 2, "A", readonly=True)
_flags = types.Array(types.boolean, 1, "C", readonly=True)
_parts = types.Array(types.float64, 2, "C", readonly=True)
_limits = types.Array(types.float64, 1, "C", readonly=True)
_arguments = (_matrix, _nodes, _leaves, _indices, _indices, _sums)


@numba.njit
def _step(matrix, row, nodes, at):
    """The child of node `at` that a row goes to."""
    node = nodes[at]
    goes_right = matrix[row, node.link & _FEATURE_MASK] > node.threshold
    return np.uint32((node.link >> _SHIFT) + goes_right)


@numba.njit
def _add(sums, row, leaves, at):
    """Add leaf `at` to the sums of a row."""
    sums[row, 0] += leaves[at, 0]
    sums[row, 1] += leaves[at, 1]


@numba.njit(error_model="numpy")
def _traverse_eight_rows(matrix, row, nodes, leaves, root, depth, sums):
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
def _traverse_eight_trees(matrix, row, nodes, leaves, roots, depths, sums):
    """One row through eight trees; a traversal that reaches a leaf stays there."""
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
def _traverse_row(matrix, row, nodes, leaves, roots, depths, sums):
    """One row through all trees."""
    grouped = len(roots) - len(roots) % _LANES
    for tree in range(0, grouped, _LANES):
        group = slice(tree, tree + _LANES)
        _traverse_eight_trees(matrix, row, nodes, leaves, roots[group], depths[group], sums)
    for tree in range(grouped, len(roots)):
        at = np.uint32(roots[tree])
        for _ in range(depths[tree]):
            at = _step(matrix, row, nodes, at)
        _add(sums, row, leaves, at)


@compiled(types.void(*_arguments))
def traverse_nodes(matrix, nodes, leaves, roots, depths, sums):
    """Add the leaves that all rows reach in all trees to `sums`, in the order of the trees.

    Args:
        matrix: (n, k) encoded cars.
        nodes, leaves, roots, depths: of `PackedForest`.
        sums: (n, 2) mean and second moment.
    """
    grouped = len(matrix) - len(matrix) % _LANES
    for start in range(0, grouped, _CACHE_ROWS):
        stop = min(start + _CACHE_ROWS, grouped)
        for tree in range(len(roots)):
            for row in range(start, stop, _LANES):
                _traverse_eight_rows(matrix, row, nodes, leaves, roots[tree], depths[tree], sums)
    for row in range(grouped, len(matrix)):
        _traverse_row(matrix, row, nodes, leaves, roots, depths, sums)


@compiled(types.void(_sums, types.int64, _means, _means))
def mean_and_std(sums, trees, mean, std):
    """Mean and total standard deviation of rows by the sums of their leaves.

    Args:
        sums: (n, 2) mean and second moment, summed over the trees.
        trees: their number.
        mean: (n,) output.
        std: (n,) output.
    """
    for row in range(len(sums)):
        mean[row] = sums[row, 0] / trees
        variance = sums[row, 1] / trees - mean[row] * mean[row]
        std[row] = 0.0 if variance < 0.0 else np.sqrt(variance)


@numba.njit(inline="never")
def _evaluate_three_levels(columns, features, thresholds, top, subtrees):
    """Write which of the eight subtrees three levels below node `top` each row reaches."""
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
        subtrees[row] = at_right if a[row] > over_a else at_left


@compiled(types.void(_matrix, _features, _matrix, _complete_leaves, _sums))
def evaluate_complete_trees(matrix, features, thresholds, leaves, sums):
    """Add the leaves that the rows of whole blocks reach to `sums`, in the order of the trees.

    For a block of rows, evaluating every node of a shallow tree is cheaper than traversing it: the
    values of one feature are adjacent, so one instruction compares several rows, and no comparison
    depends on another. A six-level tree is evaluated as nine three-level blocks; the top block
    selects which of the eight lower ones applies.

    Args:
        matrix: (n, k) encoded cars.
        features, thresholds, leaves: of `CompleteTrees`.
        sums: (n, 2) mean and second moment; rows after the last whole block are unchanged.
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


@numba.njit(error_model="numpy")
def _information_level(codes, numbers, lacks_details, bounds, max_km, places, levels):
    """The level of information of one car; the arguments are those of `lay_out_features`."""
    if codes[places[0]] == 0:
        return levels[3] if codes[places[1]] == 0 else levels[2]
    # Comparisons with NaN, a missing number, are false.
    outside = numbers[places[3]] > max_km[codes[places[2]]]
    for number in range(len(numbers)):
        outside |= numbers[number] < bounds[0, number] or numbers[number] > bounds[1, number]
    if outside:
        return levels[1]
    return levels[0] if lacks_details else 0


@compiled(
    types.void(
        _codes, _values, _values, _flags, _parts, types.float64, _indices, _values, _limits,
        _indices, _indices, types.float32[:, ::1], _means, types.int8[::1],
    )
)  # fmt: skip
def lay_out_features(
    codes, numbers, categories, lacks_details, parts, intercept, picked, bounds, max_km, places,
    levels, matrix, baseline_log, level,
):  # fmt: skip
    """Write the baseline's log price, the forest's matrix and the level of information.

    Args:
        codes: (n, keys) of the cars.
        numbers: (n, numbers) of the cars, NaN where missing.
        categories: (n, categories) ordinal codes of the values, -1 where missing.
        lacks_details: (n,) whether a detail is missing.
        parts: (n, parts) effects of the baseline.
        intercept: of the baseline.
        picked: (k,) the value of each column of the matrix among numbers, categories, parts and
            the baseline; -1: zero.
        bounds: (2, numbers) training ranges.
        max_km: (years + 1,) most kilometres in the training range by the code of the year.
        places: columns of vehicle, company and year in `codes`, of the kilometres in `numbers`.
        levels: the levels of cars that lack details, have a number outside the training range, are
            of an unknown model, and of an unknown brand.
        matrix: (n, k) output.
        baseline_log: (n,) output, log price.
        level: (n,) output.
    """
    first_category = numbers.shape[1]
    first_part = first_category + categories.shape[1]
    baseline_at = first_part + parts.shape[1]
    for car in range(len(level)):
        total = intercept
        for part in range(parts.shape[1]):
            total += parts[car, part]
        baseline_log[car] = total
        for column in range(len(picked)):
            at = picked[column]
            value = 0.0
            if at == baseline_at:
                value = total
            elif at >= first_part:
                value = parts[car, at - first_part]
            elif at >= first_category:
                value = categories[car, at - first_category]
            elif at >= 0:
                value = numbers[car, at]
                if np.isnan(value):
                    value = -1.0
            matrix[car, column] = value
        level[car] = _information_level(
            codes[car], numbers[car], lacks_details[car], bounds, max_km, places, levels
        )

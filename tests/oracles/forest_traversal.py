"""Predictions of a packed forest in plain numpy: what the compiled kernels are compared with."""

import numpy as np
from numpy.typing import NDArray

from model_store.forest.forest import ForestOutput, Matrix, PackedForest


def predict(forest: PackedForest, matrix: Matrix) -> ForestOutput:
    """As `PackedForest.predict`, to the last bits of a float64."""
    leaves = forest.leaves[reached_leaves(forest, matrix)]
    mean, second_moment = leaves.mean(axis=1).T
    return ForestOutput(mean=mean, std=np.sqrt(np.maximum(second_moment - mean * mean, 0.0)))


def reached_leaves(forest: PackedForest, matrix: Matrix) -> NDArray[np.int64]:
    """(rows, trees) index of the leaf that each row reaches."""
    rows = np.arange(len(matrix))[:, None]
    at = np.broadcast_to(forest.roots, (len(matrix), forest.tree_count))
    for _ in range(int(forest.depths.max())):
        goes_right = matrix[rows, forest.features[at]] > forest.nodes["threshold"][at]
        at = forest.left_children[at].astype(np.int64) + goes_right
    return at

"""How a scikit-learn forest becomes flat arrays, and the layout of those arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NODE = np.dtype([("threshold", "<f4"), ("link", "<u4")])
"""Eight bytes, so that eight nodes share a cache line. A row goes to the left child when its
feature is at most `threshold`, otherwise to the node after it. `link` holds the left child's
index (upper 24 bits) and the feature (lower 8). A leaf has an infinite threshold and links to
itself, so that every walk may take as many steps as its tree is deep and never asks for leaves."""

FEATURE_BITS = 8
MAX_FEATURES = 1 << FEATURE_BITS
MAX_NODES = 1 << (32 - FEATURE_BITS)


class UnsupportedForestError(ValueError):
    """The estimator is not a forest that can be packed; the message says why."""


def packed_arrays(estimator: Any) -> dict[str, NDArray[Any]]:
    """Pack a fitted `RandomForestRegressor` or `ExtraTreesRegressor`.

    Returns:
        `nodes` (N,), `leaves` (N, 2): mean and second moment of the training targets,
        `covers` (N,): training weight, `roots` (T,) and `depths` (T,).

    Raises:
        UnsupportedForestError: another criterion than squared error, several outputs, or more
            features or nodes than a packed node can name.
    """
    _check(estimator)
    trees = [_packed_tree(member.tree_) for member in estimator.estimators_]
    sizes = [len(left) for left, *_ in trees]
    if sum(sizes) > MAX_NODES:
        raise UnsupportedForestError(f"{sum(sizes)} nodes; at most {MAX_NODES} can be packed")
    roots = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64)
    left = np.concatenate([tree[0] + root for tree, root in zip(trees, roots, strict=True)])
    nodes = np.empty(len(left), dtype=NODE)
    nodes["threshold"] = np.concatenate([tree[2] for tree in trees])
    nodes["link"] = left << FEATURE_BITS | np.concatenate([tree[1] for tree in trees])
    return {
        "nodes": nodes,
        "leaves": np.concatenate([tree[3] for tree in trees]),
        "covers": np.concatenate([tree[4] for tree in trees]),
        "roots": roots,
        "depths": np.array([member.tree_.max_depth for member in estimator.estimators_], np.int64),
    }


def floor_to_float32(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 at most each threshold: then `x <= t` keeps its truth for every x.

    scikit-learn compares float32 features with float64 thresholds; rounding to the nearest
    float32 would let a feature one step above a threshold pass below it.
    """
    nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf), dtype=np.float32)
    return np.where(nearest > thresholds, below, nearest)


def _check(estimator: Any) -> None:
    if not hasattr(estimator, "estimators_") or not hasattr(estimator, "criterion"):
        raise UnsupportedForestError(f"{type(estimator).__name__} is not a fitted forest")
    if estimator.criterion != "squared_error":
        raise UnsupportedForestError(
            f"criterion {estimator.criterion!r}: intervals need the variance of each leaf, "
            "which only 'squared_error' keeps"
        )
    if estimator.n_outputs_ != 1:
        raise UnsupportedForestError(f"{estimator.n_outputs_} outputs; only one can be packed")
    if estimator.n_features_in_ > MAX_FEATURES:
        raise UnsupportedForestError(
            f"{estimator.n_features_in_} features; at most {MAX_FEATURES} can be packed"
        )


def _packed_tree(
    tree: Any,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Left child, feature, threshold, leaf values and cover of a tree's nodes, level by level."""
    order = _level_order(tree.children_left, tree.children_right)
    own = np.arange(len(order))
    position = np.empty_like(own)
    position[order] = own
    is_leaf = tree.children_left[order] < 0
    left = np.where(is_leaf, own, position[tree.children_left[order]])
    feature = np.where(is_leaf, 0, tree.feature[order])
    threshold = np.where(is_leaf, np.float32(np.inf), floor_to_float32(tree.threshold[order]))
    mean = tree.value[order, 0, 0]
    second_moment = tree.impurity[order] + mean * mean
    cover = tree.weighted_n_node_samples[order]
    return left, feature, threshold, np.stack([mean, second_moment], axis=1), cover


def _level_order(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Node ids from the root down, both children of a node side by side."""
    levels = [np.zeros(1, dtype=np.int64)]
    while True:
        inner = levels[-1][left[levels[-1]] >= 0]
        if not inner.size:
            return np.concatenate(levels)
        levels.append(np.stack([left[inner], right[inner]], axis=1).ravel())

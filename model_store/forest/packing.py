"""Packs a scikit-learn forest into flat arrays, and defines the layouts of those arrays."""

import dataclasses
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

NODE = np.dtype([("threshold", "<f4"), ("link", "<u4")])
"""One node, 8 bytes: a cache line holds eight. A row goes to the left child when its feature is at
most `threshold`, otherwise to the node after the left child. `link` holds the index of the left
child (upper 24 bits) and the feature (lower 8 bits). A leaf has an infinite threshold and links to
itself, so a traversal takes as many steps as the tree is deep without testing for leaves."""

FEATURE_BITS = 8
MAX_FEATURES = 1 << FEATURE_BITS
MAX_NODES = 1 << (32 - FEATURE_BITS)
COMPLETE_TREE_DEPTH = 6
"""Levels of inner nodes of a complete tree. Each level doubles the number of comparisons, so deeper
trees are faster to traverse node by node."""


class UnsupportedForestError(ValueError):
    """The estimator cannot be packed; the message gives the reason."""


def packed_arrays(estimator: Any) -> dict[str, NDArray[Any]]:
    """Pack a fitted `RandomForestRegressor` or `ExtraTreesRegressor`.

    Returns:
        `nodes` (N,), `leaves` (N, 2): mean and second moment of the training targets,
        `covers` (N,): training weight, `roots` (T,) and `depths` (T,).

    Raises:
        UnsupportedForestError: a criterion other than squared error, several outputs, or more
            features or nodes than a packed node can address.
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


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CompleteTrees:
    """T shallow trees as complete binary trees: node `i` has the children `2 i + 1` and `2 i + 2`.

    A leaf above the last level is repeated in the last level, below inner nodes whose comparison
    is always false.
    """

    features: NDArray[np.uint8]
    """(T, 2**COMPLETE_TREE_DEPTH - 1)"""
    thresholds: NDArray[np.float32]
    """(T, 2**COMPLETE_TREE_DEPTH - 1); a row goes right when its feature is above."""
    leaves: NDArray[np.float64]
    """(T, 2**COMPLETE_TREE_DEPTH, 2), mean and second moment."""

    @classmethod
    def of(
        cls,
        nodes: NDArray[Any],
        leaves: NDArray[np.float64],
        roots: NDArray[np.int64],
        depths: NDArray[np.int64],
    ) -> Self | None:
        """Lay out packed trees; None if one of them is too deep."""
        if depths.max() > COMPLETE_TREE_DEPTH:
            return None
        at = np.asarray(roots, dtype=np.int64)[:, None]
        features, thresholds = [], []
        for _ in range(COMPLETE_TREE_DEPTH):
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


def floor_to_float32(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round thresholds down to float32, so that `x <= threshold` is unchanged for every float32 x.

    scikit-learn compares float32 features with float64 thresholds. With rounding to the nearest
    float32, a feature one float32 above a threshold could compare as below it.
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
    """Left child, feature, threshold, leaf values and cover of each node, in level order."""
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
    """Node ids level by level; the two children of a node are adjacent."""
    levels = [np.zeros(1, dtype=np.int64)]
    while True:
        inner = levels[-1][left[levels[-1]] >= 0]
        if not inner.size:
            return np.concatenate(levels)
        levels.append(np.stack([left[inner], right[inner]], axis=1).ravel())

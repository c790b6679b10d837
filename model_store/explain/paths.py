"""The conditions on each feature along the paths of a packed forest, computed once per model."""

import dataclasses
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model_store.forest.forest import PackedForest

Indices = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ForestPaths:
    """Arrays over the N nodes, in the order of the packed forest: parents before children.

    Each node stands for the path from its root to it; `feature` is the feature of the path's last
    step. At a root, which has no step, the values are neutral.
    """

    starts: Indices
    """(T + 1,) the root of each tree, and N."""
    feature: Indices
    low: NDArray[np.float32]
    """The path admits values of the feature above `low`."""
    high: NDArray[np.float32]
    """The path admits values of the feature up to `high`."""
    share: NDArray[np.float64]
    """Product of the cover ratios of the path's steps with the feature: its `z`."""
    previous: Indices
    """Node of the path's previous step with the same feature; the root if there is none."""
    parent: Indices
    value: NDArray[np.float64]
    """A leaf's value divided by the number of trees; 0 at inner nodes."""
    max_path_features: int
    """The largest number of features on one path."""
    feature_count: int

    @classmethod
    def of(cls, forest: PackedForest) -> Self:
        """Traverse all trees of a forest together, level by level."""
        arrays, max_path_features = _at_roots(forest), 0
        frontier = _Frontier.at_roots(forest)
        while frontier.descend(forest, arrays):
            max_path_features = max(max_path_features, frontier.max_path_features)
        return cls(
            starts=np.append(forest.roots, forest.node_count),
            max_path_features=max_path_features,
            feature_count=forest.feature_count,
            **arrays,
        )


def _at_roots(forest: PackedForest) -> dict[str, NDArray[Any]]:
    """The arrays over the nodes with the values of roots; `_Frontier` fills in the other nodes."""
    own = np.arange(forest.node_count)
    is_leaf = forest.left_children == own
    return {
        "feature": np.zeros_like(own),
        "low": np.full(len(own), -np.inf, np.float32),
        "high": np.full(len(own), np.inf, np.float32),
        "share": np.ones(len(own)),
        "previous": own.copy(),
        "parent": own.copy(),
        "value": np.where(is_leaf, forest.leaves[:, 0], 0.0) / forest.tree_count,
    }


@dataclasses.dataclass(kw_only=True, slots=True, eq=False)
class _Frontier:
    """The nodes of one level, with the conditions of each path on every feature."""

    nodes: Indices
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    share: NDArray[np.float64]
    last_split_node: Indices
    """(nodes, features), as `low`, `high` and `share`; the root if the path has no such step."""
    path_feature_count: Indices
    """(nodes,) number of features on the path."""

    @classmethod
    def at_roots(cls, forest: PackedForest) -> Self:
        shape = (forest.tree_count, forest.feature_count)
        return cls(
            nodes=forest.roots,
            low=np.full(shape, -np.inf, np.float32),
            high=np.full(shape, np.inf, np.float32),
            share=np.ones(shape),
            last_split_node=np.repeat(forest.roots[:, None], forest.feature_count, axis=1),
            path_feature_count=np.zeros(forest.tree_count, np.int64),
        )

    @property
    def max_path_features(self) -> int:
        """The largest number of features on a path of this level."""
        return int(self.path_feature_count.max())

    def descend(self, forest: PackedForest, arrays: dict[str, NDArray[Any]]) -> bool:
        """Move to the children and fill in `arrays` for them; False if there are none."""
        inner = np.flatnonzero(forest.left_children[self.nodes] != self.nodes)
        if not inner.size:
            return False
        parents = self.nodes[inner]
        left = forest.left_children[parents].astype(np.int64)
        feature = forest.features[parents].astype(np.int64)
        threshold = forest.nodes["threshold"][parents]
        pairs = np.arange(len(inner)) * 2
        self._take(np.repeat(inner, 2))
        self.nodes = np.stack([left, left + 1], axis=1).ravel()
        # A split lies inside the bounds of its ancestors: the new bound is always the tighter one.
        self.high[pairs, feature] = threshold
        self.low[pairs + 1, feature] = threshold
        parents, feature = np.repeat(parents, 2), np.repeat(feature, 2)
        at = np.arange(len(feature)), feature
        self.share[at] *= forest.covers[self.nodes] / forest.covers[parents]
        previous = self.last_split_node[at]
        self.path_feature_count += arrays["parent"][previous] == previous
        self.last_split_node[at] = self.nodes
        described = {
            "feature": feature,
            "low": self.low[at],
            "high": self.high[at],
            "share": self.share[at],
            "previous": previous,
            "parent": parents,
        }
        for name, values in described.items():
            arrays[name][self.nodes] = values
        return True

    def _take(self, places: Indices) -> None:
        """Select the paths at `places`; each parent occurs once for each child."""
        for name in ("low", "high", "share", "last_split_node", "path_feature_count"):
            setattr(self, name, getattr(self, name)[places])

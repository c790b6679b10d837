"""What the paths of a packed forest say about each feature, worked out once per model."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from model_store.forest import PackedForest


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Edges:
    """Edges of one level of all trees, or of all levels one after another.

    An edge leads from a node to a child, states a condition on one feature, and stands for the
    whole path to it. The two edges of a node stand side by side.
    """

    feature: NDArray[np.int64]
    """(E,) the feature of the edge's condition."""
    low: NDArray[np.float32]
    """(E,) the path admits values of the feature above `low`,"""
    high: NDArray[np.float32]
    """(E,) and up to `high`."""
    share: NDArray[np.float64]
    """(E,) product of the cover ratios of the path's conditions on the feature."""
    previous: NDArray[np.int64]
    """(E,) the last edge above with the same feature, counted over all levels; -1: none."""
    above: NDArray[np.int64]
    """(E,) the edge above, counted over all levels; -1: the edge hangs from a root."""
    value: NDArray[np.float64]
    """(E,) the leaf's value divided by the number of trees; 0 above inner nodes."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ForestPaths:
    """All edges of a forest, the topmost level first."""

    edges: Edges
    levels: tuple[slice, ...]
    """Where the edges of each level stand."""
    most_features: int
    """The largest number of features on one path."""
    feature_count: int


@dataclasses.dataclass(kw_only=True, slots=True, eq=False)
class _Frontier:
    """The nodes of one level, and what the path to each says about every feature."""

    nodes: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    share: NDArray[np.float64]
    last_edge: NDArray[np.int64]
    """(nodes, features) each; `low`, `high`, `share` and `previous` of the edges to come."""
    edge: NDArray[np.int64]
    """(nodes,) the edge to each node; -1 at the roots."""

    @property
    def most_features(self) -> int:
        """The largest number of features that a path so far asks for."""
        return int((self.last_edge >= 0).sum(axis=1).max())


def paths_of(forest: PackedForest) -> ForestPaths:
    """Walk all trees of a forest together, level by level."""
    frontier = _roots(forest)
    edges: list[Edges] = []
    levels: list[slice] = []
    edge_count = most_features = 0
    while (inner := _inner_nodes(forest, frontier)).size:
        edges.append(_descend(forest, frontier, inner, first_edge=edge_count))
        levels.append(slice(edge_count, edge_count := edge_count + len(frontier.nodes)))
        most_features = max(most_features, frontier.most_features)
    return ForestPaths(
        edges=_joined(edges),
        levels=tuple(levels),
        most_features=most_features,
        feature_count=forest.feature_count,
    )


def _roots(forest: PackedForest) -> _Frontier:
    shape = (forest.tree_count, forest.feature_count)
    return _Frontier(
        nodes=forest.roots,
        low=np.full(shape, -np.inf, np.float32),
        high=np.full(shape, np.inf, np.float32),
        share=np.ones(shape),
        last_edge=np.full(shape, -1, np.int64),
        edge=np.full(forest.tree_count, -1, np.int64),
    )


def _inner_nodes(forest: PackedForest, frontier: _Frontier) -> NDArray[np.int64]:
    """Where in the frontier the nodes with children stand."""
    return np.flatnonzero(forest.left_children[frontier.nodes] != frontier.nodes)


def _descend(
    forest: PackedForest, frontier: _Frontier, inner: NDArray[np.int64], *, first_edge: int
) -> Edges:
    """Move the frontier to the children of its inner nodes; return the edges taken."""
    parents = frontier.nodes[inner]
    left = forest.left_children[parents].astype(np.int64)
    children = np.stack([left, left + 1], axis=1).ravel()
    feature = np.repeat(forest.features[parents].astype(np.int64), 2)
    taken, at = np.repeat(inner, 2), (np.arange(len(children)), feature)
    above, previous = frontier.edge[taken], frontier.last_edge[taken, feature]
    frontier.low, frontier.high = frontier.low[taken], frontier.high[taken]
    frontier.share, frontier.last_edge = frontier.share[taken], frontier.last_edge[taken]
    left_at, right_at = (at[0][0::2], feature[0::2]), (at[0][1::2], feature[1::2])
    threshold = forest.nodes["threshold"][parents]
    frontier.high[left_at] = np.minimum(frontier.high[left_at], threshold)
    frontier.low[right_at] = np.maximum(frontier.low[right_at], threshold)
    frontier.share[at] *= forest.covers[children] / np.repeat(forest.covers[parents], 2)
    frontier.nodes, frontier.edge = children, first_edge + at[0]
    frontier.last_edge[at] = frontier.edge
    is_leaf = forest.left_children[children] == children
    return Edges(
        feature=feature,
        low=frontier.low[at],
        high=frontier.high[at],
        share=frontier.share[at],
        previous=previous,
        above=above,
        value=np.where(is_leaf, forest.leaves[children, 0], 0.0) / forest.tree_count,
    )


def _joined(levels: list[Edges]) -> Edges:
    """All levels in one; the empty one gives the arrays of a forest of bare roots their types."""
    none = Edges(
        feature=np.empty(0, np.int64),
        low=np.empty(0, np.float32),
        high=np.empty(0, np.float32),
        share=np.empty(0),
        previous=np.empty(0, np.int64),
        above=np.empty(0, np.int64),
        value=np.empty(0),
    )
    names = [field.name for field in dataclasses.fields(Edges)]
    return Edges(
        **{name: np.concatenate([getattr(edges, name) for edges in (none, *levels)]) for name in names}
    )

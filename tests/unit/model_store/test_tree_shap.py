"""Contributions of the forest are exact Shapley values."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from model_store.explain.tree_shap import TreeShap
from model_store.forest.forest import PackedForest
from tests.oracles import shapley_values

Explain = Callable[[TreeShap, Any], Any]

BOTH = pytest.mark.parametrize(
    "explain", [TreeShap.explain, shapley_values.explain], ids=["compiled", "oracle"]
)


def rows(count: int, features: int, seed: int) -> Any:
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(count, features)).astype(np.float32)
    matrix[random.random(matrix.shape) < 0.2] = -1.0
    return matrix


def fitted(features: int, kind: type = RandomForestRegressor, **options: Any) -> Any:
    matrix = rows(400, features, seed=1)
    target = matrix[:, 0] * matrix[:, 1] + matrix[:, 2] + 0.3 * matrix[:, features - 1]
    return kind(**{"random_state": 0} | options).fit(matrix, target)


def answer(tree: Any, row: Any, known: frozenset[int], node: int = 0) -> float:
    """Expected value of a tree when only some features are known, by the definition."""
    if tree.children_left[node] < 0:
        return float(tree.value[node, 0, 0])
    left, right = tree.children_left[node], tree.children_right[node]
    if tree.feature[node] in known:
        goes_left = row[tree.feature[node]] <= tree.threshold[node]
        return answer(tree, row, known, left if goes_left else right)
    weight = tree.weighted_n_node_samples
    below = weight[left] * answer(tree, row, known, left)
    below += weight[right] * answer(tree, row, known, right)
    return float(below / weight[node])


def brute_force(estimator: Any, row: Any) -> tuple[float, list[float]]:
    """Base and Shapley values by enumerating every subset of the features."""
    count = estimator.n_features_in_
    subsets = [
        frozenset(subset)
        for size in range(count + 1)
        for subset in itertools.combinations(range(count), size)
    ]
    worth = {
        subset: float(np.mean([answer(each.tree_, row, subset) for each in estimator.estimators_]))
        for subset in subsets
    }
    values = [
        sum(
            (worth[subset | {feature}] - worth[subset])
            / (count * math.comb(count - 1, len(subset)))
            for subset in subsets
            if feature not in subset
        )
        for feature in range(count)
    ]
    return worth[frozenset()], values


@BOTH
@pytest.mark.parametrize(
    "estimator",
    [
        fitted(5, n_estimators=6, max_depth=7),
        fitted(4, n_estimators=3),
        fitted(6, ExtraTreesRegressor, n_estimators=5, max_depth=6, bootstrap=True),
        fitted(3, n_estimators=4, max_depth=1),
    ],
    ids=["forest", "unlimited depth", "extra trees", "stumps"],
)
def test_equals_brute_force_over_all_subsets(estimator: Any, explain: Explain) -> None:
    explainer = TreeShap.of(PackedForest.from_estimator(estimator))
    for row in rows(5, estimator.n_features_in_, seed=2):
        base, values = brute_force(estimator, row)
        assert explainer.base == pytest.approx(base, abs=1e-12)
        np.testing.assert_allclose(explain(explainer, row), values, rtol=0, atol=1e-12)


@BOTH
def test_base_and_values_sum_to_the_prediction_of_a_large_forest(explain: Explain) -> None:
    estimator = fitted(17, n_estimators=60, max_depth=12, max_features=0.4)
    packed = PackedForest.from_estimator(estimator)
    explainer = TreeShap.of(packed)
    matrix = rows(20, 17, seed=3)
    sums = [explainer.base + explain(explainer, row).sum() for row in matrix]
    np.testing.assert_allclose(sums, packed.predict(matrix).mean, rtol=0, atol=1e-11)


@BOTH
def test_a_feature_that_no_tree_splits_on_has_no_effect(explain: Explain) -> None:
    matrix = rows(200, 4, seed=4)
    matrix[:, 3] = 7.0
    estimator = RandomForestRegressor(5, random_state=0).fit(matrix, matrix[:, 0])
    explainer = TreeShap.of(PackedForest.from_estimator(estimator))
    assert explain(explainer, matrix[0])[3] == 0.0


@BOTH
def test_a_forest_of_single_nodes_has_a_base_and_no_effects(explain: Explain) -> None:
    matrix = rows(20, 3, seed=5)
    estimator = RandomForestRegressor(4, random_state=0).fit(matrix, np.full(20, 2.5))
    explainer = TreeShap.of(PackedForest.from_estimator(estimator))
    assert explainer.base == 2.5
    assert explain(explainer, matrix[0]).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("row", [np.zeros(4, np.float32), np.zeros(3)], ids=["width", "type"])
def test_a_row_of_another_width_or_type_is_refused(row: Any) -> None:
    explainer = TreeShap.of(PackedForest.from_estimator(fitted(3, n_estimators=2)))
    with pytest.raises(ValueError, match="expected 3 float32 values"):
        explainer.explain(row)

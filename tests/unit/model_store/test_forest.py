"""The packed forest predicts what scikit-learn's forest predicts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression

from data import compilation
from model_store.forest.forest import ForestOutput, PackedForest
from model_store.forest.packing import UnsupportedForestError, floor_to_float32
from tests.oracles import forest_traversal
from tests.unit.model_store.small_models import scikit_learn_output

Predict = Callable[[PackedForest, Any], ForestOutput]

BOTH = pytest.mark.parametrize(
    "predict", [PackedForest.predict, forest_traversal.predict], ids=["compiled", "oracle"]
)
FEATURES = 6


def rows(count: int, seed: int) -> Any:
    """Random rows; one value in five is the sentinel of a missing one."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(count, FEATURES)).astype(np.float32)
    matrix[random.random(matrix.shape) < 0.2] = -1.0
    return matrix


def fitted(kind: type = RandomForestRegressor, **options: Any) -> Any:
    matrix = rows(800, seed=1)
    target = matrix[:, 0] * matrix[:, 1] + np.sin(3 * matrix[:, 2]) + 11.0
    estimator = kind(**{"n_estimators": 21, "max_depth": 9, "random_state": 0} | options)
    return estimator.fit(matrix, target)


@pytest.fixture(
    scope="module", params=["forest", "shallow", "extra trees", "bootstrapped extra", "deep"]
)
def estimator(request: pytest.FixtureRequest) -> Any:
    if request.param == "forest":
        return fitted()
    if request.param == "shallow":
        return fitted(max_depth=6, min_samples_leaf=5)
    if request.param == "extra trees":
        return fitted(ExtraTreesRegressor, min_samples_leaf=4)
    if request.param == "bootstrapped extra":
        return fitted(ExtraTreesRegressor, bootstrap=True, n_estimators=8)
    return fitted(max_depth=None, n_estimators=3)


def beside_thresholds(estimator: Any) -> Any:
    """Rows at each threshold of a forest, rounded either way, and one float32 step beside it."""
    trees = [tree.tree_ for tree in estimator.estimators_]
    pairs = [
        (feature, threshold)
        for tree in trees
        for feature, threshold in zip(tree.feature, tree.threshold, strict=True)
        if feature >= 0
    ][:1500]
    matrix = rows(3 * len(pairs), seed=2)
    for number, (feature, threshold) in enumerate(pairs):
        at = np.float32(threshold)
        steps = np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf))
        matrix[3 * number : 3 * number + 3, feature] = steps
    return matrix


@BOTH
def test_equals_scikit_learn_on_held_out_rows(estimator: Any, predict: Predict) -> None:
    matrix = rows(1003, seed=3)
    output = predict(PackedForest.from_estimator(estimator), matrix)
    mean, std = scikit_learn_output(estimator, matrix)
    np.testing.assert_allclose(output.mean, estimator.predict(matrix), rtol=0, atol=1e-12)
    np.testing.assert_allclose(output.mean, mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(output.std, std, rtol=0, atol=1e-6)


@BOTH
def test_equals_scikit_learn_one_float32_step_beside_every_threshold(
    estimator: Any, predict: Predict
) -> None:
    matrix = beside_thresholds(estimator)
    output = predict(PackedForest.from_estimator(estimator), matrix)
    np.testing.assert_allclose(output.mean, estimator.predict(matrix), rtol=0, atol=1e-12)


@BOTH
def test_equals_scikit_learn_on_extreme_and_missing_values(
    estimator: Any, predict: Predict
) -> None:
    matrix = rows(6, seed=4)
    largest = np.float32(1e30)
    matrix[:] = np.array([-1.0, 0.0, -0.0, largest, -largest, 1e-45], np.float32)[:, None]
    output = predict(PackedForest.from_estimator(estimator), matrix)
    np.testing.assert_allclose(output.mean, estimator.predict(matrix), rtol=0, atol=1e-12)


def test_a_row_has_the_same_bits_alone_and_in_any_batch(estimator: Any) -> None:
    packed, matrix = PackedForest.from_estimator(estimator), rows(300, seed=5)
    together = packed.predict(matrix)
    for size in (1, 3, 7, 8, 9, 100):
        parts = [packed.predict(matrix[at : at + size]) for at in range(0, 300, size)]
        assert np.concatenate([part.mean for part in parts]).tolist() == together.mean.tolist()
        assert np.concatenate([part.std for part in parts]).tolist() == together.std.tolist()


@BOTH
def test_no_rows_give_no_output(predict: Predict) -> None:
    output = predict(PackedForest.from_estimator(fitted()), rows(0, seed=0))
    assert output.mean.shape == output.std.shape == (0,)


@BOTH
def test_a_forest_of_single_nodes_predicts_its_mean(predict: Predict) -> None:
    matrix = rows(20, seed=6)
    estimator = RandomForestRegressor(9, random_state=0).fit(matrix, np.full(20, 3.5))
    output = predict(PackedForest.from_estimator(estimator), matrix)
    assert output.mean.tolist() == [3.5] * 20
    assert output.std.tolist() == [0.0] * 20


def test_thresholds_are_rounded_down_never_up() -> None:
    thresholds = np.random.default_rng(0).normal(size=10_000)
    rounded = floor_to_float32(thresholds)
    above = np.nextafter(rounded, np.float32(np.inf), dtype=np.float32)
    assert np.all(rounded <= thresholds)
    assert np.all(above > thresholds)


def test_a_saved_forest_is_the_same_after_loading(tmp_path: Path) -> None:
    packed, matrix = PackedForest.from_estimator(fitted()), rows(50, seed=7)
    packed.save(tmp_path / "forest.npz")
    loaded = PackedForest.load(tmp_path / "forest.npz")
    assert loaded.predict(matrix).mean.tolist() == packed.predict(matrix).mean.tolist()
    assert (loaded.tree_count, loaded.node_count) == (packed.tree_count, packed.node_count)


@pytest.mark.parametrize(
    ("name", "value"),
    [("link", 0xFFFF_FF00), ("link", 0x0000_0105), ("link", 200)],
    ids=["child outside", "child before its parent", "feature outside"],
)
def test_arrays_that_point_outside_are_refused(tmp_path: Path, name: str, value: int) -> None:
    packed = PackedForest.from_estimator(fitted())
    packed.nodes[name][5] = value
    packed.save(tmp_path / "forest.npz")
    with pytest.raises(ValueError, match="does not describe a forest"):
        PackedForest.load(tmp_path / "forest.npz")


@pytest.mark.parametrize(
    "matrix",
    [
        rows(4, seed=0).astype(np.float64),
        rows(4, seed=0)[:, :5].copy(),
        rows(4, seed=0)[0],
    ],
    ids=["float64", "a column short", "one dimension"],
)
def test_a_matrix_of_another_type_or_width_is_refused(matrix: Any) -> None:
    with pytest.raises(ValueError, match=r"expected 6 columns|must be float32"):
        PackedForest.from_estimator(fitted()).predict(matrix)


@BOTH
def test_the_layout_of_the_matrix_does_not_matter(predict: Predict) -> None:
    packed, matrix = PackedForest.from_estimator(fitted()), rows(30, seed=8)
    expected = predict(packed, matrix).mean.tolist()
    assert predict(packed, np.asfortranarray(matrix)).mean.tolist() == expected
    assert predict(packed, matrix[::-1]).mean.tolist() == expected[::-1]


def test_a_matrix_that_must_not_be_written_can_be_read() -> None:
    packed, matrix = PackedForest.from_estimator(fitted()), rows(9, seed=8)
    expected = packed.predict(matrix).mean.tolist()
    matrix.setflags(write=False)
    assert packed.predict(matrix).mean.tolist() == expected


def test_a_forest_without_the_variance_of_its_leaves_is_refused() -> None:
    with pytest.raises(UnsupportedForestError, match="absolute_error"):
        PackedForest.from_estimator(fitted(criterion="absolute_error", n_estimators=2))


def test_a_forest_with_two_outputs_is_refused() -> None:
    matrix = rows(30, seed=0)
    estimator = RandomForestRegressor(2).fit(matrix, matrix[:, :2])
    with pytest.raises(UnsupportedForestError, match="2 outputs"):
        PackedForest.from_estimator(estimator)


def test_a_forest_with_more_features_than_a_node_can_address_is_refused() -> None:
    matrix = np.random.default_rng(0).normal(size=(20, 257))
    estimator = RandomForestRegressor(2).fit(matrix, matrix[:, 0])
    with pytest.raises(UnsupportedForestError, match="257 features"):
        PackedForest.from_estimator(estimator)


def test_something_else_than_a_forest_is_refused() -> None:
    with pytest.raises(UnsupportedForestError, match="LinearRegression"):
        PackedForest.from_estimator(LinearRegression())


def test_kernels_are_compiled_without_a_writable_cache_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr("numba.core.dispatcher.FunctionCache", refuse)
    doubled = compilation.compiled("float64(float64)")(lambda number: 2.0 * number)
    assert doubled(21.0) == 42.0

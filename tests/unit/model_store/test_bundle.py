"""A version is saved completely, and loaded only when it passes every check."""

import dataclasses
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from model_store.registry import bundle, verification
from model_store.registry.bundle import load_estimator, load_model, max_abs_difference, save_bundle
from model_store.registry.manifest import MANIFEST_FILE, ModelVersion
from model_store.registry.pointer_files import is_version_id
from model_store.training.train import TrainedModel
from shared.domain.errors import ModelRefused, ModelVersionNotFound
from tests.unit.model_store import small_models


def rewrite_manifest(folder: Path, **changes: Any) -> None:
    """Change a manifest the way that a program of another time would have written it."""
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(versions_path: Path, version: ModelVersion) -> str:
    """Why a version is refused."""
    with pytest.raises(ModelRefused) as caught:
        load_model(versions_path, version.id)
    assert caught.value.params["version"] == version.id
    return str(caught.value.params["reason"])


def test_a_saved_model_values_as_the_trained_one(
    trained: TrainedModel, versions_path: Path, version: ModelVersion
) -> None:
    cars = small_models.random_cars(40, seed=9)
    encoded = trained.encoder.encode(cars)
    log_prices = encoded.baseline_log + trained.estimator.predict(encoded.matrix)
    prices = load_model(versions_path, version.id).prices_mad(cars)
    assert prices == pytest.approx(2.718281828459045**log_prices, abs=0.01)


def test_the_manifest_survives_its_file(versions_path: Path, version: ModelVersion) -> None:
    assert ModelVersion.from_json(json.loads(json.dumps(version.to_json()))) == version
    assert ModelVersion.read(versions_path / version.id) == version


def test_the_manifest_says_what_the_version_is(
    trained: TrainedModel, version: ModelVersion
) -> None:
    assert is_version_id(version.id)
    assert version.created_at.tzinfo is not None
    assert set(version.files) == set(bundle.BUNDLE_FILES)
    assert version.libraries["scikit-learn"] == metadata.version("scikit-learn")
    assert version.estimator == "RandomForestRegressor"
    assert version.tree_count == len(trained.estimator.estimators_)
    assert version.node_count == sum(t.tree_.node_count for t in trained.estimator.estimators_)
    assert version.feature_names == trained.encoder.feature_names
    assert version.training == trained.training
    assert version.metrics == trained.metrics
    assert version.basis == "asking_prices"
    assert len(version.self_test) >= 3


def test_more_files_are_written_for_the_version_and_stored_with_their_digests(
    trained: TrainedModel, tmp_path: Path
) -> None:
    version = save_bundle(trained, tmp_path, lambda made: {"notes.md": made.id.encode()})
    assert (tmp_path / version.id / "notes.md").read_text() == version.id
    assert set(version.files) == {*bundle.BUNDLE_FILES, "notes.md"}
    (tmp_path / version.id / "notes.md").write_text("something else")
    assert refusal(tmp_path, version).startswith("notes.md has the digest")


def test_a_save_that_fails_leaves_nothing_behind(trained: TrainedModel, tmp_path: Path) -> None:
    broken = dataclasses.replace(trained, training={"rows": object(), "data_as_of": "2026-06"})
    with pytest.raises(TypeError):
        save_bundle(broken, tmp_path / "versions")
    assert list((tmp_path / "versions").iterdir()) == []


def test_versions_saved_in_the_same_second_have_names_of_their_own(
    trained: TrainedModel, tmp_path: Path
) -> None:
    ids = {save_bundle(trained, tmp_path).id for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("name", bundle.BUNDLE_FILES)
def test_one_changed_byte_in_any_file_is_refused(
    versions_path: Path, version: ModelVersion, name: str
) -> None:
    path = versions_path / version.id / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert refusal(versions_path, version).startswith(f"{name} has the digest")


def test_a_changed_estimator_is_never_unpickled(versions_path: Path, version: ModelVersion) -> None:
    (versions_path / version.id / "bundle.joblib").write_bytes(b"cos\nabort\n(tR.")
    with pytest.raises(ModelRefused, match="digest"):
        load_estimator(versions_path, version.id)


@pytest.mark.parametrize("name", bundle.BUNDLE_FILES)
def test_a_missing_file_is_refused(versions_path: Path, version: ModelVersion, name: str) -> None:
    (versions_path / version.id / name).unlink()
    assert refusal(versions_path, version) == f"{name} cannot be read: No such file or directory"


def test_a_manifest_that_leaves_a_file_out_is_refused(
    versions_path: Path, version: ModelVersion
) -> None:
    files = {name: digest for name, digest in version.files.items() if name != "forest.npz"}
    rewrite_manifest(versions_path / version.id, files=files)
    assert refusal(versions_path, version) == "the manifest lacks forest.npz"


def test_a_manifest_that_names_a_file_elsewhere_is_refused(
    versions_path: Path, version: ModelVersion
) -> None:
    rewrite_manifest(versions_path / version.id, files={**version.files, "../ACTIVE": "0" * 64})
    assert refusal(versions_path, version) == "'../ACTIVE' is not a file name"


def test_another_schema_is_refused(versions_path: Path, version: ModelVersion) -> None:
    rewrite_manifest(versions_path / version.id, schema_version=1)
    assert refusal(versions_path, version) == "schema 1, this program reads 4, 5, 6 and 7"


def test_another_minor_release_of_scikit_learn_is_refused(
    versions_path: Path, version: ModelVersion
) -> None:
    libraries = {**version.libraries, "scikit-learn": "1.2.3"}
    rewrite_manifest(versions_path / version.id, libraries=libraries)
    assert refusal(versions_path, version).startswith("trained with scikit-learn 1.2.3, installed")


def test_another_patch_release_of_scikit_learn_is_accepted(
    versions_path: Path, version: ModelVersion
) -> None:
    minor = metadata.version("scikit-learn").rsplit(".", 1)[0]
    libraries = {**version.libraries, "scikit-learn": f"{minor}.99"}
    rewrite_manifest(versions_path / version.id, libraries=libraries)
    assert load_model(versions_path, version.id).version.libraries == libraries


def test_without_scikit_learn_there_is_nothing_to_compare(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "SCIKIT_LEARN", "a-package-that-nobody-installed")
    verification.check_scikit_learn(version)


def test_a_price_that_differs_from_the_self_test_is_refused(
    versions_path: Path, version: ModelVersion
) -> None:
    cases = version.to_json()["self_test"]
    cases[1]["price_mad"] *= 1.001
    rewrite_manifest(versions_path / version.id, self_test=cases)
    assert refusal(versions_path, version).startswith("self-test: toyota corolla is priced")


def test_a_manifest_without_a_self_test_is_refused(
    versions_path: Path, version: ModelVersion
) -> None:
    rewrite_manifest(versions_path / version.id, self_test=[])
    assert refusal(versions_path, version) == "the manifest has no self-test"


def test_quantiles_that_decrease_are_refused(trained: TrainedModel, tmp_path: Path) -> None:
    factors = tuple(row[::-1] for row in trained.calibration.factors)
    calibration = dataclasses.replace(trained.calibration, factors=factors)
    version = save_bundle(dataclasses.replace(trained, calibration=calibration), tmp_path)
    assert refusal(tmp_path, version) == "self-test: quantiles decrease"


@pytest.mark.parametrize(
    ("name", "content"),
    [("encoder.json", b"{}"), ("calibration.json", b"[1, 2"), ("forest.npz", b"not a zip file")],
)
def test_right_digests_of_wrong_content_are_refused(
    versions_path: Path, version: ModelVersion, name: str, content: bytes
) -> None:
    path = versions_path / version.id / name
    path.write_bytes(content)
    rewrite_manifest(path.parent, files={**version.files, name: verification.sha256_of(path)})
    assert refusal(versions_path, version).startswith("cannot be used: ")


def test_an_encoder_of_another_forest_is_refused(
    versions_path: Path, version: ModelVersion
) -> None:
    path = versions_path / version.id / "encoder.json"
    given = json.loads(path.read_text())
    path.write_text(json.dumps(given | {"feature_names": given["feature_names"][:-1]}))
    digest = verification.sha256_of(path)
    rewrite_manifest(path.parent, files={**version.files, "encoder.json": digest})
    assert refusal(versions_path, version) == "forests, encoder and manifest disagree"


@pytest.mark.parametrize("name", ["2026-01-01T000000-aaaaaa", "../..", "", "ACTIVE"])
def test_an_unknown_version_is_not_found(versions_path: Path, name: str) -> None:
    with pytest.raises(ModelVersionNotFound):
        load_model(versions_path, name)


def test_the_stored_estimator_is_the_one_that_was_packed(
    versions_path: Path, version: ModelVersion
) -> None:
    estimator = load_estimator(versions_path, version.id)
    forest = load_model(versions_path, version.id).forest
    assert max_abs_difference(forest, estimator) < 1e-12
    assert max_abs_difference(forest, small_models.train(seed=5).estimator) > 1e-3


def test_serving_imports_nothing_of_training(versions_path: Path, version: ModelVersion) -> None:
    program = (
        "import sys; from pathlib import Path; from model_store.registry.bundle import load_model\n"
        "model = load_model(Path(sys.argv[1]), sys.argv[2])\n"
        "model.explain(model.version.self_test[0].car)\n"
        "print(sorted({'sklearn', 'pandas', 'joblib', 'scipy.linalg'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(versions_path), version.id]
    root = Path(__file__).parents[3]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

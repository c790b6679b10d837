"""Saves a trained model as a version, and loads a version for serving."""

import contextlib
import dataclasses
import datetime as dt
import json
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model_store.forest.forest import PackedForest
from model_store.pricing.calibration import IntervalCalibration
from model_store.pricing.feature_matrix import CarEncoder
from model_store.pricing.inference import LoadedModel
from model_store.pricing.usual_approximation import approximate_statistics
from model_store.pricing.usual_cars import UsualStatistics
from model_store.registry.atomic_files import sync_file, sync_folder
from model_store.registry.manifest import (
    CALIBRATION_FILE,
    ENCODER_FILE,
    MANIFEST_FILE,
    PROFILE_FILE,
    REFERENCE_MARKET,
    SCHEMA_VERSION,
    USUAL_FILE,
    USUAL_FILE_SCHEMA,
    ModelVersion,
)
from model_store.registry.registry import ModelRegistry, new_version_id
from model_store.registry.self_test import expected_prices
from model_store.registry.verification import sha256_of
from shared.domain.errors import ModelRefused
from shared.i18n.command import gettext as _

if TYPE_CHECKING:
    from model_store.training.recalibration import Recalibration
    from model_store.training.train import TrainedModel

ESTIMATOR_FILE = "bundle.joblib"
FOREST_FILE = "forest.npz"
CARD_PREFIX = "card"
"""Begins the names of a model card's files."""
DIFFICULTY_FILE = "difficulty.npz"
TRAINING_ROWS_FILE = "training_rows.npy"
"""Fingerprints of the listings of files that a version was trained or recalibrated on; other
versions lack it."""
BUNDLE_FILES = (
    ESTIMATOR_FILE, FOREST_FILE, DIFFICULTY_FILE, ENCODER_FILE, CALIBRATION_FILE, USUAL_FILE,
)  # fmt: skip


def save_bundle(
    trained: "TrainedModel",
    versions_path: Path,
    extra_files: Callable[[ModelVersion], Mapping[str, bytes]] = lambda _: {},
) -> ModelVersion:
    """Store a trained model as a new version, atomically.

    Args:
        trained: the result of training.
        versions_path: the registry's folder.
        extra_files: called with the manifest of the model's files; returns more files of the
            version by name (its model card). The manifest contains their digests as well.
    """
    versions_path.mkdir(parents=True, exist_ok=True)
    with _staging_folder(versions_path) as folder:
        _write_files(folder, trained)
        version = _build_manifest(folder, trained)
        version = _finish(folder, version, extra_files)
    sync_folder(versions_path)
    return version


def save_recalibrated(
    base: LoadedModel,
    changed: "Recalibration",
    versions_path: Path,
    extra_files: Callable[[ModelVersion], Mapping[str, bytes]] = lambda _: {},
) -> ModelVersion:
    """Store a version with the forest of another and a new calibration, atomically.

    Files that do not change are hard links, or copies where the disk has no links.

    Args:
        base: the version whose forest is used; its files are in the registry.
        changed: the result of `model_store.training.recalibration`.
        versions_path: the registry's folder.
        extra_files: see `save_bundle`.
    """
    created_at = dt.datetime.now(dt.UTC).replace(microsecond=0)
    source = versions_path / base.version.id
    with _staging_folder(versions_path) as folder:
        rows = _seen_rows(base, changed)
        written = {CALIBRATION_FILE} if rows is None else {CALIBRATION_FILE, TRAINING_ROWS_FILE}
        for name in base.version.files:
            if name not in written and not name.startswith(CARD_PREFIX):
                _link_or_copy(source / name, folder / name)
        if rows is not None:
            np.save(folder / TRAINING_ROWS_FILE, rows, allow_pickle=False)
        _write_json(folder / CALIBRATION_FILE, changed.calibration.to_json())
        if USUAL_FILE not in base.version.files:  # of an earlier schema
            _write_json(folder / USUAL_FILE, base.usual.to_json())
        version = dataclasses.replace(
            base.version,
            id=new_version_id(created_at),
            created_at=created_at,
            files=_digests(folder),
            training=changed.training,
            calibrated_on=changed.calibrated_on,
            self_test=(),
            schema_version=SCHEMA_VERSION,
        )
        version = _with_self_test(folder, version)
        version = _finish(folder, version, extra_files)
    sync_folder(versions_path)
    return version


def _seen_rows(base: LoadedModel, changed: "Recalibration") -> NDArray[np.uint64] | None:
    """Fingerprints of what a version and its recalibration have seen.

    None if nothing is new, or what the version was trained on is not known.
    """
    if base.training_rows is None or not len(changed.rows):
        return None
    return np.union1d(base.training_rows, changed.rows)


def _finish(
    folder: Path,
    version: ModelVersion,
    extra_files: Callable[[ModelVersion], Mapping[str, bytes]],
) -> ModelVersion:
    """Add the extra files and the manifest to a staging folder, and publish it."""
    for name, content in extra_files(version).items():
        (folder / name).write_bytes(content)
    version = dataclasses.replace(version, files=_digests(folder))
    (folder / MANIFEST_FILE).write_text(
        json.dumps(version.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    for path in folder.iterdir():
        sync_file(path)
    sync_folder(folder)
    folder.chmod(0o755)
    folder.rename(folder.parent / version.id)
    return version


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # the file system has no hard links
        shutil.copy2(source, target)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def in_memory(trained: "TrainedModel") -> LoadedModel:
    """A trained model as it would be loaded, without storing a version of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_files(folder, trained)
        model = _read_bundle(folder, _build_manifest(folder, trained))
        if model.training_rows is not None:
            rows = np.array(model.training_rows)
            model = dataclasses.replace(model, training_rows=rows)
    return model


def load_model(versions_path: Path, version: str) -> LoadedModel:
    """Load a version that passes every check.

    Digests are checked before any file is parsed. Nothing is unpickled: serving does not read the
    scikit-learn estimator.

    Raises:
        ModelVersionNotFound: there is no such version.
        ModelRefused: a file is missing or changed, the schema or scikit-learn's minor release is
            another one, or the self-test fails.
    """
    registry = ModelRegistry(versions_path)
    manifest, folder = registry.check(version), registry.folder(version)
    optional = () if _has_usual_file(manifest) else (USUAL_FILE,)
    missing = [name for name in BUNDLE_FILES if name not in (*manifest.files, *optional)]
    if missing:
        raise ModelRefused(
            version=version,
            reason=_("the manifest lacks {missing}").format(missing=", ".join(missing)),
        )
    try:
        model = _read_bundle(folder, manifest)
        model.self_test()
    except ModelRefused:
        raise
    except Exception as error:
        # The files are unchanged, but this program cannot read or use them.
        reason = _("cannot be used: {name}: {error}").format(name=type(error).__name__, error=error)
        raise ModelRefused(version=version, reason=reason) from error
    return model


def load_estimator(versions_path: Path, version: str) -> Any:
    """Unpickle the scikit-learn estimator of a version that passes every check.

    Raises:
        ModelVersionNotFound, ModelRefused: see `load_model`.
    """
    import joblib  # noqa: PLC0415 - serving does not need it

    registry = ModelRegistry(versions_path)
    registry.check(version)
    return joblib.load(registry.folder(version) / ESTIMATOR_FILE)


def max_abs_difference(forest: PackedForest, estimator: Any, *, rows: int = 1000) -> float:
    """Largest difference between the packed forest's and the estimator's predictions.

    Tested on random rows whose features are thresholds of the forest or the next float32 above one,
    where differences are most likely.
    """
    random = np.random.default_rng(rows)
    inner = np.flatnonzero(np.isfinite(forest.nodes["threshold"]))
    matrix = np.full((rows, forest.feature_count), -1.0, dtype=np.float32)
    for feature in range(forest.feature_count):
        thresholds = forest.nodes["threshold"][inner[forest.features[inner] == feature]]
        if len(thresholds):
            picked = random.choice(thresholds, rows)
            above = np.nextafter(picked, np.float32(np.inf), dtype=np.float32)
            matrix[:, feature] = np.where(random.random(rows) < 0.5, picked, above)  # noqa: PLR2004
    return float(np.abs(forest.predict(matrix).mean - estimator.predict(matrix)).max())


@contextlib.contextmanager
def _staging_folder(versions_path: Path) -> Iterator[Path]:
    """A temporary folder whose name is not a version id; removed if it still exists."""
    folder = Path(tempfile.mkdtemp(dir=versions_path, prefix=".new-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_files(folder: Path, trained: "TrainedModel") -> None:
    import joblib  # noqa: PLC0415 - serving does not need it

    joblib.dump(trained.estimator, folder / ESTIMATOR_FILE, compress=3)
    PackedForest.from_estimator(trained.estimator).save(folder / FOREST_FILE)
    PackedForest.from_estimator(trained.difficulty).save(folder / DIFFICULTY_FILE)
    parts = {
        ENCODER_FILE: trained.encoder.to_json(),
        CALIBRATION_FILE: trained.calibration.to_json(),
        USUAL_FILE: trained.usual.to_json(),
    }
    if trained.profile is not None:
        parts[PROFILE_FILE] = trained.profile.to_json()
    for name, part in parts.items():
        _write_json(folder / name, part)
    if trained.training_rows is not None:
        np.save(folder / TRAINING_ROWS_FILE, trained.training_rows, allow_pickle=False)


def _digests(folder: Path) -> dict[str, str]:
    """Digest of every file in a version's folder."""
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir())}


def _build_manifest(folder: Path, trained: "TrainedModel") -> ModelVersion:
    """The manifest of the files in `folder`; the self-test prices are computed from these files."""
    import sklearn  # noqa: PLC0415 - serving does not need it

    created_at = dt.datetime.now(dt.UTC).replace(microsecond=0)
    forest = PackedForest.load(folder / FOREST_FILE)
    version = ModelVersion(
        id=new_version_id(created_at),
        created_at=created_at,
        files=_digests(folder),
        libraries={
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
        estimator=type(trained.estimator).__name__,
        tree_count=forest.tree_count,
        node_count=forest.node_count,
        feature_names=tuple(trained.encoder.feature_names),
        training=trained.training,
        metrics=trained.metrics,
        self_test=(),
    )
    return _with_self_test(folder, version)


def _with_self_test(folder: Path, version: ModelVersion) -> ModelVersion:
    """The manifest with the prices that the files in `folder` give to the self-test cars."""
    return dataclasses.replace(
        version, self_test=expected_prices(_read_bundle(folder, version).prices_mad)
    )


def _read_bundle(folder: Path, version: ModelVersion) -> LoadedModel:
    encoder = CarEncoder.from_json(json.loads((folder / ENCODER_FILE).read_bytes()))
    forest = PackedForest.load(folder / FOREST_FILE)
    difficulty = PackedForest.load(folder / DIFFICULTY_FILE)
    features = {forest.feature_count, difficulty.feature_count, len(version.feature_names)}
    if features != {len(encoder.feature_names)} or encoder.feature_names != version.feature_names:
        raise ModelRefused(version=version.id, reason=_("forests, encoder and manifest disagree"))
    return LoadedModel(
        version=version,
        forest=forest,
        difficulty=difficulty,
        encoder=encoder,
        calibration=IntervalCalibration.from_json(
            json.loads((folder / CALIBRATION_FILE).read_bytes())
        ),
        usual=_read_usual(folder, version, encoder),
        training_rows=_read_training_rows(folder, version),
    )


def _read_training_rows(folder: Path, version: ModelVersion) -> NDArray[np.uint64] | None:
    """Fingerprints of the training rows, read from disk when they are used."""
    if TRAINING_ROWS_FILE in version.files:
        path = folder / TRAINING_ROWS_FILE
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    is_generated = version.training.get("name") == REFERENCE_MARKET
    return np.empty(0, dtype=np.uint64) if is_generated else None


def _has_usual_file(version: ModelVersion) -> bool:
    return version.schema_version >= USUAL_FILE_SCHEMA


def _read_usual(folder: Path, version: ModelVersion, encoder: CarEncoder) -> UsualStatistics:
    """What is usual for a car, or an approximation for a version that does not store it."""
    if _has_usual_file(version):
        return UsualStatistics.from_json(json.loads((folder / USUAL_FILE).read_bytes()))
    return approximate_statistics(encoder.hedonic)

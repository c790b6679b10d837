"""Small trained models, saved and loaded."""

import shutil
from pathlib import Path

import pytest

from model_store.pricing.inference import LoadedModel
from model_store.registry.bundle import load_model, save_bundle
from model_store.registry.manifest import ModelVersion
from model_store.training.train import TrainedModel
from tests.unit.model_store import small_models


@pytest.fixture(scope="session")
def trained() -> TrainedModel:
    return small_models.train()


@pytest.fixture(scope="session")
def saved(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one version; tests that change it take `versions_path`."""
    path = tmp_path_factory.mktemp("saved") / "versions"
    save_bundle(trained, path)
    return path


@pytest.fixture
def versions_path(saved: Path, tmp_path: Path) -> Path:
    """A copy of the registry with one version."""
    return shutil.copytree(saved, tmp_path / "versions")


@pytest.fixture
def version(versions_path: Path) -> ModelVersion:
    """The version in `versions_path`."""
    (folder,) = versions_path.iterdir()
    return ModelVersion.read(folder)


@pytest.fixture(scope="session")
def model(saved: Path) -> LoadedModel:
    (folder,) = saved.iterdir()
    return load_model(saved, folder.name)

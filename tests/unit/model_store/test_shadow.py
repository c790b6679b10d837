"""The shadow pointer names only versions that pass their checks; the active one is unaffected."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.models import models
from model_store.registry.bundle import save_bundle
from model_store.registry.manifest import ModelVersion
from model_store.registry.pointer_files import SHADOW_FILE, SHARE_FILE, Shadow
from model_store.registry.registry import (
    ModelRegistry,
    ShadowPointer,
)
from model_store.training.train import TrainedModel
from shared.domain.errors import ModelRefused, ModelVersionNotFound


@pytest.fixture
def other(trained: TrainedModel, versions_path: Path, version: ModelVersion) -> ModelVersion:
    """A second version; the first one is active."""
    ModelRegistry(versions_path).activate(version.id, by="test")
    return save_bundle(trained, versions_path)


@pytest.fixture
def pointer(versions_path: Path) -> ShadowPointer:
    return ShadowPointer(versions_path)


def test_a_version_is_named_and_the_active_one_stays(
    pointer: ShadowPointer, versions_path: Path, version: ModelVersion, other: ModelVersion
) -> None:
    assert pointer.read() is None
    pointer.point_to(other.id, 0.25)
    assert pointer.read() == Shadow(other.id, 0.25)
    assert ModelRegistry(versions_path).active_version() == version.id
    pointer.clear()
    assert pointer.read() is None
    pointer.clear()


def test_the_shadow_is_never_pruned(
    pointer: ShadowPointer, versions_path: Path, other: ModelVersion
) -> None:
    newest = versions_path / "2099-01-01T000000-abcdef"  # names of one second have no order
    newest.mkdir()
    pointer.point_to(other.id, 0.1)
    registry = ModelRegistry(versions_path)
    assert registry.prune(1) == []
    pointer.clear()
    assert other.id in registry.prune(1)
    assert newest.exists()


def test_a_version_whose_name_has_no_small_letter_is_no_pointer(versions_path: Path) -> None:
    name = "2020-01-01T000000-123456"
    (versions_path / name).mkdir()
    assert name in ModelRegistry(versions_path).prune(1)


def test_a_version_that_fails_its_checks_is_refused_and_nothing_changes(
    pointer: ShadowPointer, versions_path: Path, version: ModelVersion, other: ModelVersion
) -> None:
    with pytest.raises(ModelVersionNotFound):
        pointer.point_to("2020-01-01T000000-abcdef", 0.1)
    with pytest.raises(ModelVersionNotFound):
        pointer.point_to("../../etc", 0.1)
    with pytest.raises(ModelRefused, match="active"):
        pointer.point_to(version.id, 0.1)
    with (versions_path / other.id / "forest.npz").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelRefused):
        pointer.point_to(other.id, 0.1)
    assert pointer.read() is None


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_outside_0_to_1_is_refused(
    pointer: ShadowPointer, other: ModelVersion, share: float
) -> None:
    with pytest.raises(ValueError, match="share"):
        pointer.point_to(other.id, share)


@pytest.mark.parametrize(
    ("name", "content"),
    [(SHADOW_FILE, "nonsense"), (SHARE_FILE, "much"), (SHARE_FILE, "7"), (SHADOW_FILE, "é")],
)
def test_invalid_pointer_files_count_as_no_shadow(
    pointer: ShadowPointer, versions_path: Path, other: ModelVersion, name: str, content: str
) -> None:
    pointer.point_to(other.id, 0.1)
    (versions_path / name).write_text(content)
    assert pointer.read() is None


def test_the_command_sets_shows_and_clears(
    monkeypatch: pytest.MonkeyPatch, versions_path: Path, version: ModelVersion, other: ModelVersion
) -> None:
    monkeypatch.setenv("MODELS_PATH", str(versions_path))

    def run(*arguments: str) -> str:
        return CliRunner().invoke(models, ["shadow", *arguments]).output

    assert run() == "No shadow\n"
    told = f"Shadow: {other.id} on 5% of the cars\n"
    assert run(other.id, "--share", "0.05") == told
    assert run() == told
    assert "active version" in run(version.id)
    assert run() == told, "a refusal changes nothing"
    assert run("--off") == "No shadow\n"
    assert "either" in run(other.id, "--off")

"""`carprice models`: the operator's view of the registry."""

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.models import models
from model_store.cards.card import write_card
from model_store.registry.bundle import save_bundle
from model_store.registry.manifest import ModelVersion
from model_store.registry.verification import sha256_of
from model_store.training.train import TrainedModel
from shared.blobs.batch_files import BatchFiles
from shared.blobs.local import LocalBlobStore
from shared.domain.batch import BatchManifest, BatchOptions, BatchProgress
from shared.domain.ids import BatchId, CallerId, new_id
from shared.domain.job import JobState
from shared.domain.table import Dialect
from shared.settings import Settings
from tests.unit.model_store import small_models


@pytest.fixture
def later(version: ModelVersion, versions_path: Path, trained: TrainedModel) -> ModelVersion:  # noqa: ARG001 - found before there are two
    """A second version beside `version`."""
    return save_bundle(trained, versions_path)


def run(versions_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(models, arguments, env={"MODELS_PATH": str(versions_path)})


def test_an_empty_registry_says_how_to_fill_it(tmp_path: Path) -> None:
    result = run(tmp_path, "list")
    assert result.exit_code == 0
    assert "carprice train --activate" in result.output


def test_the_list_marks_the_active_version(
    versions_path: Path, version: ModelVersion, later: ModelVersion
) -> None:
    run(versions_path, "activate", version.id)
    lines = run(versions_path, "list").output.splitlines()
    assert lines[0].split()[:3] == ["VERSION", "CREATED", "DATA"]
    assert [line.split()[1] for line in lines[1:] if line.startswith("*")] == [version.id]
    assert any(later.id in line for line in lines[1:])


def test_the_list_as_json_holds_the_manifests(versions_path: Path, version: ModelVersion) -> None:
    run(versions_path, "activate", version.id)
    (found,) = json.loads(run(versions_path, "list", "--json").output)
    assert found.pop("active") is True
    assert ModelVersion.from_json(found) == version


def test_show_prints_the_manifest(versions_path: Path, version: ModelVersion) -> None:
    found = json.loads(run(versions_path, "show", version.id).output)
    assert ModelVersion.from_json(found) == version


def test_show_active_needs_an_active_version(versions_path: Path, version: ModelVersion) -> None:
    result = run(versions_path, "show", "active")
    assert result.exit_code == 1
    assert "no version is active" in result.output
    run(versions_path, "activate", version.id)
    assert json.loads(run(versions_path, "show", "active").output)["id"] == version.id


def test_activate_rollback_and_history(
    versions_path: Path, version: ModelVersion, later: ModelVersion
) -> None:
    assert run(versions_path, "activate", version.id).output == f"Active: {version.id}\n"
    assert run(versions_path, "activate", later.id).output == f"Active: {later.id}\n"
    assert run(versions_path, "rollback").output == f"Active: {version.id}\n"
    changes = json.loads(run(versions_path, "history", "--json").output)
    assert [change["version"] for change in changes] == [version.id, later.id, version.id]
    assert run(versions_path, "history").output.count("activate") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("activate", "2020-01-01T000000-ffffff"), "Version not found"),
        (("show", "../../etc"), "Version not found"),
        (("verify", "nonsense"), "Version not found"),
        (("rollback",), "No earlier version"),
    ],
)
def test_an_expected_failure_is_one_line_and_exit_code_1(
    versions_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = run(versions_path, *arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments", [("show", "active"), ("card", "active"), ("rollback",), ("prune", "--keep", "1")]
)
def test_a_lost_pointer_is_told_with_the_version_that_was_activated_last(
    versions_path: Path, version: ModelVersion, arguments: tuple[str, ...]
) -> None:
    run(versions_path, "activate", version.id)
    (versions_path / "ACTIVE").write_text("nonsense\n")
    result = run(versions_path, *arguments)
    assert result.exit_code == 1
    assert f"{version.id} was active" in result.output
    listed = run(versions_path, "list")
    assert listed.exit_code == 0
    assert f"{version.id} was active" in listed.stderr
    assert "*" not in listed.stdout


def test_the_history_is_printed_without_damaged_lines(
    versions_path: Path, version: ModelVersion
) -> None:
    run(versions_path, "activate", version.id)
    path = versions_path / "history.jsonl"
    line = json.loads(path.read_text())
    path.write_text(json.dumps(line | {"at": 5}) + "\n" + json.dumps(line) + "\n")
    result = run(versions_path, "history")
    assert result.exit_code == 0, result.output
    assert result.output.count(version.id) == 1


def age_history(versions_path: Path) -> None:
    """As if all moves of the pointer were long ago."""
    path = versions_path / "history.jsonl"
    changes = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps(change | {"at": "2026-01-01T00:00:00+00:00"}) for change in changes]
    path.write_text("".join(f"{line}\n" for line in lines))


def test_prune_keeps_what_a_batch_under_way_was_accepted_with(
    versions_path: Path, version: ModelVersion, trained: TrainedModel, tmp_path: Path
) -> None:
    later = [save_bundle(trained, versions_path) for _ in range(3)]
    oldest, *between, newest = sorted(each.id for each in (version, *later))
    run(versions_path, "activate", newest)
    age_history(versions_path)
    settings = Settings(home=tmp_path / "home", models_path=versions_path)
    files = BatchFiles(LocalBlobStore(settings.batches_path))
    batch = BatchManifest(
        id=BatchId(new_id()),
        caller=CallerId("somebody"),
        accepted_at=0.0,
        model_version=oldest,
        options=BatchOptions(),
        dialect=Dialect(),
        sha256="0" * 64,
        size_bytes=0,
    )
    files.write_manifest(batch)
    env = {"MODELS_PATH": str(versions_path), "CARPRICE_HOME": str(settings.home)}

    def prune(*more: str) -> Result:
        return CliRunner().invoke(models, ["prune", "--keep", "1", *more], env=env)

    removed = json.loads(prune("--json").output)
    assert removed == between
    assert (versions_path / oldest).is_dir()
    files.write_final(batch.id, BatchProgress(state=JobState.CANCELLED))
    assert prune().output == f"Removed: {oldest}\n"
    assert prune().output == "Nothing to remove.\n"


def test_the_card_is_printed_and_its_absence_is_said(
    versions_path: Path, version: ModelVersion, trained: TrainedModel
) -> None:
    measured = dataclasses.replace(trained, metrics=small_models.SCORES)
    found = small_models.card_predictions(300)
    carded = save_bundle(measured, versions_path, lambda made: write_card(made, found))
    run(versions_path, "activate", carded.id)
    result = run(versions_path, "card", "active")
    assert result.stdout.startswith(f"# Model card {carded.id}")
    assert carded.id in result.stderr
    absent = run(versions_path, "card", version.id)
    assert absent.exit_code == 1
    assert "Card not found" in absent.output


def test_verify_passes_for_a_sound_version(versions_path: Path, version: ModelVersion) -> None:
    result = run(versions_path, "verify", version.id)
    assert result.exit_code == 0, result.output
    assert "packed forest: equals RandomForestRegressor" in result.output


def test_verify_refuses_a_changed_file(versions_path: Path, version: ModelVersion) -> None:
    (versions_path / version.id / "encoder.json").write_text("{}")
    result = run(versions_path, "verify", version.id)
    assert result.exit_code == 1
    assert "encoder.json has the digest" in result.output


def test_verify_finds_a_packed_forest_of_another_estimator(
    versions_path: Path, version: ModelVersion, tmp_path: Path
) -> None:
    other = save_bundle(small_models.train(seed=7), tmp_path / "other")
    folder = versions_path / version.id
    stranger = (tmp_path / "other" / other.id / "bundle.joblib").read_bytes()
    (folder / "bundle.joblib").write_bytes(stranger)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["bundle.joblib"] = sha256_of(folder / "bundle.joblib")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = run(versions_path, "verify", version.id)
    assert result.exit_code == 1
    assert "the packed forest is off by" in result.output

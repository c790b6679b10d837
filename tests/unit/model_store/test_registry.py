"""The registry: one active version, safe changes, and a history of them."""

import datetime as dt
import json
import multiprocessing
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model_store.registry.manifest import CALIBRATION_FILE, ModelVersion
from model_store.registry.registry import ActiveVersionCache, ModelRegistry, etag_of
from shared.domain.errors import (
    ActiveModelChanged,
    ActivePointerLost,
    ModelRefused,
    ModelVersionNotFound,
    NoEarlierModel,
)


@pytest.fixture
def versions(versions_path: Path, version: ModelVersion) -> list[str]:
    """Four versions, the oldest first; copies of one under other names."""
    names = [f"2026-01-0{day}T120000-aaaaa{day}" for day in (1, 2, 3, 4)]
    source = versions_path / version.id
    for name in names:
        shutil.copytree(source, versions_path / name)
        manifest = json.loads((source / "manifest.json").read_text()) | {"id": name}
        (versions_path / name / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(source)
    return names


@pytest.fixture
def registry(versions_path: Path) -> ModelRegistry:
    return ModelRegistry(versions_path)


def activated(registry: ModelRegistry, *versions: str) -> None:
    for version in versions:
        registry.activate(version, by="test")


def test_a_registry_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    registry = ModelRegistry(tmp_path / "nothing here")
    assert registry.list() == []
    assert registry.active() is None
    assert registry.history() == []
    assert registry.etag() == etag_of(None)


def test_versions_are_listed_newest_first(registry: ModelRegistry, versions: list[str]) -> None:
    assert [each.id for each in registry.list()] == versions[::-1]


def test_a_version_that_cannot_be_read_does_not_hide_the_others(
    registry: ModelRegistry, versions: list[str], versions_path: Path
) -> None:
    (versions_path / versions[0] / "manifest.json").write_text("{")
    (versions_path / versions[1] / "manifest.json").unlink()
    (versions_path / versions[2] / "manifest.json").write_text("[]")
    (versions_path / ".new-half").mkdir()
    assert [each.id for each in registry.list()] == [versions[3]]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"id": 3}', "\x00"])
def test_an_unreadable_manifest_is_refused(
    registry: ModelRegistry, versions: list[str], versions_path: Path, content: str
) -> None:
    (versions_path / versions[0] / "manifest.json").write_text(content)
    with pytest.raises(ModelRefused, match=r"manifest\.json cannot be read"):
        registry.get(versions[0])


def test_a_missing_manifest_is_refused(
    registry: ModelRegistry, versions: list[str], versions_path: Path
) -> None:
    (versions_path / versions[0] / "manifest.json").unlink()
    with pytest.raises(ModelRefused, match=r"manifest\.json is missing"):
        registry.get(versions[0])


def test_activation_moves_the_pointer(registry: ModelRegistry, versions: list[str]) -> None:
    assert registry.activate(versions[1], by="amina").id == versions[1]
    assert registry.active_version() == versions[1]
    active = registry.active()
    assert active is not None
    assert active.id == versions[1]


def test_the_history_records_who_did_what(registry: ModelRegistry, versions: list[str]) -> None:
    registry.activate(versions[0], by="amina")
    registry.activate(versions[1], by="youssef")
    registry.rollback(by="amina")
    assert [(c.action, c.version, c.previous, c.by) for c in registry.history()] == [
        ("activate", versions[0], None, "amina"),
        ("activate", versions[1], versions[0], "youssef"),
        ("rollback", versions[0], versions[1], "amina"),
    ]


def test_activating_the_active_version_again_changes_nothing(
    registry: ModelRegistry, versions: list[str]
) -> None:
    activated(registry, versions[0], versions[0])
    assert len(registry.history()) == 1


@pytest.mark.parametrize("name", ["2020-01-01T000000-ffffff", "../../etc", "", "ACTIVE"])
def test_an_unknown_version_is_not_activated(
    registry: ModelRegistry, versions: list[str], name: str
) -> None:
    activated(registry, versions[0])
    with pytest.raises(ModelVersionNotFound):
        registry.activate(name, by="test")
    assert registry.active_version() == versions[0]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_a_damaged_version_is_not_activated(
    registry: ModelRegistry,
    versions: list[str],
    versions_path: Path,
    damage: Callable[[Path], None],
) -> None:
    activated(registry, versions[0])
    damage(versions_path / versions[1] / "forest.npz")
    with pytest.raises(ModelRefused, match=r"forest\.npz"):
        registry.activate(versions[1], by="test")
    assert registry.active_version() == versions[0]
    assert len(registry.history()) == 1


def test_each_rollback_goes_one_activation_further_back(
    registry: ModelRegistry, versions: list[str]
) -> None:
    activated(registry, versions[0], versions[1], versions[0], versions[2])
    found = [registry.rollback(by="test").id for _ in range(3)]
    assert found == [versions[0], versions[1], versions[0]]
    with pytest.raises(NoEarlierModel):
        registry.rollback(by="test")
    assert registry.active_version() == versions[0]


def test_an_activation_after_a_rollback_can_be_rolled_back(
    registry: ModelRegistry, versions: list[str]
) -> None:
    activated(registry, versions[0], versions[1])
    registry.rollback(by="test")
    activated(registry, versions[2])
    assert registry.rollback(by="test").id == versions[0]


def test_nothing_can_be_rolled_back_before_the_first_activation(
    registry: ModelRegistry, versions: list[str]
) -> None:
    with pytest.raises(NoEarlierModel):
        registry.rollback(by="test")
    activated(registry, versions[0])
    with pytest.raises(NoEarlierModel):
        registry.rollback(by="test")


def test_a_rollback_to_a_version_that_is_gone_changes_nothing(
    registry: ModelRegistry, versions: list[str], versions_path: Path
) -> None:
    activated(registry, versions[0], versions[1])
    shutil.rmtree(versions_path / versions[0])
    with pytest.raises(ModelVersionNotFound):
        registry.rollback(by="test")
    assert registry.active_version() == versions[1]


def test_rollback_ignores_a_change_that_a_crash_prevented(
    registry: ModelRegistry, versions: list[str], versions_path: Path
) -> None:
    activated(registry, versions[0], versions[1])
    pointer = (versions_path / "ACTIVE").read_bytes()
    activated(registry, versions[2])
    (versions_path / "ACTIVE").write_bytes(pointer)
    assert registry.rollback(by="test").id == versions[0]


def test_an_incomplete_line_in_the_history_is_skipped(
    registry: ModelRegistry, versions: list[str], versions_path: Path
) -> None:
    activated(registry, versions[0], versions[1])
    with (versions_path / "history.jsonl").open("a") as file:
        file.write('{"at": "2026-')
    activated(registry, versions[2])
    assert [change.version for change in registry.history()] == versions[:3]
    assert registry.rollback(by="test").id == versions[1]


def test_if_match_holds_only_until_the_pointer_moves(
    registry: ModelRegistry, versions: list[str]
) -> None:
    activated(registry, versions[0], versions[1])
    seen = registry.etag()
    registry.activate(versions[2], by="first", expected_etag=seen)
    with pytest.raises(ActiveModelChanged) as caught:
        registry.activate(versions[3], by="second", expected_etag=seen)
    assert caught.value.params["version"] == versions[2]
    with pytest.raises(ActiveModelChanged):
        registry.rollback(by="second", expected_etag=seen)
    assert registry.active_version() == versions[2]


@pytest.mark.parametrize("content", [b"", b"../../etc/passwd\n", b"\xff\xfe\x00"])
def test_an_invalid_pointer_counts_as_none(
    registry: ModelRegistry, versions: list[str], versions_path: Path, content: bytes
) -> None:
    activated(registry, versions[0])
    (versions_path / "ACTIVE").write_bytes(content)
    assert registry.active_version() is None


@pytest.mark.parametrize("content", [None, b"", b"nonsense\n"])
@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_lost_pointer_is_no_new_registry(
    registry: ModelRegistry,
    versions: list[str],
    versions_path: Path,
    content: bytes | None,
    *,
    is_recorded: bool,
) -> None:
    assert registry.known_active_version() is None
    activated(registry, versions[0], versions[1])
    assert registry.known_active_version() == versions[1]
    if not is_recorded:
        (versions_path / "history.jsonl").write_text("damaged")
    (versions_path / "ACTIVE").unlink()
    if content is not None:
        (versions_path / "ACTIVE").write_bytes(content)
    with pytest.raises(ActivePointerLost) as caught:
        registry.known_active_version()
    assert caught.value.params["version"] == (versions[1] if is_recorded else "-")


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_with_a_lost_pointer_nothing_is_rolled_back_or_removed(
    registry: ModelRegistry,
    later_registry: ModelRegistry,
    versions: list[str],
    versions_path: Path,
    content: bytes | None,
) -> None:
    """A roll-back said that no version had been active before, and `prune` removed the last one."""
    activated(registry, versions[1], versions[0])
    (versions_path / "ACTIVE").unlink()
    if content is not None:
        (versions_path / "ACTIVE").write_bytes(content)
    for change in (lambda: registry.rollback(by="test"), lambda: later_registry.prune(1)):
        with pytest.raises(ActivePointerLost) as caught:
            change()
        assert caught.value.params["version"] == versions[0]
    assert len(registry.list()) == len(versions)
    registry.activate(versions[0], by="test")
    assert registry.rollback(by="test").id == versions[1]


@pytest.mark.parametrize("member", ["at", "version", "previous", "by"])
def test_a_line_of_the_history_with_a_number_is_skipped(
    registry: ModelRegistry, versions: list[str], versions_path: Path, member: str
) -> None:
    activated(registry, versions[0], versions[1])
    path = versions_path / "history.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    with path.open("a") as file:
        file.write(json.dumps(line | {member: 7}) + "\n")
    assert [change.version for change in registry.history()] == versions[:2]
    assert registry.rollback(by="test").id == versions[0]
    registry.prune(1)


def _activate_often(versions_path: Path, versions: list[str], seed: int) -> None:
    registry = ModelRegistry(versions_path)
    for turn in range(25):
        registry.activate(versions[(turn * seed) % len(versions)], by=f"process {seed}")


def test_activations_at_the_same_time_leave_an_unbroken_history(
    registry: ModelRegistry, versions: list[str], versions_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_activate_often, args=(versions_path, versions, seed))
        for seed in (1, 3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    history = registry.history()
    assert {change.by for change in history} == {"process 1", "process 3"}
    assert [change.previous for change in history[1:]] == [c.version for c in history[:-1]]
    assert history[-1].version == registry.active_version()


@pytest.fixture
def later_registry(versions_path: Path) -> ModelRegistry:
    """The registry, a day after whatever a test does to it."""
    return ModelRegistry(versions_path, now=lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=1))


def test_pruning_removes_the_oldest_versions_and_nothing_in_use(
    registry: ModelRegistry, later_registry: ModelRegistry, versions: list[str], versions_path: Path
) -> None:
    first, second, third, fourth = versions
    activated(registry, second, first)
    assert later_registry.prune(1) == [third]
    assert {each.id for each in registry.list()} == {first, second, fourth}
    assert registry.rollback(by="test").id == second
    assert not list(versions_path.glob(".old-*"))


def test_pinned_versions_and_those_of_other_pointers_are_not_pruned(
    registry: ModelRegistry, later_registry: ModelRegistry, versions: list[str], versions_path: Path
) -> None:
    first, second, third, fourth = versions
    activated(registry, fourth)
    (versions_path / "CANDIDATE").write_text(f"{first}\n")
    assert later_registry.prune(1, pinned=[second]) == [third]
    assert later_registry.prune(1) == [second]
    assert {each.id for each in registry.list()} == {first, fourth}


def test_a_recently_replaced_version_is_not_pruned(
    registry: ModelRegistry, later_registry: ModelRegistry, versions: list[str]
) -> None:
    activated(registry, *versions)
    assert registry.prune(1) == []
    assert later_registry.prune(1) == versions[:2]


def test_pruning_finishes_what_a_crash_left(
    later_registry: ModelRegistry, versions: list[str], versions_path: Path
) -> None:
    shutil.copytree(versions_path / versions[0], versions_path / f".old-{versions[0]}")
    assert later_registry.prune(3) == versions[:1]
    assert not list(versions_path.glob(".old-*"))


def test_pruning_a_registry_without_versions_removes_nothing(tmp_path: Path) -> None:
    assert ModelRegistry(tmp_path / "none").prune(1) == []


def test_the_cached_reader_looks_at_most_once_a_second(
    registry: ModelRegistry, versions: list[str], versions_path: Path
) -> None:
    now = [100.0]
    reader = ActiveVersionCache(versions_path, clock=lambda: now[0])
    assert reader.version_id() is None
    activated(registry, versions[0])
    now[0] += 0.99
    assert reader.version_id() is None
    now[0] += 0.02
    assert reader.version_id() == versions[0]


def test_the_registry_and_the_manifest_are_light() -> None:
    program = (
        "import sys, model_store.registry.registry\n"
        "print(sorted({'numpy', 'sklearn', 'pandas', 'joblib', 'numba'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_api_knows_how_much_older_the_data_of_the_widths_are(
    versions_path: Path, version: ModelVersion
) -> None:
    """A calibration of listings that are five months older than the newest widens earlier."""
    assert ActiveVersionCache(versions_path).width_lag_months(version.id) == 0
    path = versions_path / version.id / CALIBRATION_FILE
    path.write_text(json.dumps({"growth": {"lag_months": 5}}))
    assert ActiveVersionCache(versions_path).width_lag_months(version.id) == 5
    assert ActiveVersionCache(versions_path).width_lag_months("v1") == 0

"""Models that two hosts share through a store that speaks S3."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_store.registry.manifest import ModelVersion
from model_store.registry.pointer_files import read_active, read_shadow
from model_store.registry.registry import ModelRegistry, ShadowPointer
from model_store.registry.shared_models import DOCUMENT, SharedModels, SharedModelsMissing
from model_store.registry.trials import VersionTrials
from model_store.registry.version_store import FETCHED_PREFIX, FOLDER
from shared.domain.errors import (
    ActivationConflict,
    ActiveModelChanged,
    ModelCardNotFound,
    ModelRefused,
    ModelVersionNotFound,
)
from shared.state.objects import StateObjects
from tests.object_store import BUCKET, ObjectStore, running_object_store

OLD, MIDDLE, NEW = (f"2026-01-0{day}T120000-aaaaa{day}" for day in (1, 2, 3))


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    """One server for the tests of this file."""
    with running_object_store() as running:
        yield running


class Host:
    """A host: a folder of versions, and its access to the store."""

    def __init__(self, objects: StateObjects, path: Path) -> None:
        self.objects, self.path = objects, path
        path.mkdir(exist_ok=True)
        self.shared = SharedModels(objects, path, lambda: self.now)
        self.now = 0.0
        self.registry = ModelRegistry(path, shared=self.shared)

    def pull(self) -> None:
        """Take what others have changed."""
        self.shared.pull()

    def add(self, source: Path, *names: str) -> None:
        """Put versions into the folder: copies of one under other names."""
        for name in names:
            shutil.copytree(source, self.path / name)
            manifest = json.loads((source / "manifest.json").read_text()) | {"id": name}
            (self.path / name / "manifest.json").write_text(json.dumps(manifest))

    @property
    def copies(self) -> set[str]:
        """The versions whose files this host has."""
        return {path.name for path in self.path.iterdir() if path.name[0] == "2"}


@pytest.fixture
def hosts(store, request, tmp_path, versions_path: Path, version: ModelVersion):
    """Two hosts; the first has three versions."""
    url = f"s3://{BUCKET}/{request.node.name}"
    a, b = (Host(StateObjects(url, store.endpoint_url), tmp_path / name) for name in "ab")
    a.add(versions_path / version.id, OLD, MIDDLE, NEW)
    return a, b


def files(host: Host, version: str) -> dict[str, bytes]:
    """Contents of a version's files."""
    return {path.name: path.read_bytes() for path in (host.path / version).iterdir()}


def test_an_activation_reaches_the_other_host_with_its_files(hosts):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    b.pull()
    assert b.registry.active_version() == OLD
    assert files(b, OLD) == files(a, OLD)
    assert [change.by for change in b.registry.history()] == ["ann"]


def test_any_host_activates_and_rolls_back_versions_of_the_others(hosts):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    a.registry.activate(NEW, by="ann")
    b.pull()
    assert b.registry.rollback(by="bob").id == OLD
    a.pull()
    assert a.registry.active_version() == OLD
    assert [change.by for change in a.registry.history()] == ["ann", "ann", "bob"]


def test_the_versions_of_others_are_listed_before_they_are_fetched(hosts):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    a.shared.publish(NEW)
    b.pull()
    assert b.copies == {OLD}
    assert [each.id for each in b.registry.list()] == [NEW, OLD]
    assert b.registry.get(NEW) == a.registry.get(NEW)
    assert b.copies == {OLD}
    assert b.registry.activate(NEW, by="bob").id == NEW
    assert b.copies == {OLD, NEW}


def test_a_file_of_a_card_is_read_from_the_store(hosts):
    a, b = hosts
    manifest = json.loads((a.path / NEW / "manifest.json").read_text())
    name = "card.md"
    (a.path / NEW / name).write_bytes(b"# card")
    import hashlib  # noqa: PLC0415

    manifest["files"][name] = hashlib.sha256(b"# card").hexdigest()
    (a.path / NEW / "manifest.json").write_text(json.dumps(manifest))
    a.registry.activate(OLD, by="ann")
    a.shared.publish(NEW)
    b.pull()
    assert b.registry.card_file(NEW, name) == b"# card"
    with pytest.raises(ModelCardNotFound):
        b.registry.card_file(NEW, "card.png")


def test_two_activations_at_once_have_one_winner(hosts):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    for version in (MIDDLE, NEW):
        a.shared.publish(version)
    b.pull()
    both = threading.Barrier(2)
    results: dict[str, object] = {}

    def activate(host: Host, version: str) -> None:
        registry = ModelRegistry(
            host.path, shared=host.shared, self_test=lambda _: both.wait(timeout=60)
        )
        try:
            results[version] = registry.activate(version, by="both").id
        except ActivationConflict as error:
            results[version] = error

    threads = [threading.Thread(target=activate, args=pair) for pair in ((a, MIDDLE), (b, NEW))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    a.pull()
    b.pull()
    active = a.registry.active_version()
    assert active == b.registry.active_version() == results[active]
    (loser,) = {MIDDLE, NEW} - {active}
    assert isinstance(results[loser], ActivationConflict)
    assert [change.version for change in a.registry.history()] == [OLD, active]


def test_a_stale_etag_is_compared_with_the_shared_pointer(hosts):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    b.pull()
    etag = b.registry.etag()
    a.registry.activate(NEW, by="ann")
    with pytest.raises(ActiveModelChanged):
        b.registry.activate(OLD, by="bob", expected_etag=etag)


def test_a_host_with_old_files_takes_the_shared_state(hosts):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    b.pull()
    for version in (MIDDLE, NEW):
        a.registry.activate(version, by="ann")
    back = Host(b.objects, b.path)
    back.pull()
    assert back.registry.active_version() == NEW
    assert len(back.registry.history()) == 3
    assert back.registry.rollback(by="bob").id == MIDDLE


def test_a_host_with_a_model_of_its_own_takes_the_shared_one(hosts, versions_path, version):
    a, b = hosts
    b.add(versions_path / version.id, "2026-02-01T000000-bbbbbb")
    ModelRegistry(b.path).activate("2026-02-01T000000-bbbbbb", by="bob")
    b.pull()
    assert b.registry.active_version() == "2026-02-01T000000-bbbbbb"
    a.registry.activate(OLD, by="ann")
    b.pull()
    assert b.registry.active_version() == OLD
    assert "2026-02-01T000000-bbbbbb" in b.copies


def test_the_history_of_a_single_host_is_shared_with_its_first_change(hosts):
    a, b = hosts
    alone = ModelRegistry(a.path)
    alone.activate(OLD, by="ann")
    alone.activate(MIDDLE, by="ann")
    a.registry.activate(NEW, by="ann")
    b.pull()
    assert b.registry.rollback(by="bob").id == MIDDLE
    assert b.registry.rollback(by="bob").id == OLD


def test_a_version_that_was_published_a_moment_ago_is_fetched_for_a_batch(hosts):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    b.pull()
    a.registry.activate(NEW, by="ann")
    b.shared.ensure(NEW)
    assert NEW in b.copies
    with pytest.raises(ModelVersionNotFound):
        b.shared.ensure("2026-01-09T120000-ffffff")


@pytest.mark.parametrize("is_missing", [False, True])
def test_a_damaged_copy_is_fetched_again(hosts, is_missing):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    b.pull()
    if is_missing:
        shutil.rmtree(b.path / OLD)
    else:
        (b.path / OLD / "forest.npz").write_bytes(b"damaged")
    b.shared.ensure(OLD)
    assert files(b, OLD) == files(a, OLD)


@pytest.mark.parametrize("damage", ["forest.npz", "manifest.json", "missing"])
def test_a_version_damaged_in_the_store_moves_no_pointer(hosts, damage):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    b.pull()
    a.registry.activate(NEW, by="ann")
    if damage == "missing":
        a.objects.delete([f"{FOLDER}/{NEW}/forest.npz"])
    else:
        path = a.path / "damaged"
        path.write_bytes(b"damaged")
        a.objects.upload(f"{FOLDER}/{NEW}/{damage}", path)
    with pytest.raises(ModelRefused):
        b.pull()
    assert b.registry.active_version() == OLD
    assert b.copies == {OLD}
    with pytest.raises(ModelRefused):
        b.pull()  # reported as long as it lasts
    assert b.registry.activate(OLD, by="bob").id == OLD
    a.pull()
    assert a.registry.active_version() == OLD


def test_a_repaired_version_is_taken_later(hosts):
    a, b = hosts
    a.registry.activate(NEW, by="ann")
    a.objects.delete([f"{FOLDER}/{NEW}/forest.npz"])
    with pytest.raises(ModelRefused):
        b.pull()
    a.objects.upload(f"{FOLDER}/{NEW}/forest.npz", a.path / NEW / "forest.npz")
    b.now += 60
    b.pull()
    assert b.registry.active_version() == NEW


def test_an_unreachable_store_changes_nothing(hosts):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    b.pull()
    away = away_from_store(b)
    with pytest.raises(OSError, match="state store"):
        away.pull()
    with pytest.raises(OSError, match="state store"):
        away.registry.activate(OLD, by="bob")
    assert away.registry.active_version() == OLD
    assert away.registry.check(OLD).id == OLD


def away_from_store(host: Host) -> Host:
    """The host without its store."""
    return Host(StateObjects(f"s3://{BUCKET}/x", "http://127.0.0.1:9"), host.path)


def test_a_version_is_not_refused_because_the_store_is_unreachable(hosts):
    """A worker that tries it reports no result, and the next attempt asks the store again."""
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    a.shared.publish(NEW)
    b.pull()
    away = away_from_store(b)
    with pytest.raises(OSError, match="state store"):
        away.registry.check(NEW)
    trials = VersionTrials(away.shared.ensure, set)
    trials._lock.acquire()
    trials._try(NEW)
    assert trials.results() == {}


def test_a_file_that_cannot_be_fetched_delays_no_other_change(hosts, monkeypatch):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    b.pull()
    a.registry.activate(NEW, by="ann")

    def broken(name: str, path: Path) -> None:
        raise OSError(f"state store: {name} for {path}")

    with monkeypatch.context() as context:
        context.setattr(b.objects, "download", broken)
        with pytest.raises(ModelRefused, match="cannot be fetched"):
            b.pull()
        assert (b.registry.active_version(), len(b.registry.history())) == (OLD, 2)
        assert b.registry.rollback(by="bob").id == OLD, "which repairs it"


def test_an_activation_counts_although_the_store_fails_after_it(hosts, monkeypatch):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    replace = a.objects.replace

    def last_answer(name: str, content: bytes, etag: str | None) -> str:
        found = replace(name, content, etag)
        if b"NEW" in content.replace(NEW.encode(), b"NEW"):
            monkeypatch.setattr(a.objects, "_endpoint_url", "http://127.0.0.1:9")
            monkeypatch.setattr(a.objects, "_connection", None)
        return found

    a.shared.publish(NEW)
    monkeypatch.setattr(a.objects, "replace", last_answer)
    assert a.registry.activate(NEW, by="ann").id == NEW
    b.pull()
    assert b.registry.active_version() == NEW


def test_what_a_killed_process_has_fetched_is_removed(hosts):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    (b.path / f"{FETCHED_PREFIX}killed").mkdir()
    (b.path / f"{FETCHED_PREFIX}killed" / "forest.npz").write_bytes(b"half")
    b.pull()
    assert {path.name for path in b.path.glob(".new-*")} == set()


def test_a_lost_document_is_reported_and_written_by_the_next_activation(hosts):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    a.registry.activate(NEW, by="ann")
    b.pull()
    names = [f"{FOLDER}/{version}/manifest.json" for version in (OLD, NEW)]
    a.objects.delete([DOCUMENT, *names])
    with pytest.raises(SharedModelsMissing):
        b.pull()
    assert b.registry.active_version() == NEW
    assert a.registry.activate(NEW, by="ann").id == NEW
    b.pull()
    assert b.registry.active_version() == NEW
    assert b.registry.rollback(by="bob").id == OLD


def test_a_lost_pointer_of_one_host_comes_back(hosts):
    a, _ = hosts
    a.registry.activate(OLD, by="ann")
    (a.path / "ACTIVE").unlink()
    a.pull()
    assert a.registry.active_version() == OLD


def test_the_shadow_is_shared(hosts):
    a, b = hosts
    a.registry.activate(OLD, by="ann")
    ShadowPointer(a.path, a.shared).point_to(NEW, 0.25)
    b.pull()
    assert (read_shadow(b.path).version, read_shadow(b.path).share) == (NEW, 0.25)
    assert NEW in b.copies
    ShadowPointer(b.path, b.shared).clear()
    a.pull()
    assert read_shadow(a.path) is None
    assert read_active(a.path) == OLD


def test_pruned_versions_are_removed_everywhere(hosts):
    a, b = hosts
    for version in (OLD, MIDDLE, NEW):
        a.shared.publish(version)
    a.registry.activate(NEW, by="ann")
    b.pull()
    for version in (OLD, MIDDLE):
        b.shared.ensure(version)
    assert b.registry.prune(1) == [OLD, MIDDLE]
    a.pull()
    assert a.copies == b.copies == {NEW}
    with pytest.raises(ModelVersionNotFound):
        a.registry.activate(OLD, by="ann")
    assert not a.objects.exists(f"{FOLDER}/{OLD}/manifest.json")

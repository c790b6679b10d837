"""The runtime serves the active version and changes it without missing a request."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from model_store.registry.trials import VersionTrials
from shared.domain.errors import ModelNotLoaded, ModelRefused, ModelVersionNotFound
from shared.redis.serving import LOADED
from tests.conftest import wait_until
from tests.unit.model_store import small_models
from worker.model import MAX_PINNED_MODELS, RETRY_AFTER_S, ModelRuntime, ReloadOutcome

CARS = small_models.random_cars(5, seed=2)
NEVER = 1e6
"""A check interval after which no test still runs: only `refresh` looks at the pointer."""


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A registry with two versions that price differently."""
    path = tmp_path_factory.mktemp("registry")
    cheap = save_bundle(small_models.train(), path).id
    dear = save_bundle(small_models.train(level=1.0), path).id
    return path, cheap, dear


@pytest.fixture
def versions_path(two_versions: tuple[Path, str, str], tmp_path: Path) -> Path:
    return shutil.copytree(two_versions[0], tmp_path / "versions")


@pytest.fixture
def cheap(two_versions: tuple[Path, str, str]) -> str:
    return two_versions[1]


@pytest.fixture
def dear(two_versions: tuple[Path, str, str]) -> str:
    return two_versions[2]


@pytest.fixture
def activate(versions_path: Path) -> Callable[[str], Any]:
    return lambda version: ModelRegistry(versions_path).activate(version, by="test")


class Watched:
    """A runtime with a clock of its own and a list of its reload outcomes."""

    def __init__(self, versions_path: Path) -> None:
        self.now = 0.0
        self.outcomes: list[ReloadOutcome] = []
        self.runtime = ModelRuntime(
            versions_path,
            lambda: self.now,
            on_reload=self.outcomes.append,
            check_interval_s=NEVER,
        )


@pytest.fixture
def watched(versions_path: Path) -> Watched:
    return Watched(versions_path)


def test_without_an_active_version_nothing_is_loaded(watched: Watched) -> None:
    for ask in (watched.runtime.current, watched.runtime.warm_up):
        with pytest.raises(ModelNotLoaded):
            ask()
    assert watched.outcomes == []


def test_the_first_request_loads_the_active_version(
    watched: Watched, activate: Callable[[str], Any], cheap: str
) -> None:
    activate(cheap)
    assert watched.runtime.current().version.id == cheap
    assert watched.outcomes == [ReloadOutcome.SUCCESS]


def test_a_version_activated_after_the_start_is_found(
    watched: Watched, activate: Callable[[str], Any], cheap: str
) -> None:
    with pytest.raises(ModelNotLoaded):
        watched.runtime.current()
    activate(cheap)
    assert watched.runtime.current().version.id == cheap


def test_a_new_version_takes_over(
    watched: Watched, activate: Callable[[str], Any], cheap: str, dear: str
) -> None:
    activate(cheap)
    before = watched.runtime.current().prices_mad(CARS)
    activate(dear)
    watched.runtime.refresh()
    after = watched.runtime.current()
    assert after.version.id == dear
    assert all(new > old for new, old in zip(after.prices_mad(CARS), before, strict=True))


def test_a_version_that_is_served_is_not_loaded_again(
    watched: Watched, activate: Callable[[str], Any], cheap: str
) -> None:
    activate(cheap)
    model = watched.runtime.current()
    watched.runtime.refresh()
    assert watched.runtime.current() is model
    assert watched.outcomes == [ReloadOutcome.SUCCESS]


def test_a_version_that_fails_leaves_the_old_one_and_is_not_retried_at_once(
    watched: Watched, activate: Callable[[str], Any], versions_path: Path, cheap: str, dear: str
) -> None:
    activate(cheap)
    watched.runtime.warm_up()
    activate(dear)
    packed = versions_path / dear / "forest.npz"
    content = packed.read_bytes()
    packed.write_bytes(b"damaged")
    for _ in range(3):
        watched.runtime.refresh()
    assert watched.runtime.current().version.id == cheap
    assert watched.outcomes == [ReloadOutcome.SUCCESS, ReloadOutcome.FAILURE]

    packed.write_bytes(content)
    watched.now += RETRY_AFTER_S
    watched.runtime.refresh()
    assert watched.runtime.current().version.id == dear


def test_another_activation_is_tried_at_once_after_a_failure(
    watched: Watched, activate: Callable[[str], Any], versions_path: Path, cheap: str, dear: str
) -> None:
    activate(cheap)
    packed = versions_path / cheap / "forest.npz"
    packed.write_bytes(b"damaged")
    with pytest.raises(ModelNotLoaded):
        watched.runtime.current()
    activate(dear)
    assert watched.runtime.current().version.id == dear


def test_a_registry_that_vanishes_does_not_stop_the_loaded_model(
    watched: Watched, activate: Callable[[str], Any], versions_path: Path, cheap: str
) -> None:
    activate(cheap)
    watched.runtime.warm_up()
    shutil.rmtree(versions_path)
    watched.runtime.refresh()
    assert watched.runtime.current().prices_mad(CARS)


def test_a_batch_gets_the_version_that_it_was_accepted_with(
    watched: Watched, activate: Callable[[str], Any], cheap: str, dear: str
) -> None:
    activate(dear)
    assert watched.runtime.load(cheap).version.id == cheap
    assert watched.runtime.load(cheap) is watched.runtime.load(cheap)
    assert watched.runtime.load(dear) is watched.runtime.load(dear)
    assert watched.runtime.current() is watched.runtime.load(dear)


def test_a_pinned_version_that_fails_says_why(
    watched: Watched, versions_path: Path, cheap: str
) -> None:
    (versions_path / cheap / "forest.npz").write_bytes(b"damaged")
    with pytest.raises(ModelRefused, match=r"forest\.npz"):
        watched.runtime.load(cheap)
    with pytest.raises(ModelVersionNotFound):
        watched.runtime.load("2020-01-01T000000-ffffff")


def test_only_the_last_few_pinned_versions_are_kept(watched: Watched, versions_path: Path) -> None:
    trained = small_models.train(trees=2)
    versions = [save_bundle(trained, versions_path).id for _ in range(MAX_PINNED_MODELS + 1)]
    first = watched.runtime.load(versions[0])
    for version in versions[1:]:
        watched.runtime.load(version)
    assert watched.runtime.load(versions[-1]) is watched.runtime.load(versions[-1])
    assert watched.runtime.load(versions[0]) is not first


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_requests_go_on_while_versions_change(
    versions_path: Path, activate: Callable[[str], Any], cheap: str, dear: str
) -> None:
    """Every request is answered, and each answer is wholly one version's."""
    activate(cheap)
    runtime = ModelRuntime(versions_path, time.monotonic, check_interval_s=0.01)
    expected = {version: runtime.load(version).prices_mad(CARS) for version in (cheap, dear)}
    stop, answered, wrong = threading.Event(), set[str](), list[str]()

    def ask() -> None:
        while not stop.is_set():
            model = runtime.current()
            prices = model.prices_mad(CARS)
            answered.add(model.version.id)
            if prices != expected[model.version.id]:
                wrong.append(model.version.id)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in (dear, cheap, dear):
        activate(version)
        wait_for(lambda version=version: runtime.current().version.id == version)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert answered == {cheap, dear}
    assert wrong == []


def in_a_child(work: Callable[[], bool]) -> bool:
    """Fork, work, and tell by the exit code."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:  # noqa: BLE001 - nothing may leave the child but its exit code
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_children_of_a_warm_parent_value_explain_and_reload(
    versions_path: Path, activate: Callable[[str], Any], cheap: str, dear: str
) -> None:
    activate(cheap)
    runtime = ModelRuntime(versions_path, time.monotonic, check_interval_s=0.01)
    runtime.warm_up()
    expected = runtime.load(cheap).prices_mad(CARS)

    def work() -> bool:
        model = runtime.current()
        is_right = model.prices_mad(CARS) == expected and bool(model.explain(CARS[0]).contributions)
        activate(dear)
        wait_for(lambda: runtime.current().version.id == dear)
        return is_right

    assert in_a_child(work)
    activate(cheap)
    assert in_a_child(work)


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_child_of_a_watching_parent_watches_for_itself(
    versions_path: Path, activate: Callable[[str], Any], cheap: str, dear: str
) -> None:
    """Threads do not survive a fork; that the parent had one must not deceive the child."""
    activate(cheap)
    runtime = ModelRuntime(versions_path, time.monotonic, check_interval_s=0.01)
    runtime.warm_up()
    runtime._watcher_pid = os.getpid()

    def work() -> bool:
        runtime.current()
        activate(dear)
        wait_for(lambda: runtime.current().version.id == dear)
        return True

    assert in_a_child(work)


def test_warming_up_starts_no_thread(
    versions_path: Path, activate: Callable[[str], Any], cheap: str
) -> None:
    activate(cheap)
    before = len(list(Path("/proc/self/task").iterdir()))
    ModelRuntime(versions_path, time.monotonic).warm_up()
    assert len(list(Path("/proc/self/task").iterdir())) == before


def test_files_are_fetched_before_a_version_is_loaded(
    versions_path: Path, activate: Callable[[str], Any], cheap: str, dear: str
) -> None:
    activate(cheap)
    wanted: list[str] = []

    def ensure(version: str) -> None:
        wanted.append(version)
        if version == dear:
            raise OSError("state store: unreachable")

    runtime = ModelRuntime(versions_path, time.monotonic, check_interval_s=NEVER, ensure=ensure)
    assert runtime.serving_version() == cheap
    activate(dear)
    runtime.refresh()
    assert runtime.serving_version() == cheap, "the old version serves while files are missing"
    assert wanted == [cheap, dear]


def test_a_version_is_tried_while_the_present_one_serves_and_then_takes_over_at_once(
    watched: Watched, cheap: str, dear: str, activate: Callable[[str], Any], versions_path: Path
) -> None:
    activate(cheap)
    runtime = watched.runtime
    assert runtime.loaded() == set()
    assert runtime.current().version.id == cheap
    trials = VersionTrials(runtime.load, runtime.loaded)
    trials.ask(dear)
    wait_until(lambda: trials.results() == {cheap: LOADED, dear: LOADED})
    assert runtime.current().version.id == cheap
    shutil.rmtree(versions_path / dear)  # what is in memory is not read again
    (versions_path / "ACTIVE").write_text(dear)
    runtime.refresh()
    assert runtime.current().version.id == dear


def test_a_damaged_version_is_refused_by_its_trial(
    watched: Watched, dear: str, versions_path: Path
) -> None:
    (versions_path / dear / "forest.npz").write_bytes(b"damaged")
    trials = VersionTrials(watched.runtime.load, watched.runtime.loaded)
    trials.ask(dear)
    wait_until(lambda: dear in trials.results())
    assert "forest.npz" in trials.results()[dear]

"""Trials of versions by workers that report to a real broker."""

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from api.models import self_test
from api.models.self_test import run_self_test, self_test_of
from model_store.registry import hosts
from model_store.registry.hosts import Activations
from model_store.registry.trials import VersionTrials, tried_by_workers
from shared.domain.errors import ModelNotTried, ModelRefused
from shared.redis import keys, serving
from shared.redis.connections import connect
from shared.redis.serving import LOADED, TRYING, ServingReporter, ServingVersions
from tests.conftest import Servers, wait_until

NEW, OLD = "2026-01-02T120000-aaaaa2", "2026-01-01T120000-aaaaa1"
WAIT_S = 30.0


@pytest.fixture
def versions(servers: Servers) -> ServingVersions:
    return ServingVersions(servers.broker)


class Worker:
    """A worker process with a version, which reports to the broker."""

    def __init__(self, load: Callable[[str], object]) -> None:
        self.serves, self.kept, self.asked = OLD, {OLD}, list[str]()
        self._load = load
        self.trials = VersionTrials(self.load, lambda: self.kept)

    def load(self, version: str) -> None:
        """Load a version, and keep it."""
        self.asked.append(version)
        self._load(version)
        self.kept = {*self.kept, version}


Start = Callable[..., Worker]


@pytest.fixture
def start(versions: ServingVersions) -> Iterator[Start]:
    """Starts workers with a name and a function that loads; stops them at the end."""
    reporters: list[ServingReporter] = []

    def started(name: str, load: Callable[[str], object]) -> Worker:
        worker = Worker(load)
        reporters.append(ServingReporter(versions, name, lambda: worker.serves, worker.trials))
        reporters[-1].start()
        wait_until(lambda: name in versions.trials(OLD))
        return worker

    yield started
    for reporter in reporters:
        reporter.stop()


def intact(_: str) -> None:
    """Every version can be used."""


def refused(version: str) -> None:
    """No version can be used."""
    raise ModelRefused(version=version, reason="damaged")


def unreachable(_: str) -> None:
    """No version can be fetched."""
    raise OSError("state store")


def test_workers_load_a_version_before_it_is_activated(
    versions: ServingVersions, start: Start
) -> None:
    workers = [start(f"worker@{number}", intact) for number in range(2)]
    assert tried_by_workers(versions, NEW, WAIT_S)
    assert [worker.asked for worker in workers] == [[NEW], [NEW]], "all, and once"


def test_a_version_that_is_loaded_is_not_tried_again(
    versions: ServingVersions, servers: Servers, start: Start
) -> None:
    worker = start("worker@a", refused)
    assert tried_by_workers(versions, OLD, 0.0)
    assert worker.asked == []
    assert not servers.broker.exists(keys.MODEL_TRIAL)


def test_what_no_worker_can_use_is_refused(versions: ServingVersions, start: Start) -> None:
    worker = start("worker@a", refused)
    with pytest.raises(ModelRefused, match="damaged"):
        tried_by_workers(versions, NEW, WAIT_S)
    assert worker.asked == [NEW]


def test_a_version_that_some_workers_refuse_is_left_to_the_activation(
    versions: ServingVersions, start: Start
) -> None:
    """It names them: on their hosts something is wrong."""
    start("worker@a", refused)
    start("worker@b", intact)
    assert tried_by_workers(versions, NEW, WAIT_S)


def test_without_a_result_of_a_worker_nothing_is_known(
    versions: ServingVersions, start: Start
) -> None:
    assert not tried_by_workers(versions, NEW, 0.0), "there is no worker"
    versions.report("api@a", OLD)
    assert not tried_by_workers(versions, NEW, 0.0), "an API loads no model"
    assert not tried_by_workers(ServingVersions(connect("redis://127.0.0.1:9")), NEW, 0.5)
    start("worker@a", unreachable)
    with pytest.raises(ModelNotTried) as raised:
        tried_by_workers(versions, NEW, 0.5, 0.5)
    assert raised.value.params["workers"] == "worker@a"


def test_a_worker_that_is_still_loading_is_waited_for_and_then_named(
    versions: ServingVersions, start: Start
) -> None:
    done = threading.Event()
    worker = start("worker@a", lambda _: done.wait(WAIT_S))
    start("worker@b", unreachable)
    wait_until(lambda: _ask(versions)["worker@a"] == TRYING)
    with pytest.raises(ModelNotTried, match="worker@a, worker@b"):
        tried_by_workers(versions, NEW, 0.0, 0.1)
    threading.Timer(0.5, done.set).start()
    assert tried_by_workers(versions, NEW, 0.0, WAIT_S), "longer than others"
    assert worker.asked == [NEW]


def test_a_worker_that_stops_reporting_while_it_loads_has_not_answered(
    versions: ServingVersions, servers: Servers
) -> None:
    """As one that compiles kernels on a busy machine: it has neither refused nor ended."""
    versions.report("worker@a", OLD, {TRYING: NEW})
    threading.Timer(0.3, servers.broker.delete, [keys.model_trials("worker@a")]).start()
    with pytest.raises(ModelNotTried, match="worker@a"):
        tried_by_workers(versions, NEW, 1.0, WAIT_S)


def test_a_slow_worker_is_waited_for(versions: ServingVersions, start: Start) -> None:
    done = threading.Event()
    start("worker@a", intact)
    slow = start("worker@b", lambda _: done.wait(WAIT_S))
    wait_until(lambda: _ask(versions)["worker@a"] == LOADED)
    assert tried_by_workers(versions, NEW, 0.0), "but not for ever"
    done.set()
    assert tried_by_workers(versions, NEW, WAIT_S)
    assert NEW in slow.kept


def _ask(versions: ServingVersions) -> Mapping[str, str | None]:
    versions.ask_for_trial(NEW)
    return versions.trials(NEW)


def test_an_api_without_the_libraries_of_the_model_activates_what_workers_have_tried(
    versions: ServingVersions, start: Start, tmp_path: Path
) -> None:
    start("worker@a", intact)
    activations = Activations(versions, {NEW}.__contains__)
    self_test_of(activations, tmp_path)(NEW)  # no process of the API finds it in this folder
    assert not activations.is_tried(OLD), "others cannot fetch it"


def test_without_the_libraries_workers_that_do_not_answer_are_no_refusal(
    versions: ServingVersions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_libraries(tmp_path, monkeypatch)
    at_once = partial(tried_by_workers, wait_s=0.0, loading_wait_s=0.0)
    monkeypatch.setattr(hosts, "tried_by_workers", at_once)
    versions.report("worker@a", OLD, {TRYING: NEW})
    activations = Activations(versions, {NEW}.__contains__)
    with pytest.raises(ModelNotTried, match="worker@a"):
        self_test_of(activations, tmp_path)(NEW)


def test_a_change_is_reported_before_the_next_report_is_due(
    versions: ServingVersions, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REPORT_INTERVAL_S", 3600.0)
    worker = start("worker@a", intact)
    worker.serves = NEW
    wait_until(lambda: versions.live() == {"worker@a": NEW})


def without_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let child processes lack a library of the model."""
    module = tmp_path / "model_store" / "registry" / "trial.py"
    module.parent.mkdir(parents=True)
    for folder in (module.parent, module.parent.parent):
        (folder / "__init__.py").touch()  # else a package of this name elsewhere is preferred
    module.write_text("import a_library_of_the_model")
    monkeypatch.setattr(self_test, "CODE_ROOT", tmp_path)


def test_a_host_without_the_libraries_and_without_workers_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_libraries(tmp_path, monkeypatch)
    with pytest.raises(ModelRefused, match=r"code 1: .*No module named 'a_library_of_the_model'"):
        run_self_test(tmp_path, NEW)


class Answers:
    """Stands for the broker: what workers say, poll by poll."""

    def __init__(self, *answers: Mapping[str, str | None]) -> None:
        self._answers = list(answers)

    def trials(self, _: str) -> Mapping[str, str | None]:
        """The next answers; the last ones again and again."""
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def ask_for_trial(self, _: str) -> None:
        """Nothing has to be asked."""


def test_what_a_worker_said_counts_after_it_has_ended() -> None:
    refusal = Answers({"a": "damaged", "b": None}, {"b": None}, {"a": None, "b": None})
    with pytest.raises(ModelRefused, match="damaged"):
        tried_by_workers(cast("ServingVersions", refusal), NEW, 0.5)
    loaded = Answers({"a": LOADED, "b": TRYING}, {"b": TRYING})
    assert tried_by_workers(cast("ServingVersions", loaded), NEW, 0.5, 0.5)

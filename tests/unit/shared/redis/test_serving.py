"""Reports of the model versions that processes serve, in a real broker."""

import threading

import pytest

from model_store.registry.hosts import BROKER_SILENT, Activations
from shared.redis import keys
from shared.redis.connections import connect
from shared.redis.serving import ServingReporter, ServingVersions
from tests.conftest import wait_until


@pytest.fixture
def serving(servers):
    return ServingVersions(servers.broker)


def test_live_processes_are_listed_and_ended_ones_forgotten(serving, servers):
    serving.report("api@a:1", "new")
    serving.report("worker@b:2", None)
    serving.report("worker@c:3", "old")
    assert serving.live() == {"api@a:1": "new", "worker@b:2": None, "worker@c:3": "old"}
    assert 0 < servers.broker.ttl(keys.serving("api@a:1")) <= 5
    servers.broker.delete(keys.serving("worker@c:3"))  # as if it had expired
    assert serving.live() == {"api@a:1": "new", "worker@b:2": None}
    assert servers.broker.scard(keys.SERVING_PROCESSES) == 2


def test_a_reporter_follows_its_process(serving):
    version = ["old"]
    reporter = ServingReporter(serving, "api@a:1", lambda: version[0])
    reporter.start()
    wait_until(lambda: serving.live() == {"api@a:1": "old"})
    version[0] = "new"
    wait_until(lambda: serving.live() == {"api@a:1": "new"})
    reporter.stop()


def test_an_activation_names_the_processes_that_do_not_follow(serving):
    activations = Activations(serving)
    serving.report("api@a:1", "new")
    assert activations.not_serving("new", 0.0) == []
    serving.report("worker@b:2", "old")
    assert activations.not_serving("new", 0.0) == ["worker@b:2"]


def test_an_activation_waits_for_a_slow_process(serving):
    serving.report("worker@b:2", "old")
    late = threading.Timer(0.3, serving.report, ("worker@b:2", "new"))
    late.start()
    assert Activations(serving).not_serving("new", 30.0) == []
    late.join()


def test_nothing_is_waited_for_if_nothing_is_shared():
    assert not Activations(None).are_shared
    assert Activations(None).not_serving("new") == ()


def test_a_silent_broker_is_named():
    activations = Activations(ServingVersions(connect("redis://127.0.0.1:9")))
    assert activations.not_serving("new", 0.0) == (BROKER_SILENT,)

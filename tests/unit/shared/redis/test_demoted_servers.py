"""Connections leave a server that refuses writes."""

from collections.abc import Iterator

import pytest
import redis

from shared.domain.errors import BrokerUnavailable
from shared.redis.connections import ConnectionCache, RedisClient, broker_errors, connect
from shared.redis.pipelines import ScriptCall, run_scripts
from shared.redis.primaries import NotPrimary, is_refusal
from tests.conftest import short_folder
from tests.redis_cluster import RedisServer, running_server

WRITE = "return redis.call('SET', KEYS[1], 1)"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with short_folder() as folder, running_server(folder) as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> Iterator[RedisClient]:
    with connect(f"redis://127.0.0.1:{server.port}/0") as client:
        yield client
    server.client.replicaof("NO", "ONE")
    server.client.config_set("min-replicas-to-write", 0)


def test_a_write_to_a_replica_is_an_outage_and_ends_all_idle_connections(
    server: RedisServer, client: RedisClient
) -> None:
    cache = ConnectionCache(client)
    kept = cache.acquire()
    kept.connect()
    cache.release(kept, is_clean=True)
    client.ping()
    server.client.replicaof("127.0.0.1", 1)
    with pytest.raises(BrokerUnavailable), broker_errors():
        client.set("key", 1)
    again = cache.acquire()
    assert again is kept
    assert again._sock is None, "it connects anew"
    cache.release(again, is_clean=True)
    server.client.replicaof("NO", "ONE")
    assert client.set("key", 1)


def test_a_script_that_writes_to_a_replica_ends_its_connection(
    server: RedisServer, client: RedisClient
) -> None:
    connections = ConnectionCache(client)
    call = ScriptCall(client.register_script(WRITE), ["key"], [])
    assert run_scripts(connections, call) == [b"OK"]
    server.client.replicaof("127.0.0.1", 1)
    with pytest.raises(NotPrimary):
        run_scripts(connections, call, ("PING",))
    server.client.replicaof("NO", "ONE")
    assert run_scripts(connections, call, ("PING",)) == [b"OK", b"PONG"]


def test_no_connection_is_made_to_a_replica(server: RedisServer, client: RedisClient) -> None:
    server.client.replicaof("127.0.0.1", 1)
    with pytest.raises(NotPrimary):
        client.connection_pool.make_connection().connect()
    with pytest.raises(BrokerUnavailable), broker_errors():
        client.ping()
    server.client.replicaof("NO", "ONE")
    assert client.ping()


def test_a_primary_without_replicas_is_an_outage(server: RedisServer, client: RedisClient) -> None:
    server.client.config_set("min-replicas-to-write", 1)
    with pytest.raises(BrokerUnavailable), broker_errors():
        client.set("key", 1)
    server.client.config_set("min-replicas-to-write", 0)
    assert client.set("key", 1)


def test_refusals_are_recognised_in_the_answers_of_scripts() -> None:
    assert is_refusal(redis.ReadOnlyError("You can't write", status_code="READONLY"))
    assert is_refusal(redis.ResponseError("NOREPLICAS Not enough good replicas to write."))
    old = "Error running script (call to f_1): @user_script: -READONLY You can't write"
    assert is_refusal(redis.ResponseError(old))
    assert not is_refusal(redis.ResponseError("WRONGTYPE Operation"))

"""Owners on a real broker: who counts as dead, and what becomes of the messages that it held."""

import json
from collections.abc import Iterator

import pytest

from shared.domain.errors import BrokerUnavailable
from shared.redis import keys, owners
from shared.redis.connections import RedisClient, connect
from shared.redis.owners import SILENT_AFTER_S, Owner, OwnerRegistry
from tests.conftest import Servers


@pytest.fixture(autouse=True)
def judges_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first heartbeats of a process judge no others: not here."""
    monkeypatch.setattr(owners, "DISCONNECTED_AFTER_S", 0.0)


@pytest.fixture
def broker(servers: Servers) -> RedisClient:
    return servers.broker


@pytest.fixture
def me(broker: RedisClient) -> Iterator[OwnerRegistry]:
    registry = OwnerRegistry(broker, Owner("interactive.1@here"))
    registry.beat()
    yield registry
    registry.leave()


def message(number: int, queue: str = "interactive") -> str:
    return json.dumps(
        {"body": str(number), "properties": {"delivery_info": {"routing_key": queue}}}
    )


def other_owner(broker: RedisClient, node: str = "interactive.2@here") -> OwnerRegistry:
    registry = OwnerRegistry(broker, Owner(node))
    registry.beat()
    return registry


def ended(_: int) -> bool:
    """No process of this host has the number."""
    return False


def silence(broker: RedisClient, owner: OwnerRegistry, seconds: float) -> None:
    """Let the last heartbeat of an owner be older by so many seconds."""
    broker.zincrby(keys.OWNERS, -seconds, owner.owner.name)


def take(broker: RedisClient, owner: OwnerRegistry, *numbers: int) -> None:
    """Let an owner take messages from its queue, as `worker.delivery` does."""
    for number in numbers:
        broker.lpush(keys.popped(owner.owner.name), message(number))


def test_the_message_of_a_killed_process_is_put_back_within_two_seconds(
    broker: RedisClient, me: OwnerRegistry
) -> None:
    dead = other_owner(broker)
    take(broker, dead, 1, 2)
    broker.lpush("interactive", message(3))
    dead._unsubscribe()  # as the system closes the connections of a killed process
    assert me.beat() == (True, {}), "its last heartbeat is recent: the connection may have broken"
    silence(broker, dead, 1.6)
    assert me.beat() == (True, {dead.owner.name: 1})
    waiting = [json.loads(each)["body"] for each in broker.lrange("interactive", 0, -1)]
    assert waiting == ["3", "2"], "the last one is next; the one before it was finished"
    assert not broker.exists(keys.popped(dead.owner.name))
    assert me.beat() == (True, {}), "once"


def test_a_suspended_process_keeps_its_connection_and_is_found_by_its_silence(
    broker: RedisClient, me: OwnerRegistry
) -> None:
    suspended = other_owner(broker)
    take(broker, suspended, 1)
    silence(broker, suspended, SILENT_AFTER_S - 1)
    assert me.beat()[1] == {}
    silence(broker, suspended, 2)
    assert me.beat()[1] == {suspended.owner.name: 1}
    assert suspended.beat()[0] is False, "it learns that it counted as dead"
    assert suspended.beat()[0] is True


def test_a_process_whose_connections_were_closed_subscribes_again(
    broker: RedisClient, me: OwnerRegistry
) -> None:
    alive = other_owner(broker)
    take(broker, alive, 1)
    for client in broker.client_list(_type="pubsub"):
        broker.client_kill_filter(_id=client["id"])
    alive.beat()
    silence(broker, alive, 3)
    assert me.beat()[1] == {}
    assert broker.llen(keys.popped(alive.owner.name)) == 1


def test_finished_messages_are_removed_from_the_list_of_their_owner(
    broker: RedisClient, me: OwnerRegistry
) -> None:
    take(broker, me, 1, 2, 3)
    me.beat(2)
    (kept,) = broker.lrange(keys.popped(me.owner.name), 0, -1)
    assert json.loads(kept)["body"] == "3"


def test_unacknowledged_messages_of_a_dead_consumer_go_to_their_queues(
    broker: RedisClient, me: OwnerRegistry
) -> None:
    """In the form in which kombu keeps them, which is not changed on the way."""
    dead = other_owner(broker, "bulk@here")
    texts = {queue: message(number, queue) for number, queue in enumerate(("bulk", "control"))}
    for queue, text in texts.items():
        value = f'[{text}, "", "{queue}"]'
        broker.hset(keys.unacked(dead.owner.name), queue, value)
    silence(broker, dead, SILENT_AFTER_S + 1)
    assert me.beat()[1] == {dead.owner.name: 2}
    for queue, text in texts.items():
        assert broker.lrange(queue, 0, -1) == [text.encode()]
    assert not broker.exists(keys.unacked(dead.owner.name))


def test_a_new_process_of_a_node_restores_what_its_predecessor_held(
    broker: RedisClient, me: OwnerRegistry
) -> None:
    predecessor = other_owner(broker, "interactive.1@here")
    predecessor._unsubscribe()  # as the system closes the connections of a killed process
    stranger, pool = other_owner(broker), other_owner(broker, "interactive.1@here.pool")
    for each in (predecessor, stranger, pool):
        take(broker, each, 1)
    assert me.remove_predecessors(ended) == 1
    assert broker.llen("interactive") == 1
    assert broker.zscore(keys.OWNERS, pool.owner.name), "a process of a pool may still be alive"


def test_a_process_that_lives_keeps_its_messages_whatever_its_name(
    broker: RedisClient, me: OwnerRegistry
) -> None:
    same_name = other_owner(broker, "interactive.1@here")
    take(broker, same_name, 1)
    assert me.remove_predecessors(ended) == 0
    assert broker.zscore(keys.OWNERS, same_name.owner.name)


def test_another_host_with_the_same_name_is_no_predecessor(broker: RedisClient) -> None:
    here, there = (OwnerRegistry(broker, Owner("bulk@same", host)) for host in "ab")
    for each in (here, there):
        each.beat()
        each._unsubscribe()
        take(broker, each, 1)
    assert OwnerRegistry(broker, Owner("bulk@same", "a")).remove_predecessors(ended) == 1
    assert broker.zrange(keys.OWNERS, 0, -1) == [there.owner.name.encode()]


def test_a_process_that_runs_is_no_predecessor_when_its_connection_breaks(
    broker: RedisClient, me: OwnerRegistry
) -> None:
    """As all connections do with the broker: its next heartbeat subscribes again."""
    same_name = other_owner(broker, "interactive.1@here")  # of this process, which runs
    same_name._unsubscribe()
    take(broker, same_name, 1)
    assert me.remove_predecessors() == 0
    assert not broker.llen("interactive")


def test_after_an_outage_of_the_broker_nobody_is_judged_for_a_while(broker: RedisClient) -> None:
    me = other_owner(broker)
    other = other_owner(broker, "interactive.3@here")
    client, me._client = me._client, connect("unix:///nowhere.sock")
    beat, me._beat = me._beat, me._client.register_script("return 1")
    with pytest.raises(BrokerUnavailable):
        me.beat()
    me._client, me._beat = client, beat
    silence(broker, other, 60)
    assert me.beat()[1] == {}
    me._restores_from = 0.0
    assert me.beat()[1] == {other.owner.name: 0}


def test_after_a_change_of_the_primary_nobody_is_judged_for_a_while(
    broker: RedisClient, me: OwnerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new primary may lack the heartbeats that the former one still took."""
    other = other_owner(broker)
    take(broker, other, 1)
    silence(broker, other, SILENT_AFTER_S + 1)
    monkeypatch.setattr(owners, "DISCONNECTED_AFTER_S", 60.0)
    broker.client_kill_filter(_type="pubsub")
    assert me.beat() == (True, {})
    monkeypatch.undo()
    me._restores_from = 0.0
    assert me.beat() == (True, {other.owner.name: 1})


def test_a_long_outage_takes_no_places_of_the_pool() -> None:
    client = connect("redis://127.0.0.1:1/0", max_connections=3)
    registry = OwnerRegistry(client, Owner("interactive.1@here"))
    for _ in range(5):
        with pytest.raises(BrokerUnavailable, match="refused"):
            registry.beat()


def test_an_owner_that_leaves_holds_nothing(broker: RedisClient, me: OwnerRegistry) -> None:
    leaving = other_owner(broker)
    take(broker, leaving, 1)
    leaving.leave()
    assert broker.llen("interactive") == 1
    assert broker.zrange(keys.OWNERS, 0, -1) == [me.owner.name.encode()]

"""Pipelined commands: unread replies never reach the commands that follow."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from shared.redis.connections import (
    MAX_IDLE_CONNECTIONS,
    ConnectionCache,
    PipelinedCommands,
    connect,
)


@pytest.fixture
def connections(servers):
    """One connection, so that whoever comes next gets the same."""
    return ConnectionCache(connect(servers.settings.redis_url, max_connections=1))


def say(connections, *words):
    """The answer to one command."""
    with PipelinedCommands(connections, words) as sent:
        return sent.responses()[0]


def test_replies_arrive_in_the_order_of_the_commands(connections):
    with PipelinedCommands(connections, ("SET", "a", 1), ("INCR", "a"), ("GET", "a")) as sent:
        assert sent.responses() == [b"OK", 2, b"2"]
    assert say(connections, "GET", "a") == b"2"


def test_unread_replies_are_not_taken_for_the_next_reply(connections):
    with (
        pytest.raises(ZeroDivisionError),
        PipelinedCommands(connections, ("SET", "a", 1), ("GET", "a")),
    ):
        raise ZeroDivisionError
    assert say(connections, "PING") == b"PONG"
    assert say(connections, "GET", "a") == b"1"


def test_a_refused_command_is_raised_and_leaves_a_clean_connection(connections):
    with (
        pytest.raises(redis.ResponseError),
        PipelinedCommands(connections, ("INCR", "a", "b"), ("SET", "a", 5)) as sent,
    ):
        sent.responses()
    assert say(connections, "PING") == b"PONG"


def test_a_lost_connection_raises_and_is_not_reused():
    client = connect("unix:///nobody-is-here.sock", max_connections=1)
    connections = ConnectionCache(client)
    for _ in range(3):
        with pytest.raises(redis.ConnectionError), PipelinedCommands(connections, ("PING",)):
            pass


def test_a_connection_closed_by_the_server_is_replaced(servers, connections):
    assert say(connections, "PING") == b"PONG"
    others = connect(servers.settings.redis_url)
    for _ in range(3):
        others.client_kill_filter(skipme=True)
        assert say(connections, "LPUSH", "list", "once") == 1
        assert say(connections, "LPOP", "list") == b"once"


def test_a_late_reply_is_not_read_by_the_next_command(servers):
    client = connect(servers.settings.redis_url, reply_timeout_s=0.1, max_connections=1)
    connections = ConnectionCache(client)
    with pytest.raises(redis.TimeoutError):
        say(connections, "BLPOP", "nothing", "0.3")
    time.sleep(0.4)
    assert say(connections, "PING") == b"PONG"


def test_a_forked_child_makes_connections_of_its_own(servers):
    connections = ConnectionCache(connect(servers.settings.redis_url))
    parents = say(connections, "CLIENT", "ID")
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.write(write_end, str(say(connections, "CLIENT", "ID")).encode())
        os._exit(0)
    os.close(write_end)
    childs = int(os.read(read_end, 100))
    os.close(read_end)
    os.wait()
    assert childs != parents
    assert say(connections, "CLIENT", "ID") == parents


def test_idle_connections_beyond_the_maximum_return_to_the_pool(servers):
    """Fifty at once through one user of the client; then as many through another one."""
    client = connect(servers.settings.redis_url, max_connections=50)
    for _ in range(2):
        connections = ConnectionCache(client)
        lent = [connections.acquire() for _ in range(50)]
        for nth, connection in enumerate(lent):
            connections.release(connection, is_clean=nth % 2 == 0)
        assert say(connections, "PING") == b"PONG"
        del connections
        spare = 50 - MAX_IDLE_CONNECTIONS
        others = [client.connection_pool.get_connection() for _ in range(spare)]
        for connection in others:
            connection.send_command("PING")
            assert connection.read_response() == b"PONG"
            client.connection_pool.release(connection)
        client.connection_pool.reset()


def test_threads_have_connections_of_their_own(servers):
    connections = ConnectionCache(connect(servers.settings.redis_url))
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda n: say(connections, "ECHO", str(n)), range(400)))
    assert said == [str(n).encode() for n in range(400)]

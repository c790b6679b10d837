"""Pipelined commands: unread replies never reach the commands that follow."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from shared.queue.names import QueueName
from shared.redis.connections import MAX_IDLE_CONNECTIONS, ConnectionCache, connect
from shared.redis.pipelines import PipelinedCommands, ScriptCall, pack, run_scripts


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


@pytest.mark.parametrize(
    "words",
    [
        ("GET", "clé", b"\x00\xff\r\n", ""),
        ("SET", "a", 0, -7, 1.5, 1e300, 0.1, QueueName.BULK),
        ("EVALSHA", "f" * 40, 1, "key", *map(str, range(100)), b"x" * 100_000),
    ],
)
def test_commands_are_packed_as_by_the_client_library(words):
    theirs = redis.Connection().pack_commands([words, ("PING",)])
    assert pack([words, ("PING",)]) == b"".join(theirs)


@pytest.mark.parametrize("word", [None, True, [1], {"a": 1}])
def test_arguments_that_redis_does_not_know_are_not_sent(connections, word):
    with pytest.raises(TypeError), PipelinedCommands(connections, ("SET", "a", word)):
        pass
    assert say(connections, "GET", "a") is None


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


class TestForgottenScripts:
    """A broker that restarts, or is told to, forgets scripts; nothing may be executed twice."""

    @pytest.fixture
    def count(self, servers):
        """A call that counts itself and returns what another counter had then."""
        source = "redis.call('INCR', KEYS[1]); return redis.call('GET', KEYS[2])"
        return ScriptCall(servers.broker.register_script(source), ("scripts", "commands"), ())

    @pytest.fixture
    def other(self, servers):
        source = "return redis.call('INCR', KEYS[1])"
        return ScriptCall(servers.broker.register_script(source), ("others",), ())

    def test_commands_around_a_forgotten_script_are_executed_once(
        self, servers, connections, count
    ):
        increment = ("INCR", "commands")
        for turn in range(3):
            first, _, last = run_scripts(connections, increment, count, increment)
            assert (first, last) == (2 * turn + 1, 2 * turn + 2)
            assert servers.broker.get("scripts") == str(turn + 1).encode()
            servers.broker.script_flush()

    def test_a_script_that_another_process_has_loaded_runs_once(
        self, servers, connections, count, other
    ):
        run_scripts(connections, count, other)
        servers.broker.script_flush()
        servers.broker.script_load(other.script.script)
        assert run_scripts(connections, count, other)[1] == 2
        assert servers.broker.get("scripts") == b"2"

    def test_after_a_restart_a_script_runs_before_what_follows_it(
        self, servers, connections, count
    ):
        increment = ("INCR", "commands")
        for turn in range(2):
            seen, after = run_scripts(connections, count, increment)
            assert (int(seen or 0), after) == (turn, turn + 1)
            servers.broker.script_flush()
            lost = connections.acquire()  # with the server its connections end
            lost.disconnect()
            connections.release(lost, is_clean=True)
        assert servers.broker.get("scripts") == b"2"

    def test_the_source_is_sent_once_by_a_connection(self, servers, connections, count):
        servers.broker.config_resetstat()
        for _ in range(3):
            run_scripts(connections, count)
        calls = servers.broker.info("commandstats")
        assert calls["cmdstat_eval"]["calls"] == 1
        assert calls["cmdstat_evalsha"]["calls"] == 2

    def test_a_script_that_fails_is_the_outcome_of_its_own_call(self, servers, connections, count):
        servers.broker.lpush("commands", "no number")
        failed, pushed = run_scripts(connections, count, ("LPUSH", "commands", "x"))
        assert isinstance(failed, redis.ResponseError)
        assert pushed == 2
        assert run_scripts(connections, ("GET", "scripts")) == [b"1"]

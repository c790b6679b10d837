"""Commands whose answers are read later never disturb those that come after them."""

import pytest
import redis

from shared.adapters.redis_ahead import Ahead
from shared.adapters.redis_client import connect


@pytest.fixture
def client(servers):
    """One connection, so that whoever comes next gets the same."""
    return connect(servers.settings.redis_url, max_connections=1)


def test_answers_come_in_the_order_of_the_commands(client):
    with Ahead(client, ("SET", "a", 1), ("INCR", "a"), ("GET", "a")) as sent:
        assert sent.answers() == [b"OK", 2, b"2"]
    assert client.get("a") == b"2"


def test_what_was_not_read_is_not_taken_for_the_next_answer(client):
    with pytest.raises(ZeroDivisionError), Ahead(client, ("SET", "a", 1), ("GET", "a")):
        raise ZeroDivisionError
    assert client.ping() is True
    assert client.get("a") == b"1"


def test_a_refused_command_is_raised_and_leaves_a_clean_connection(client):
    with (
        pytest.raises(redis.ResponseError),
        Ahead(client, ("INCR", "a", "b"), ("SET", "a", 5)) as sent,
    ):
        sent.answers()
    assert client.ping() is True


def test_a_server_that_is_gone_is_raised_and_nothing_is_kept():
    client = connect("unix:///nobody-is-here.sock", max_connections=1)
    for _ in range(3):
        with pytest.raises(redis.ConnectionError), Ahead(client, ("PING",)):
            pass

"""Tests of the publisher of callers' weights."""

import pytest
from redis import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from shared.redis.fair_queues.weights import WeightPublisher


class Client:
    """Its pipeline cannot reach the broker while `is_down`."""

    def __init__(self):
        self.is_down = True
        self.writes = 0

    def pipeline(self, *, transaction):
        assert transaction
        return self

    def delete(self, key):
        pass

    def execute(self):
        if self.is_down:
            raise RedisConnectionError("down")
        self.writes += 1


@pytest.fixture
def client():
    return Client()


def test_an_outage_of_the_broker_is_logged_once(client):
    publisher = WeightPublisher(client)
    with capture_logs() as logs:
        for _ in range(3):
            publisher.publish({})
    assert [each["event"] for each in logs] == ["weights_not_written"]
    assert client.writes == 0


def test_weights_are_written_after_an_outage_and_the_next_one_is_logged(client):
    now = [0.0]
    publisher = WeightPublisher(client, lambda: now[0])
    with capture_logs() as logs:
        publisher.publish({})
        client.is_down = False
        publisher.publish({})
        assert client.writes == 1
        client.is_down, now[0] = True, 1e6
        publisher.publish({})
    assert [each["event"] for each in logs] == ["weights_not_written"] * 2

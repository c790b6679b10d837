"""The receiver of the soak: what it accepts, refuses and counts."""

import random

import orjson

from benchmarks.scenarios.flaky_receiver import MOST_FAILURES, FlakyReceiver
from shared.webhooks.signing import new_secret, signature_headers

SECRET = new_secret()


def send(receiver: FlakyReceiver, webhook_id: str, work_id: str, secret: str = SECRET) -> int:
    """The status of the answer to one attempt."""
    body = orjson.dumps({"data": {"id": work_id}})
    return receiver.status(dict(signature_headers(webhook_id, 1, body, [secret])), body)


def test_every_webhook_is_accepted_after_some_failures() -> None:
    random.seed(7)
    receiver = FlakyReceiver(SECRET)
    for number in range(100):
        attempts = 1
        while send(receiver, f"w{number}", f"job{number}") != 204:
            attempts += 1
        assert attempts <= MOST_FAILURES + 1
    assert 50 <= receiver.refused <= 150
    assert set(receiver.accepted.values()) == {1}
    assert {len(each) for each in receiver.names.values()} == {1}


def test_a_second_id_and_a_repetition_are_told_apart() -> None:
    receiver = FlakyReceiver(SECRET)
    for webhook_id in ("w1", "w1", "w2"):
        while send(receiver, webhook_id, "job") != 204:
            pass
    assert receiver.accepted["job"] == 3
    assert receiver.names["job"] == {"w1", "w2"}


def test_a_forged_webhook_is_counted_and_refused_for_good() -> None:
    receiver = FlakyReceiver(SECRET)
    assert send(receiver, "w1", "job", new_secret()) == 410
    assert (receiver.forged, receiver.accepted) == (1, {})

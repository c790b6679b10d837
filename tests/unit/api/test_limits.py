"""ConcurrencyLimiter of slow clients."""

import contextlib
import io

import pytest
from werkzeug.wsgi import ClosingIterator

from api.limits import BodyConcurrencyLimit, ConcurrencyLimiter, limit_reading
from shared.domain.errors import TooManyTransfers


def test_a_body_that_was_read_to_its_announced_end_holds_no_slot():
    slots = ConcurrencyLimiter(1)

    def application(environ, start_response):
        environ["wsgi.input"].read(3)
        slots.acquire()  # free again, although the answer is still under way
        slots.release()
        start_response("200 OK", [])
        return [b""]

    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(b"abc"),
        "CONTENT_LENGTH": "3",
    }
    assert BodyConcurrencyLimit(application, slots)(environ, lambda *_: None) == [b""]
    with contextlib.suppress(TooManyTransfers):
        slots.acquire()


def test_a_caller_leaves_a_quarter_of_the_slots_to_others():
    slots = ConcurrencyLimiter(8)
    for _ in range(6):
        slots.acquire("greedy", timeout_s=0)
    with pytest.raises(TooManyTransfers):
        slots.acquire("greedy", timeout_s=0)
    for _ in range(2):
        slots.acquire("modest", timeout_s=0)
    with pytest.raises(TooManyTransfers):
        slots.acquire("third", timeout_s=0)
    slots.release("greedy")
    slots.acquire("third", timeout_s=0)
    with pytest.raises(TooManyTransfers):
        slots.acquire("modest", timeout_s=0)


def test_without_keys_all_slots_may_be_taken():
    slots = ConcurrencyLimiter(4)
    for _ in range(4):
        slots.acquire(timeout_s=0)
    with pytest.raises(TooManyTransfers):
        slots.acquire(timeout_s=0)


def test_a_single_slot_is_for_everybody():
    slots = ConcurrencyLimiter(1)
    slots.acquire("shop", timeout_s=0)
    slots.release("shop")
    slots.acquire("garage", timeout_s=0)


def test_a_request_that_names_its_file_holds_a_slot_until_it_is_answered():
    slots = ConcurrencyLimiter(1)

    def application(environ, start_response):
        limit_reading(environ)
        with pytest.raises(TooManyTransfers):
            slots.acquire(timeout_s=0)
        start_response("202 ACCEPTED", [])
        return [b""]

    environ = {"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(), "CONTENT_LENGTH": ""}
    answer = BodyConcurrencyLimit(application, slots)(environ, lambda *_: None)
    assert isinstance(answer, ClosingIterator)
    answer.close()
    slots.acquire(timeout_s=0)

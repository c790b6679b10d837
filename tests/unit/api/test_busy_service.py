"""Single cars are refused while too much is in progress, fairly between callers."""

import math

import pytest

from api.transport.admission import (
    EXTRA_EFFORT,
    MIN_EFFORT,
    AdmissionControl,
    effort_of_query,
)
from shared.domain.valuation import Extra

DELAY_S = 0.05
ONE_CALLER = math.ceil(MIN_EFFORT * 8 / 9)
"""What one caller may have of the minimum."""


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def admission(clock):
    return AdmissionControl(DELAY_S, lambda: False, clock)


def serve(admission, clock, *, rate, seconds, caller="me"):
    """Keep the service busy at a rate."""
    for _ in range(int(rate * seconds)):
        request = admission.admit(caller, 1)
        clock.now += 1 / rate
        admission.leave(request)


def entered(admission, caller, wanted, effort=1):
    requests = [admission.admit(caller, effort) for _ in range(wanted)]
    return [request for request in requests if request is not None]


def test_requests_that_come_at_once_are_served_up_to_the_minimum(admission):
    assert len(entered(admission, "me", 1000)) == ONE_CALLER


def test_a_faster_service_takes_more_at_once(admission, clock):
    serve(admission, clock, rate=20_000, seconds=2.0)
    assert admission.max_effort == pytest.approx(20_000 * DELAY_S, rel=0.05)


def test_the_limit_follows_a_service_that_becomes_slower(admission, clock):
    serve(admission, clock, rate=20_000, seconds=2.0)
    serve(admission, clock, rate=8_000, seconds=2.0)
    assert admission.max_effort == pytest.approx(8_000 * DELAY_S, rel=0.1)


def test_idle_time_does_not_lower_the_limit(admission, clock):
    serve(admission, clock, rate=20_000, seconds=2.0)
    clock.now += 3600
    serve(admission, clock, rate=20_000, seconds=0.1)
    assert admission.max_effort == pytest.approx(20_000 * DELAY_S, rel=0.05)


def test_what_has_ended_makes_room(admission):
    first, *_ = entered(admission, "me", 1000)
    assert admission.admit("me", 1) is None
    admission.leave(first)
    assert admission.admit("me", 1)


def test_a_caller_who_floods_leaves_room_for_others(admission):
    entered(admission, "flood", 10_000)
    assert len(entered(admission, "other", 10)) == 10
    assert admission.admit("flood", 1) is None


def test_extras_count_as_more_than_one_car(admission):
    effort = effort_of_query(b"include=contributions,depreciation,comparables&coverage=0.9")
    assert effort > 3 * effort_of_query(b"coverage=0.9")
    assert len(entered(admission, "me", 1000, effort)) == ONE_CALLER // effort + 1


def test_an_expensive_request_is_served_if_nothing_else_is(admission):
    expensive = admission.admit("me", 10 * MIN_EFFORT)
    assert admission.admit("me", 1) is None
    admission.leave(expensive)
    assert admission.admit("me", 1)


def test_nothing_is_refused_while_workers_are_stopped(clock):
    """Their requests become jobs."""
    admission = AdmissionControl(DELAY_S, lambda: True, clock)
    assert len(entered(admission, "me", 5000)) == 5000


def test_a_request_that_pauses_makes_room_and_needs_room_to_go_on(admission):
    first, second, *_ = entered(admission, "me", 1000)
    admission.leave(first, is_done=False)
    admission.leave(first)
    taken = admission.admit("me", 1)
    assert taken
    assert admission.admit("me", 1) is None
    assert not admission.resume(first)
    admission.leave(second)
    assert admission.resume(first)
    assert admission.resume(first)
    assert admission.admit("me", 1) is None


@pytest.mark.parametrize(
    ("query", "extras"),
    [
        (b"", 0),
        (b"wait=1", 0),
        (b"include=contributions", 1),
        (b"include=contributions%2Ccomparables", 2),
        (b"include=contributions&include=comparables", 2),
        (b"%69nclude=contributions,comparables", 2),
        (b"wait=1,2", 0),
        (b"include=contributions," + b"," * 8000, len(Extra)),
    ],
)
def test_a_query_counts_for_the_extras_that_there_are(query, extras):
    assert effort_of_query(query) == 1 + EXTRA_EFFORT * extras

"""Requests that wait for a micro-batch: callers are served in turn, and none fills the space."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from api.valuations.micro_batches import EstimateFuture
from api.valuations.waiting import WaitingRequests
from shared.domain.ids import ValuationId, new_id

MANY = 10_000


def future(caller: str, effort: int = 1, size: int = 10) -> EstimateFuture:
    return EstimateFuture(
        ValuationId(new_id()), b"x" * size, 0.0, lambda _: None, caller=caller, effort=effort
    )


def take(
    waiting: WaitingRequests, count: int, *, size: int = MANY, effort: int = MANY
) -> list[EstimateFuture]:
    return waiting.take(max_requests=count, max_bytes=size, max_effort=effort)


def test_a_caller_who_comes_later_shares_the_next_micro_batch() -> None:
    waiting = WaitingRequests(lambda: MANY)
    waiting.add([future("flood") for _ in range(500)])
    take(waiting, 64)
    late = future("late")
    waiting.add([late])
    assert late in take(waiting, 2)


def test_requests_that_nobody_waits_for_are_not_taken() -> None:
    waiting = WaitingRequests(lambda: MANY)
    patient, left, alone = future("patient"), future("patient"), future("alone")
    waiting.add([left, patient, alone])
    left.abandon()
    alone.abandon()
    assert take(waiting, 10) == [patient]
    assert (len(waiting), take(waiting, 10)) == (0, [])


def test_the_requests_of_a_caller_keep_their_order() -> None:
    waiting = WaitingRequests(lambda: MANY)
    mine = [future("me") for _ in range(5)]
    waiting.add([each for own in mine for each in (own, future("other"))])
    assert [each for each in take(waiting, 10) if each.caller == "me"] == mine


def test_effort_counts_and_not_the_number_of_requests() -> None:
    waiting = WaitingRequests(lambda: MANY)
    waiting.add([future("long", effort=90) for _ in range(50)])
    waiting.add([future("short") for _ in range(500)])
    taken = [each.caller for _ in range(10) for each in take(waiting, 20)]
    assert taken.count("long") <= 4


def test_a_micro_batch_is_limited_by_number_size_and_effort_but_never_empty() -> None:
    waiting = WaitingRequests(lambda: MANY)
    waiting.add([future("me", effort=90, size=100) for _ in range(10)])
    assert len(take(waiting, 3)) == 3
    assert len(take(waiting, 10, size=250)) == 2
    assert len(take(waiting, 10, effort=200)) == 2
    assert len(take(waiting, 10, size=1, effort=1)) == 1
    assert len(waiting) == 2


def test_a_caller_who_floods_leaves_space_to_others() -> None:
    waiting = WaitingRequests(lambda: 90)
    refused = [each for _ in range(100) for each in waiting.add([future("flood")])]
    assert len(waiting) == 80
    assert len(refused) == 20
    assert waiting.add([future("other")]) == []
    assert waiting.add([future("flood"), future("third")])[0].caller == "flood"


def test_those_who_come_together_are_refused_together() -> None:
    waiting = WaitingRequests(lambda: 2)
    together = [future("me") for _ in range(3)]
    assert waiting.add(together) == together
    assert len(waiting) == 0


def test_what_is_cleared_is_returned() -> None:
    waiting = WaitingRequests(lambda: MANY)
    mine = [future("a"), future("b")]
    waiting.add(mine)
    assert waiting.clear() == mine
    assert take(waiting, 5) == []
    waiting.add(mine)
    assert Counter(take(waiting, 5)) == Counter(mine)


@given(
    calls=st.lists(
        st.one_of(
            st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 91)), max_size=9),
            st.integers(1, 12),
        ),
        max_size=40,
    )
)
def test_every_request_is_taken_once(calls: list[list[tuple[str, int]] | int]) -> None:
    waiting = WaitingRequests(lambda: 40)
    added: list[EstimateFuture] = []
    taken: list[EstimateFuture] = []
    for call in calls:
        if isinstance(call, int):
            taken += take(waiting, call, effort=200)
            continue
        new = [future(caller, effort) for caller, effort in call]
        refused = waiting.add(new)
        added += [each for each in new if each not in refused]
    while left := take(waiting, 7):
        taken += left
    assert Counter(taken) == Counter(added)
    assert len(waiting) == 0
    for caller in "abc":
        own = [each for each in taken if each.caller == caller]
        assert own == [each for each in added if each.caller == caller]


@given(
    efforts=st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 91)), min_size=2, max_size=80)
)
def test_callers_with_waiting_requests_differ_by_one_request_each(
    efforts: list[tuple[str, int]],
) -> None:
    waiting = WaitingRequests(lambda: MANY)
    waiting.add([future(caller, effort) for caller, effort in efforts])
    left = Counter(caller for caller, _ in efforts)
    served = Counter({"a": 0, "b": 0})
    while left["a"] and left["b"]:
        (each,) = take(waiting, 1)
        left[each.caller] -= 1
        served[each.caller] += each.effort
        assert abs(served["a"] - served["b"]) <= 2 * 91

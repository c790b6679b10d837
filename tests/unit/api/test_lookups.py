"""The thread that asks for all who wait: what it learns of an outage counts for all of them."""

import threading
import time

import pytest

from api.valuations.lookups import CacheLookup, LookupDispatcher
from api.valuations.micro_batches import EstimateFuture
from shared.domain.errors import BrokerUnavailable, QueueFull
from shared.domain.ids import CallerId, ModelVersionId, ValuationId, new_id
from shared.domain.valuation import CachedEstimate, Estimate
from shared.fields.requests import load_car_request
from tests.conftest import wait_until

ESTIMATE = Estimate(
    price_mad=150_000.0, quantiles_mad=(1.0,) * 9, model_version="v1", model_known=True
)


class Cache:
    """Knows the cars with these kilometres."""

    def __init__(self, known):
        self._known = known

    def get_all(self, wanted):
        return [
            CachedEstimate(ESTIMATE, 60) if car.km_driven in self._known else None
            for _, car, _ in wanted
        ]


class Guard:
    """Lets everything pass, unless it is told otherwise."""

    error = None

    def check(self):
        if self.error:
            raise self.error


class Broker:
    """A dispatcher whose broker is silent until it is let go, and refuses then."""

    def __init__(self):
        self.sent = []
        self.is_asked = threading.Event()
        self.may_go_on = threading.Event()
        self.is_there = False

    def submit_all(self, futures):
        self.sent.append([pending.id for pending in futures])
        self.is_asked.set()
        if not self.is_there:
            assert self.may_go_on.wait(20)
            raise BrokerUnavailable(reason="silent")


class Bench:
    """The thread between a cache that knows one car, a guard and a broker."""

    def __init__(self):
        self.broker, self.guard, self.answered = Broker(), Guard(), []
        self.misses = LookupDispatcher(Cache({7}), self.guard, self.broker)

    def ask(self, car, km, wait_s=60.0):
        """A request that nobody has answered."""
        valuation_id = ValuationId(new_id())
        return CacheLookup(
            id=valuation_id,
            request=load_car_request(car | {"km_driven": km}),
            caller=CallerId("me"),
            version=ModelVersionId("v1"),
            deadline=time.time() + wait_s,
            future=EstimateFuture(
                valuation_id, b"", time.monotonic() + wait_s, self.answered.extend
            ),
        )


@pytest.fixture
def bench():
    return Bench()


def test_who_came_while_an_outage_was_noticed_need_not_wait_for_it_again(bench, car):
    first, meanwhile, cached = bench.ask(car, 1), bench.ask(car, 2), bench.ask(car, 7)
    bench.misses.submit([first])
    assert bench.broker.is_asked.wait(20)
    bench.misses.submit([meanwhile])
    bench.misses.submit([cached])
    bench.broker.may_go_on.set()
    wait_until(lambda: meanwhile.future.failure is not None, what="the failure of both")
    assert isinstance(first.future.failure, BrokerUnavailable)
    assert isinstance(meanwhile.future.failure, BrokerUnavailable)
    assert bench.broker.sent == [[first.id]], "the broker was asked once"
    assert cached.hit == CachedEstimate(ESTIMATE, 60)
    assert [each for each in bench.answered if each is cached.future] == [cached.future]
    assert cached.future.failure is None


def test_after_an_outage_it_is_asked_again(bench, car):
    bench.broker.may_go_on.set()
    first, second = bench.ask(car, 1), bench.ask(car, 2)
    bench.misses.submit([first])
    wait_until(lambda: first.future.failure is not None, what="the failure")
    bench.broker.is_there = True
    bench.misses.submit([second])
    wait_until(lambda: len(bench.broker.sent) == 2, what="the second question")
    assert second.future.failure is None


def test_a_full_queue_is_told_to_those_who_asked_and_nobody_else(bench, car):
    bench.guard.error = QueueFull(waiting=9)
    first = bench.ask(car, 1)
    bench.misses.submit([first])
    wait_until(lambda: first.future.failure is not None, what="the failure")
    assert isinstance(first.future.failure, QueueFull)
    assert bench.broker.sent == []
    bench.guard.error, bench.broker.is_there = None, True
    second = bench.ask(car, 2)
    bench.misses.submit([second])
    wait_until(lambda: bench.broker.sent == [[second.id]], what="the second question")


def test_whose_wait_is_over_before_he_was_asked_for_is_told(bench, car):
    bench.broker.is_there = True
    late = bench.ask(car, 1, wait_s=-1.0)
    bench.misses.submit([late])
    wait_until(lambda: bench.answered == [late.future], what="the word")
    assert late.hit is None


def test_the_thread_outlives_whatever_is_broken(bench, car):
    bench.guard.error = ZeroDivisionError()
    first = bench.ask(car, 1)
    bench.misses.submit([first])
    wait_until(lambda: first.future.failure is not None, what="the failure")
    bench.guard.error, bench.broker.is_there = None, True
    second = bench.ask(car, 2)
    bench.misses.submit([second])
    wait_until(lambda: len(bench.broker.sent) == 1, what="the next question")

"""The fair queue on a real broker: nothing lost, nothing sent twice, a bound on unfairness."""

import heapq
import itertools
from collections import Counter

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.domain.errors import BrokerUnavailable
from shared.domain.ids import CallerId
from shared.redis import keys
from shared.redis.connections import RedisClient, connect
from shared.redis.fair_queues.queues import FairQueue, WorkItem
from tests.conftest import Servers

QUEUE = "celery-queue"
PLACES = 3
CALLERS = ("a", "b", "c")
tokens = itertools.count()


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def item(
    name: str,
    caller: str = "a",
    group: str = "g",
    *,
    cost_s: float = 1.0,
    is_slow: bool = False,
    lease_s: float = 60.0,
) -> WorkItem:
    token = f"{name}#{next(tokens)}"
    return WorkItem(
        id=name,
        caller=CallerId(caller),
        group=group,
        cost_s=cost_s,
        is_slow=is_slow,
        lease_s=lease_s,
        queue=QUEUE,
        token=token,
        message=token.encode(),
    )


class Worker:
    """Takes messages as they lie in the Celery queue."""

    def __init__(self, broker: RedisClient) -> None:
        self._broker = broker

    def take(self) -> str | None:
        """The token of the next message."""
        message = self._broker.rpop(QUEUE)
        return message.decode() if message else None

    def take_all(self) -> list[str]:
        """The names of all items that were sent."""
        return list(iter(self.take, None))


def names(sent: list[str]) -> list[str]:
    return [token.partition("#")[0] for token in sent]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(servers: Servers, clock: Clock) -> FairQueue:
    made = FairQueue(servers.broker, clock, "test")
    made.announce("host", PLACES)
    return made


@pytest.fixture
def worker(servers: Servers) -> Worker:
    return Worker(servers.broker)


def test_items_beyond_the_places_wait_until_one_is_released(
    queue: FairQueue, worker: Worker
) -> None:
    for number in range(5):
        assert queue.enter(item(f"i{number}"))
    sent = worker.take_all()
    assert names(sent) == ["i0", "i1", "i2"]
    queue.release(sent[1], 1.0)
    assert names(worker.take_all()) == ["i3"]
    assert queue.load(CallerId("a")) == (1, 1)


def test_an_item_that_waits_is_not_entered_again(queue: FairQueue, worker: Worker) -> None:
    for name in ("i0", "i1", "i2", "i3"):
        queue.enter(item(name))
    assert not queue.enter(item("i3"))
    sent = worker.take_all()
    for token in sent:
        queue.release(token)
    assert names(worker.take_all()) == ["i3"]


def test_a_lost_item_is_sent_again_before_the_others_of_its_caller(
    queue: FairQueue, worker: Worker
) -> None:
    for number in range(6):
        queue.enter(item(f"i{number}"))
    lost, *_ = worker.take_all()
    assert queue.enter(item("i0"))
    (again,) = worker.take_all()
    assert names([again]) == ["i0"]
    queue.release(lost)
    assert worker.take_all() == [], "the message that was lost no longer holds a place"
    queue.release(again)
    assert names(worker.take_all()) == ["i3"]


def test_an_expired_lease_frees_the_place(queue: FairQueue, worker: Worker, clock: Clock) -> None:
    for number in range(5):
        queue.enter(item(f"i{number}"))
    worker.take_all()
    clock.now += 61
    queue.announce("host", PLACES)
    assert queue.dispatch() == 2
    assert names(worker.take_all()) == ["i3", "i4"]


def test_a_clock_that_is_set_back_keeps_no_place_occupied(
    queue: FairQueue, worker: Worker, clock: Clock
) -> None:
    for number in range(4):
        queue.enter(item(f"i{number}"))
    worker.take_all()
    clock.now -= 3 * 3600
    queue.announce("host", PLACES)
    assert queue.dispatch() == 1


def test_a_caller_who_comes_later_is_served_next(queue: FairQueue, worker: Worker) -> None:
    for number in range(50):
        queue.enter(item(f"i{number}"))
    sent = worker.take_all()
    queue.enter(item("late", "b"))
    queue.release(sent[0], 1.0)
    assert names(worker.take_all()) == ["late"]


def test_a_caller_who_was_away_has_saved_nothing_up(queue: FairQueue, worker: Worker) -> None:
    queue.enter(item("early", "b"))
    served = _serve(queue, worker, {"a": 40, "b": 0})
    assert served["b"] == 1
    for number in range(20):
        queue.enter(item(f"b-late{number}", "b"))
    order = []
    sent = worker.take_all()
    for _ in range(16):
        token = sent.pop(0)
        order.append(token[0])
        queue.release(token, 1.0)
        sent += worker.take_all()
    assert 6 <= order.count("a") <= 10, order


def _serve(queue: FairQueue, worker: Worker, load: dict[str, int]) -> Counter[str]:
    """Enter items and carry out half of them."""
    for caller, count in load.items():
        for number in range(count):
            queue.enter(item(f"{caller}{number}", caller))
    served: Counter[str] = Counter()
    sent = worker.take_all()
    for _ in range(sum(load.values()) // 2):
        token = sent.pop(0)
        served["b" if token.startswith("early") else token[0]] += 1
        queue.release(token, 1.0)
        sent += worker.take_all()
    for token in sent:  # the worker carries them out later
        worker._broker.lpush(QUEUE, token)
    return served


def test_the_batches_of_a_caller_take_turns(queue: FairQueue, worker: Worker) -> None:
    for number in range(10):
        queue.enter(item(f"big{number}", group="big"))
    queue.enter(item("small", group="small"))
    sent = worker.take_all()
    queue.release(sent[0], 1.0)
    queue.release(sent[1], 1.0)
    assert "small" in names(worker.take_all())


def test_a_place_is_always_left_for_items_that_are_not_slow(
    queue: FairQueue, worker: Worker
) -> None:
    for number in range(5):
        queue.enter(item(f"slow{number}", cost_s=6.0, is_slow=True))
    assert len(worker.take_all()) == PLACES - 1
    queue.enter(item("short", "b"))
    assert names(worker.take_all()) == ["short"]


def test_no_caller_holds_all_places_while_another_is_active(
    queue: FairQueue, worker: Worker, clock: Clock
) -> None:
    for number in range(9):
        queue.enter(item(f"i{number}"))
    sent = worker.take_all()
    queue.enter(item("split", "b"))
    queue.release(sent[0], 1.0)
    (split,) = worker.take_all()
    clock.now += 3
    queue.announce("host", PLACES)
    queue.release(split, 3.0)
    assert worker.take_all() == [], "the next step of the other caller is expected"
    queue.enter(item("chunk", "b"))
    assert names(worker.take_all()) == ["chunk"]
    clock.now += 3
    queue.announce("host", PLACES)
    assert queue.dispatch() == 0, "the step of the other caller still runs"
    queue.release(sent[1], 1.0)
    assert len(worker.take_all()) == 1


def test_the_true_duration_is_charged(queue: FairQueue, worker: Worker) -> None:
    queue.announce("host", 1)
    for number in range(40):
        queue.enter(item(f"a{number}", "a", cost_s=0.1))
        queue.enter(item(f"b{number}", "b", cost_s=0.1))
    served: Counter[str] = Counter()
    for _ in range(44):
        token = worker.take()
        assert token is not None
        served[token[0]] += 1
        queue.release(token, 1.0 if token[0] == "a" else 0.1)
    assert served["a"] <= 5


def test_a_heavier_caller_gets_more(queue: FairQueue, worker: Worker, servers: Servers) -> None:
    queue.announce("host", 1)
    servers.broker.hset(keys.CALLER_WEIGHTS, "a", 3)
    for number in range(60):
        queue.enter(item(f"a{number}", "a"))
        queue.enter(item(f"b{number}", "b"))
    served: Counter[str] = Counter()
    for _ in range(40):
        token = worker.take()
        assert token is not None
        served[token[0]] += 1
        queue.release(token, 1.0)
    assert 28 <= served["a"] <= 32


def test_the_workers_that_are_alive_decide_how_much_is_in_flight(
    queue: FairQueue, worker: Worker, clock: Clock
) -> None:
    queue.announce("second", 2)
    for number in range(20):
        queue.enter(item(f"i{number}"))
    assert len(worker.take_all()) == PLACES + 2
    queue.withdraw("second")
    clock.now += 1
    assert queue.dispatch() == 0
    clock.now += 61
    queue.announce("host", PLACES)
    assert queue.dispatch() == PLACES


def test_the_places_of_the_workers_that_are_alive_are_counted(
    queue: FairQueue, clock: Clock
) -> None:
    assert queue.places() == PLACES
    queue.announce("second", 7)
    assert queue.places() == PLACES + 7
    queue.withdraw("second")
    assert queue.places() == PLACES
    clock.now += 16
    assert queue.places() == 0


def test_all_that_was_in_flight_can_be_forgotten(queue: FairQueue, worker: Worker) -> None:
    for number in range(8):
        queue.enter(item(f"i{number}"))
    worker.take_all()
    queue.forget_in_flight()
    assert len(worker.take_all()) == PLACES


def test_work_ends_and_goes_on_while_the_broker_is_full(
    queue: FairQueue, worker: Worker, servers: Servers
) -> None:
    for number in range(5):
        queue.enter(item(f"i{number}"))
    sent = worker.take_all()
    try:
        servers.broker.config_set("maxmemory", 1)
        with pytest.raises(BrokerUnavailable):
            queue.enter(item("new", "b"))
        queue.release(sent[0], 1.0)
        assert names(worker.take_all()) == ["i3"]
    finally:
        servers.broker.config_set("maxmemory", 0)


def test_nothing_is_kept_of_callers_who_are_done(queue: FairQueue, servers: Servers) -> None:
    worker = Worker(servers.broker)
    for number in range(100):
        queue.enter(item(f"i{number}", f"caller-{number}"))
    while token := worker.take():
        queue.release(token, 1.0)
    queue.enter(item("last", "z"))
    left = {key.decode().rpartition(":")[2] for key in servers.broker.scan_iter("*fair*")}
    assert left <= {"workers", "clock", "idle", "recent", "flight", "running", "tokens"}
    assert servers.broker.zcard(f"{keys.fair_queue('test')}idle") <= PLACES + 1


def test_without_a_broker_every_call_says_so(clock: Clock) -> None:
    away = FairQueue(connect("unix:///nowhere.sock"), clock, "test")
    for call in (
        lambda: away.enter(item("i")),
        lambda: away.release("t"),
        away.dispatch,
        lambda: away.load(CallerId("a")),
        lambda: away.announce("w", 1),
    ):
        with pytest.raises(BrokerUnavailable):
            call()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    costs=st.lists(
        st.tuples(st.sampled_from("ab"), st.floats(0.01, 5.0)), min_size=30, max_size=60
    ),
    shares=st.sampled_from([(1, 0.5), (1, 1.0), (1, 4.0), (2, 1.0), (3, 1.0), (4, 1.0)]),
)
def test_two_backlogged_callers_differ_by_a_few_items_at_most(
    queue: FairQueue,
    servers: Servers,
    costs: list[tuple[str, float]],
    shares: tuple[int, float],
) -> None:
    """The bound of start-time fair queueing: one largest item of each.

    With several places it is twice that, because one of them is kept for the other caller. Places
    become free in the order in which their items end.
    """
    places, weight = shares
    servers.broker.flushall()
    worker = Worker(servers.broker)
    queue.announce("host", places)
    servers.broker.hset(keys.CALLER_WEIGHTS, "a", weight)
    for number in range(places):
        queue.enter(item(f"z{number}", "z"))
    cost_of = {}
    for number, (caller, cost_s) in enumerate(costs):
        entered = item(f"{caller}{number}", caller, cost_s=cost_s)
        cost_of[entered.token] = cost_s
        queue.enter(entered)
    backlog = Counter(caller for caller, _ in costs)
    charged = {"a": 0.0, "b": 0.0}
    bound = max(cost_of.values()) * (1 / weight + 1) * min(places, 2)
    running = [(1.0, token) for token in worker.take_all()]
    while backlog["a"] and backlog["b"]:
        now, ended = heapq.heappop(running)
        queue.release(ended)
        for token in worker.take_all():
            heapq.heappush(running, (now + cost_of.get(token, 1.0), token))
            if token in cost_of:
                backlog[token[0]] -= 1
                charged[token[0]] += cost_of[token]
        assert abs(charged["a"] / weight - charged["b"]) <= bound + 1e-9


class FairQueueMachine(RuleBasedStateMachine):
    """Any order of calls, crashes and lost messages: what was entered is sent, once at a time."""

    broker: RedisClient
    queue: FairQueue
    clock: Clock

    @initialize()
    def start(self) -> None:
        self.broker.flushall()
        self.worker = Worker(self.broker)
        self.places = PLACES
        self.queue.announce("host", PLACES)
        self.waiting: set[str] = set()
        self.in_flight: dict[str, tuple[str, float]] = {}
        """Names and ends of lease by token."""
        self.carried_out: set[str] = set()
        self.entered: set[str] = set()

    def _settle(self) -> None:
        """Take what was sent into the model."""
        for name in [n for n, (_, end) in self.in_flight.items() if end <= self.clock.now]:
            del self.in_flight[name]
        for token in self.worker.take_all():
            name = token.partition("#")[0]
            assert name in self.waiting, "sent without waiting: twice, or never entered"
            self.waiting.remove(name)
            assert name not in {each for each, _ in self.in_flight.values()}
            self.in_flight[token] = (name, self.clock.now + 60.0)
        assert len(self.in_flight) <= max(self.places, PLACES)

    @rule(
        number=st.integers(0, 30),
        caller=st.sampled_from(CALLERS),
        group=st.sampled_from("gh"),
        is_slow=st.booleans(),
        cost_s=st.floats(0, 10),
    )
    def enter(self, number: int, caller: str, group: str, is_slow: bool, cost_s: float) -> None:  # noqa: FBT001
        name = f"{caller}{number}"
        is_new = name not in self.waiting
        work = item(name, caller, group, is_slow=is_slow, cost_s=cost_s)
        assert self.queue.enter(work) is is_new
        for token in [t for t, (each, _) in self.in_flight.items() if each == name]:
            del self.in_flight[token]
        self.waiting.add(name)
        self.entered.add(name)
        self._settle()

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), took_s=st.none() | st.floats(0, 100))
    def carry_out(self, data: st.DataObject, took_s: float | None) -> None:
        token = data.draw(st.sampled_from(sorted(self.in_flight)))
        name, _ = self.in_flight.pop(token)
        self.carried_out.add(name)
        self.queue.release(token, took_s)
        self._settle()

    @rule()
    def release_unknown(self) -> None:
        self.queue.release("of-nobody", 5.0)
        self._settle()

    @rule(seconds=st.floats(0, 90))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.queue.announce("host", self.places)
        self.queue.dispatch()
        self._settle()

    @rule(places=st.integers(1, PLACES))
    def workers_change(self, places: int) -> None:
        self.places = places
        self.queue.announce("host", places)

    @rule()
    def all_workers_die(self) -> None:
        self.in_flight.clear()
        self.queue.forget_in_flight()
        self._settle()

    @rule()
    def scripts_are_lost(self) -> None:
        self.broker.script_flush()

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "waiting"):
            return
        for caller in CALLERS:
            own = sum(1 for name in self.waiting if name[0] == caller)
            assert self.queue.load(CallerId(caller)) == (len(self.waiting), own)

    def teardown(self) -> None:
        """Whatever happened, everything that waits is sent in the end."""
        if not hasattr(self, "waiting"):
            return
        for _ in range(400):
            if not self.waiting:
                return
            for token in list(self.in_flight):
                del self.in_flight[token]
                self.queue.release(token, 0.1)
                self._settle()
            self.clock.now += 3
            self.queue.announce("host", self.places)
            self.queue.dispatch()
            self._settle()
        raise AssertionError(f"never sent: {self.waiting}")


def test_in_any_order_of_calls_nothing_is_lost_and_nothing_is_twice_in_flight(
    servers: Servers, queue: FairQueue, clock: Clock
) -> None:
    FairQueueMachine.broker = servers.broker
    FairQueueMachine.queue, FairQueueMachine.clock = queue, clock
    run_state_machine_as_test(
        FairQueueMachine,
        settings=settings(max_examples=40, stateful_step_count=30, deadline=None),
    )


def test_the_server_says_when_it_cannot_run_the_scripts(servers: Servers) -> None:
    queue = FairQueue(servers.broker, Clock(), "test")
    servers.broker.set(f"{keys.fair_queue('test')}waiting", "no sorted set")
    with pytest.raises(redis.ResponseError):
        queue.dispatch()

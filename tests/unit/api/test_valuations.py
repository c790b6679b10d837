"""The bounded wait for one car."""

import asyncio
import contextlib
import os
import threading
import time

import pytest

from api.http.problems import error_response
from api.loops import event_loops
from api.loops.event_loops import BROKER_THREADS, EventLoops
from api.valuations.loop_state import MIN_WAIT_S
from api.valuations.micro_batches import EstimateFuture
from api.valuations.service import SHORT_WAIT_S, Valuations
from api.valuations.unanswered import UnansweredRequests
from shared.domain.errors import (
    AuditUnavailable,
    BrokerFull,
    BrokerUnavailable,
    JobStorageFull,
    ValuationFailed,
)
from shared.domain.ids import CallerId
from shared.domain.job import Job
from shared.domain.valuation import CachedEstimate, Estimate, Extra, Valuation
from shared.fields.requests import load_car_request
from shared.metrics import PREDICTIONS
from shared.redis.job_store.creation import Created

ME = CallerId("me")
ESTIMATE = Estimate(
    price_mad=150_000.0, quantiles_mad=(1.0,) * 9, model_version="v1", model_known=True
)
TOLERANCE_S = 0.4
"""What a loaded machine may take on top of a wait."""


class World:
    """Everything around the service: no hit, no reply, any number of jobs."""

    def __init__(self, patience=1):
        self.cached = {}
        self.reply = None
        self.deadline = 0.0
        self.created, self.recorded, self.wanted = [], [], []
        self.audit_error = self.broker_error = None
        self.commits, self.finished, self.futures = [], [], []
        self.refusals = {}
        self.loops = EventLoops()
        self.service = Valuations(
            active_model=self,
            cache=self,
            dispatcher=self,
            unanswered=UnansweredRequests(self, self, time.time),
            audit=self,
            clock=time.time,
            queue_guard=self,
            long_waits=threading.BoundedSemaphore(patience) if patience else threading.Semaphore(0),
            loops=self.loops,
        )

    def is_stalled(self):
        return False

    def version_id(self):
        return "v1"

    def get_local(self, *_):
        """No copy."""

    def get_all(self, wanted):
        self.wanted += wanted
        return [self.cached.get((car.km_driven, extras)) for _, car, extras in wanted]

    def check(self):
        """The queue is short."""

    def prepare(self, valuation_id, _request, _caller, deadline, on_done, trace=""):  # noqa: ARG002 - named by its callers
        self.deadline = deadline
        return EstimateFuture(valuation_id, b"", 0.0, on_done)

    def submit_all(self, futures):
        self.futures += futures
        for future in futures:
            future.group_id = "group"
            if self.reply is not None:
                future.set_result(self.reply)
                future.on_done([future])

    def submit(self, jobs):
        """Store and queue jobs."""
        self.commits.append(len(jobs))
        if self.broker_error is not None:
            raise self.broker_error
        self.created += jobs
        return [self.refusals.get(job.requests[0].car.km_driven, Created.STORED) for job in jobs]

    def finish(self, job_id, *_, error=None):
        self.finished.append((job_id, error))

    syncs_before_answer = False

    def write(self, records):
        if self.audit_error:
            raise self.audit_error
        self.recorded.append(len(records))


@contextlib.contextmanager
def loop_on_a_thread():
    """A loop that runs on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def failures():
    return PREDICTIONS.labels(status="error")._value.get()


@pytest.mark.parametrize(
    ("patience", "wait_s", "waited_s"),
    [(1, 1.4, 1.4), (0, 5.0, SHORT_WAIT_S), (0, 0.3, 0.3), (1, 0.0, 0.0)],
)
def test_a_caller_waits_exactly_until_the_deadline_that_the_worker_is_told(
    car, patience, wait_s, waited_s
):
    """Otherwise a worker would record an answer whose caller has become a job already."""
    world = World(patience)
    started = time.time()
    job = world.service.value_from_thread(load_car_request(car), ME, wait_s)
    ended = time.time()
    assert isinstance(job, Job)
    assert waited_s <= ended - started < waited_s + TOLERANCE_S
    assert started + waited_s <= world.deadline <= ended
    assert job.origin.deadline == world.deadline
    assert job.origin.group_id == "group"
    assert world.created == [job]
    assert world.service._long_waits.acquire(blocking=False) is bool(patience)


def test_a_request_that_holds_no_thread_may_wait_long(car):
    world = World(patience=0)
    started = time.time()
    asyncio.run(world.service.value(load_car_request(car), ME, SHORT_WAIT_S + 0.2))
    assert time.time() - started > SHORT_WAIT_S


def test_hits_of_one_tick_are_recorded_by_one_write_and_extras_are_part_of_the_question(car):
    world = World()
    extras = (Extra.DEPRECIATION,)
    world.cached = {(25000, ()): CachedEstimate(ESTIMATE, 60), (25000, extras): None}
    world.reply = ESTIMATE

    async def ask():
        plain = load_car_request(car)
        return await asyncio.gather(
            *(world.service.value(plain, ME, 1.0) for _ in range(3)),
            world.service.value(load_car_request(car, extras=extras), ME, 1.0),
        )

    *hits, valued = asyncio.run(ask())
    assert [hit.cached for hit in hits] == [True] * 3
    assert not valued.cached
    assert world.recorded == [3]
    assert [wanted[2] for wanted in world.wanted] == [(), (), (), extras]


def test_an_answer_that_cannot_be_recorded_is_not_given_and_counted(car):
    world = World()
    world.cached = {(25000, ()): CachedEstimate(ESTIMATE, 60)}
    world.audit_error = AuditUnavailable(reason="full")
    before = failures()
    with pytest.raises(AuditUnavailable):
        world.service.value_from_thread(load_car_request(car), ME, 1.0)
    assert failures() == before + 1


@pytest.mark.parametrize("error", [ValuationFailed(reason="x"), BrokerUnavailable(reason="x")])
def test_what_the_worker_reports_is_raised_and_counted_once(car, error):
    world = World()
    world.reply = error
    before = failures()
    with pytest.raises(type(error)):
        world.service.value_from_thread(load_car_request(car), ME, 1.0)
    assert failures() == before + 1


def test_a_loop_that_does_not_answer_is_a_503_and_its_request_becomes_no_job(car, monkeypatch):
    monkeypatch.setattr(event_loops, "RESULT_TIMEOUT_S", 0.2)
    world = World()
    before, may_continue = failures(), threading.Event()
    with loop_on_a_thread() as loop:
        world.loops.use(loop)
        loop.call_soon_threadsafe(may_continue.wait, 20)
        try:
            with pytest.raises(BrokerUnavailable) as raised:
                world.service.value_from_thread(load_car_request(car), ME, 0.1)
        finally:
            may_continue.set()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(MIN_WAIT_S + 0.3), loop).result()
    assert world.created == []  # although the loop runs again
    assert failures() == before + 1
    response = error_response(raised.value, "en", "/predict")
    assert response.status == 503
    assert "Retry-After" in dict(response.headers)


def test_calls_to_the_broker_run_on_threads_and_do_not_block_the_loop():
    world = World()
    together = threading.Barrier(BROKER_THREADS)

    def call():
        together.wait(20)
        return threading.current_thread().name

    async def ask():
        return await asyncio.gather(
            *(world.loops.run_in_thread(call) for _ in range(BROKER_THREADS))
        )

    names = asyncio.run(ask())
    assert len(set(names)) == BROKER_THREADS
    assert all(name.startswith("broker") for name in names)


def test_an_error_of_a_call_on_a_thread_reaches_its_caller():
    def fail():
        raise BrokerUnavailable(reason="x")

    with pytest.raises(BrokerUnavailable):
        asyncio.run(EventLoops().run_in_thread(fail))


def test_threads_and_loops_ask_one_service_at_the_same_time(car):
    world = World()
    world.reply = ESTIMATE
    request = load_car_request(car)
    answers = []

    def ask_by_thread():
        answers.extend(world.service.value_from_thread(request, ME, 5.0) for _ in range(50))

    def ask_by_loop():
        async def ask():
            return await asyncio.gather(*(world.service.value(request, ME, 5.0) for _ in range(50)))

        answers.extend(asyncio.run(ask()))

    threads = [threading.Thread(target=ask) for ask in (ask_by_thread, ask_by_loop) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 400
    assert all(isinstance(answer, Valuation) for answer in answers)


def test_a_request_whose_client_leaves_takes_nobody_with_it(car):
    world = World()
    request = load_car_request(car)

    async def ask():
        gone = asyncio.create_task(world.service.value(request, ME, 5.0))
        stays = asyncio.create_task(world.service.value(request, ME, 0.2))
        await asyncio.sleep(0.05)
        gone.cancel()
        return await asyncio.gather(gone, stays, return_exceptions=True)

    left, job = asyncio.run(ask())
    assert isinstance(left, asyncio.CancelledError)
    assert isinstance(job, Job)


def test_a_forked_child_begins_with_a_loop_of_its_own(car):
    world = World()
    world.reply = ESTIMATE
    request = load_car_request(car)
    world.service.value_from_thread(request, ME, 5.0)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            answer = world.service.value_from_thread(request, ME, 5.0)
            code = 0 if isinstance(answer, Valuation) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def unanswered(world, car, count, wait_s=0.2):
    """What becomes of requests that no worker answers, each with a mileage of its own."""
    requests = [load_car_request(car | {"km_driven": 1000 + n}) for n in range(count)]

    async def ask():
        asked = (world.service.value(each, ME, wait_s) for each in requests)
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(ask())


def test_requests_that_become_jobs_together_are_stored_and_queued_together(car):
    world = World()
    jobs = unanswered(world, car, 40)
    assert {each.id for each in jobs} == {each.id for each in world.created}
    assert sum(world.commits) == 40
    assert len(world.commits) <= 3


def test_a_job_that_cannot_be_kept_concerns_its_own_request_only(car):
    world = World()
    world.refusals = {1000: BrokerFull(), 1001: JobStorageFull()}
    full, own, *others = unanswered(world, car, 5)
    assert isinstance(full, BrokerFull)
    assert isinstance(own, JobStorageFull)
    assert all(isinstance(each, Job) for each in others)


def test_while_the_broker_is_down_no_request_is_kept(car):
    world = World()
    world.broker_error = BrokerUnavailable(reason="x")
    failed = unanswered(world, car, 5)
    assert all(type(each) is BrokerUnavailable for each in failed)


@pytest.mark.parametrize("reply", [ESTIMATE, ValuationFailed(reason="x")])
def test_replies_that_come_while_their_jobs_are_stored_end_them(car, reply, monkeypatch):
    world = World()
    submit = world.submit

    def reply_meanwhile(jobs):
        outcomes = submit(jobs)
        for future in world.futures:
            future.set_result(reply)
        return outcomes

    monkeypatch.setattr(world, "submit", reply_meanwhile)
    answers = unanswered(world, car, 3)
    assert {type(each) for each in answers} == {Valuation if reply is ESTIMATE else ValuationFailed}
    assert sorted(each for each, _ in world.finished) == sorted(job.id for job in world.created)

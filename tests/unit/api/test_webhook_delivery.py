"""The deliverer of webhooks with real receivers, a real Redis and a fake resolver."""

import time

import pytest
import structlog

from api.webhooks import deliverer as module
from api.webhooks.deliverer import retry_delay_s
from api.webhooks.sender import (
    RETRY_AFTER_MAX_S,
    AttemptOutcome,
    retry_after_s,
)
from scripts.ports import reserve_port
from shared.domain.job import JobState
from shared.redis import keys
from shared.redis.webhooks.store import Places
from shared.webhooks.addresses import AddressPolicy, parse_address
from shared.webhooks.secret_store import WebhookSecret
from shared.webhooks.signing import new_secret
from tests.conftest import wait_until
from tests.webhook_delivery import ME, OTHER, SHORT_S, TIMEOUT_S, Delivery, FakeResolver
from tests.webhook_receiver import running_receiver


@pytest.fixture(scope="module")
def receiver():
    with running_receiver() as running:
        yield running


@pytest.fixture(autouse=True)
def empty(receiver):
    receiver.received.clear()
    receiver.attempts.clear()


@pytest.fixture
def delivery(servers, car, tmp_path, monkeypatch):
    return Delivery(servers.broker, car, tmp_path, monkeypatch)


class TestOneWebhook:
    def test_it_is_signed_and_has_the_result_of_a_small_job(self, delivery, receiver):
        job = delivery.end(f"{receiver.url}/ok/path?shop=7")
        with delivery.running():
            (got,) = wait_until(lambda: receiver.received)
        assert got.path == "/ok/path?shop=7"
        assert got.is_signed_by(delivery.secret)
        assert not got.is_signed_by(new_secret())
        assert got.headers["host"] == receiver.url.removeprefix("http://")
        assert got.headers["content-type"] == "application/json"
        assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 30
        assert got.id.startswith(job.id)
        assert got.json["type"] == "job.succeeded"
        data = got.json["data"]
        assert data["links"] == {"self": f"/jobs/{job.id}"}
        assert (data["state"], data["progress"]) == ("SUCCEEDED", {"done": 1, "total": 1})
        assert data["result"]["price_mad"] == 100_000.0
        assert got.json["timestamp"] == data["finished_at"]
        (state,) = delivery.broker.keys("*webhook*")
        assert delivery.broker.ttl(state) > 0, "nothing else stays"

    def test_results_of_long_lists_are_left_to_the_link(self, delivery, receiver):
        short = delivery.end(f"{receiver.url}/ok", is_list=True)
        long = delivery.end(f"{receiver.url}/ok", cars=40)
        with delivery.running():
            got = wait_until(lambda: len(receiver.received) == 2 and receiver.received)
        data = {each.json["data"]["id"]: each.json["data"] for each in got}
        assert len(data[short.id]["result"]) == 1
        assert "result" not in data[long.id]
        assert data[long.id]["progress"] == {"done": 40, "total": 40}
        assert max(len(each.body) for each in got) < 20_000

    def test_a_failed_job_has_its_error_in_the_language_of_its_caller(self, delivery, receiver):
        delivery.end(
            f"{receiver.url}/ok", state=JobState.FAILED, estimates=(), error="attempts-exhausted"
        )
        with delivery.running():
            (got,) = wait_until(lambda: receiver.received)
        assert got.json["type"] == "job.failed"
        assert got.json["data"]["error"]["code"] == "attempts-exhausted"
        assert "result" not in got.json["data"]

    def test_a_job_that_was_deleted_meanwhile_is_reported_without_its_result(
        self, delivery, receiver
    ):
        job = delivery.end(f"{receiver.url}/ok")
        assert delivery.jobs.delete(job.id, ME)
        with delivery.running():
            (got,) = wait_until(lambda: receiver.received)
        assert got.json["data"]["state"] == "SUCCEEDED"
        assert "result" not in got.json["data"]

    def test_it_waits_for_its_secret(self, delivery, receiver):
        job = delivery.end(f"{receiver.url}/ok", key_id="abc")
        with delivery.running():
            delivery.wait_for_outcome(job, AttemptOutcome.NO_SECRET)
            assert receiver.received == []
            own = WebhookSecret(
                owner="abc", secret=new_secret(), created_at=delivery.secrets.load()[0].created_at
            )
            delivery.secrets.change(lambda secrets: [*secrets, own])
            (got,) = wait_until(lambda: receiver.received)
        assert got.is_signed_by(own.secret)
        assert not got.is_signed_by(delivery.secret)


class TestBadReceivers:
    def test_one_that_fails_half_of_the_time_gets_everything_under_stable_ids(
        self, delivery, receiver
    ):
        jobs = {delivery.end(f"{receiver.url}/flaky").id for _ in range(10)}
        with delivery.running():
            wait_until(lambda: len(set(receiver.delivered)) == 10, what="10 webhooks")
            wait_until(lambda: not delivery.pending())
        assert len(receiver.delivered) == 10, "each was accepted once"
        assert {each.json["data"]["id"] for each in receiver.received} == jobs
        assert len(receiver.attempts) == 10, "the id is the same in every attempt"
        assert len(receiver.received) > 10
        for webhook_id in receiver.attempts:
            assert len({each.body for each in receiver.received if each.id == webhook_id}) == 1

    @pytest.mark.parametrize(
        ("path", "outcome", "status"),
        [
            ("fail", AttemptOutcome.FAILED, 500),
            ("refuse", AttemptOutcome.REFUSED, 404),
            ("redirect", AttemptOutcome.REDIRECTED, 302),
            ("hang", AttemptOutcome.TIMED_OUT, None),
            ("slow", AttemptOutcome.TIMED_OUT, None),
            ("reset", AttemptOutcome.BROKEN, None),
            ("garbage", AttemptOutcome.BROKEN, None),
        ],
    )
    def test_a_failure_is_tried_again_later(self, delivery, receiver, path, outcome, status):
        job = delivery.end(f"{receiver.url}/{path}")
        with delivery.running(timeout_s=SHORT_S if path in {"hang", "slow"} else TIMEOUT_S):
            found = delivery.wait_for_outcome(job, outcome)
            assert found.last_status == status
            wait_until(lambda: delivery.pending()[job.id].attempts >= 2)
        assert receiver.at("/ok/redirected") == [], "no redirect is followed"
        assert receiver.delivered == []

    def test_a_body_without_end_is_not_read(self, delivery, receiver):
        delivery.end(f"{receiver.url}/large")
        with delivery.running():
            wait_until(lambda: receiver.delivered and not delivery.pending())
        assert len(receiver.received) == 1

    def test_410_ends_it(self, delivery, receiver):
        delivery.end(f"{receiver.url}/gone")
        with delivery.running():
            wait_until(lambda: receiver.received and not delivery.pending())
        assert len(receiver.received) == 1
        assert delivery.store.failed(10) == {}

    def test_retry_after_is_respected_as_long_as_there_is_time(self, delivery, receiver):
        job = delivery.end(f"{receiver.url}/busy")  # it asks for more time than there is
        with delivery.running():
            found = delivery.wait_for_outcome(job, AttemptOutcome.THROTTLED)
        assert (len(receiver.received), found.attempts) == (1, 1)
        assert delivery.store.failed(10) == {}
        (queue,) = delivery.broker.keys(keys.webhooks_of("*"))
        ((_, due),) = delivery.broker.zrange(queue, 0, -1, withscores=True)
        assert time.time() + 1000 < due < found.give_up_at - 1000
        ((_, looked_at),) = delivery.broker.zrange(keys.WEBHOOK_RECEIVERS, 0, -1, withscores=True)
        assert looked_at < found.give_up_at - 1000, "the pause must leave time for the attempt"

    def test_nobody_listens(self, delivery):
        job = delivery.end(f"http://127.0.0.1:{reserve_port()}/")
        with delivery.running():
            delivery.wait_for_outcome(job, AttemptOutcome.UNREACHABLE)

    def test_a_name_without_address(self, delivery):
        job = delivery.end("http://receiver.invalid/")
        with delivery.running():
            delivery.wait_for_outcome(job, AttemptOutcome.UNREACHABLE)

    def test_tls_without_a_certificate_is_no_connection(self, delivery, receiver):
        job = delivery.end(receiver.url.replace("http:", "https:"))
        with delivery.running():
            delivery.wait_for_outcome(job, AttemptOutcome.UNREACHABLE)

    def test_a_dead_receiver_with_many_webhooks_stops_nobody(self, delivery, receiver):
        for _ in range(300):
            delivery.end(f"{receiver.url}/hang")
        with delivery.running(timeout_s=SHORT_S):
            wait_until(lambda: receiver.received)
            good = running_receiver()
            with good as other:
                delivery.end(f"{other.url}/ok")
                delivery.end(f"{receiver.url}/ok", caller=OTHER)
                wait_until(lambda: other.delivered and receiver.delivered)
            wait_until(lambda: len(receiver.at("/hang")) >= 5)
            paused = keys.webhook_receiver(next(iter(delivery.store.pending(1).values())).receiver)
            wait_until(lambda: delivery.broker.hget(paused, "paused_at"), what="the circuit opens")
        assert len(receiver.at("/hang")) <= 16
        assert delivery.store.figures().pending == 300

    def test_it_is_given_up_when_its_time_is_over(self, delivery, receiver):
        delivery.store._retry_s = 1.0
        job = delivery.end(f"{receiver.url}/fail")
        with structlog.testing.capture_logs() as logs, delivery.running():
            wait_until(lambda: delivery.store.failed(10), what="given up")
        (given_up,) = delivery.store.failed(10).values()
        assert given_up.end.summary.id == job.id
        assert given_up.attempts == len(receiver.received) >= 2
        assert "webhook_given_up" in {line["event"] for line in logs}


class TestAddresses:
    def test_each_attempt_resolves_once_and_calls_that_address(self, delivery, receiver):
        port = parse_address(receiver.url).port
        resolver = FakeResolver({"shop.example": [["127.0.0.1"]]})
        delivery.end(f"http://shop.example:{port}/ok")
        with delivery.running(resolver):
            (got,) = wait_until(lambda: receiver.received)
        assert resolver.asked == 1
        assert got.headers["host"] == f"shop.example:{port}"

    def test_a_name_that_leads_to_a_private_address_later_is_not_called(self, delivery, receiver):
        """DNS rebinding: the second look-up names the machine itself."""
        port = parse_address(receiver.url).port
        policy = AddressPolicy.of("127.0.0.1/32")
        resolver = FakeResolver({"shop.example": [["127.0.0.1"], ["127.0.0.2"]]})
        job = delivery.end(f"http://shop.example:{port}/fail")
        with delivery.running(resolver, policy):
            delivery.wait_for_outcome(job, AttemptOutcome.FORBIDDEN_ADDRESS)
        assert len(receiver.received) == 1

    @pytest.mark.parametrize(
        "addresses",
        [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"],
         ["64:ff9b::7f00:1"], ["2002:7f00:1::"]],
    )  # fmt: skip
    def test_names_with_a_forbidden_address_are_never_called(self, delivery, receiver, addresses):
        port = parse_address(receiver.url).port
        job = delivery.end(f"http://shop.example:{port}/ok")
        with delivery.running(FakeResolver({"shop.example": [addresses]}), AddressPolicy()):
            delivery.wait_for_outcome(job, AttemptOutcome.FORBIDDEN_ADDRESS)
        assert receiver.received == []

    def test_the_next_address_is_tried_if_nobody_listens_at_the_first(self, delivery, receiver):
        port = parse_address(receiver.url).port
        resolver = FakeResolver({"shop.example": [["127.0.0.9", "127.0.0.1"]]})
        delivery.end(f"http://shop.example:{port}/ok")
        with delivery.running(resolver):
            wait_until(lambda: receiver.delivered)

    def test_logs_have_no_path_of_an_address(self, delivery, receiver):
        with structlog.testing.capture_logs() as logs, delivery.running():
            job = delivery.end(f"{receiver.url}/fail/token-abc?key=def")
            delivery.wait_for_outcome(job, AttemptOutcome.FAILED)
        assert receiver.url in str(logs)
        assert "token-abc" not in str(logs)
        assert "key=def" not in str(logs)

    def test_proxies_of_the_environment_are_not_used(self, delivery, receiver, monkeypatch):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        delivery.end(f"{receiver.url}/ok")
        with delivery.running():
            wait_until(lambda: receiver.delivered)


def test_what_a_killed_sender_had_claimed_is_sent_by_the_next_one(delivery, receiver):
    delivery.end(f"{receiver.url}/ok")
    delivery.store.take_in()
    assert delivery.store.claim(Places(1, 1, 1, {})), "claimed by a process that dies now"
    with delivery.running():
        wait_until(lambda: receiver.delivered)


def test_delays_grow_to_two_hours_and_vary():
    assert module.LONGEST_DELAY_S == 7200
    delays = [retry_delay_s(number) for number in range(1, 30)]
    assert 4.0 <= delays[0] <= 6.0
    assert 12.0 <= delays[1] <= 18.0
    assert all(0.8 * 7200 <= each <= 1.2 * 7200 for each in delays[8:])
    assert len(set(delays[8:])) > 10
    assert retry_delay_s(1, 900.0) == 900.0
    assert retry_delay_s(1, 86_400.0, 80_000.0) == 40_000.0
    assert retry_delay_s(9, 86_400.0, 3000.0) > 3000.0, "too late by its own delay"
    assert sum(retry_delay_s(number) for number in range(1, 19)) > 60_000, "tried for most of a day"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(b"", 0.0), (b"30", 30.0), (b" 7 ", 7.0), (b"-5", 0.0), (b"soon", 0.0), (b"\xff", 0.0),
     (b"9" * 50, RETRY_AFTER_MAX_S), (b"Thu, 01 Jan 1970 00:02:00 GMT", 60.0),
     (b"Thu, 01 Jan 1970 00:00:30 GMT", 0.0), (b"Thu, 99 Foo 1970", 0.0)],
)  # fmt: skip
def test_retry_after_is_read_leniently(header, seconds):
    assert retry_after_s(header, 60.0) == seconds


def test_ends_that_were_set_aside_are_sent_by_the_release_that_can_read_them(delivery, receiver):
    delivery.end(f"{receiver.url}/ok")
    (entry,) = delivery.broker.lrange(keys.ENDED_WITH_CALLBACK, 0, -1)
    delivery.store.aside.keep(entry)
    assert delivery.store.figures().pending == 1
    with delivery.running():
        wait_until(lambda: receiver.delivered)
    assert delivery.store.unreadable(10) == []

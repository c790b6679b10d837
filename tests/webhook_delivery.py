"""Webhooks of jobs that have ended, and a deliverer with a real Redis and a fake resolver."""

import asyncio
import contextlib
import datetime as dt
import threading
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from api.webhooks import deliverer as module
from api.webhooks.bodies import WebhookBodies
from api.webhooks.connections import SystemResolver
from api.webhooks.deliverer import WebhookDeliverer
from api.webhooks.sender import WebhookSender
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Callback, Job, JobEnd, JobState
from shared.domain.valuation import Estimate
from shared.fields.requests import load_car_request
from shared.redis.job_store.store import JobStore
from shared.redis.webhooks.store import WebhookStore
from shared.webhooks.addresses import AddressPolicy
from shared.webhooks.secret_store import SERVICE, WebhookSecret, WebhookSecrets
from shared.webhooks.signing import new_secret
from tests.conftest import wait_until

ME, OTHER = CallerId("me"), CallerId("other")
ESTIMATE = Estimate(
    price_mad=100_000.0, quantiles_mad=(100_000.0,) * 9, model_version="v", model_known=True
)  # fmt: skip
LOOPBACK = AddressPolicy.of("127.0.0.0/8")
TIMEOUT_S, SHORT_S = 10.0, 0.4
"""Of attempts: the shorter one where the receiver does not answer."""


@dataclass
class FakeResolver:
    """Answers each look-up of a name with the next of its lists of addresses."""

    answers: dict[str, list[list[str]]]
    asked: int = 0

    async def __call__(self, host, _port):
        self.asked += 1
        found = self.answers[host]
        return [ip_address(each) for each in (found.pop(0) if len(found) > 1 else found[0])]


class Delivery:
    """Jobs with callbacks, and a deliverer that runs in a thread."""

    def __init__(self, broker, car, tmp_path, monkeypatch):
        self.broker, self.car = broker, car
        self.secret = new_secret()
        self.secrets = WebhookSecrets(tmp_path / "secrets.json")
        entry = WebhookSecret(owner=SERVICE, secret=self.secret, created_at=dt.datetime.now(dt.UTC))
        self.secrets.change(lambda _: [entry])
        self.jobs = JobStore(broker, time.time, retention_s=3600, lease_s=30)
        self.store = WebhookStore(broker, time.time, retry_s=3600.0, lease_s=2.0)
        monkeypatch.setattr(module, "FIRST_DELAY_S", 0.1)
        monkeypatch.setattr(module, "LONGEST_DELAY_S", 0.3)
        monkeypatch.setattr(module, "POLL_INTERVAL_S", 0.05)
        monkeypatch.setattr(module, "EXPIRY_INTERVAL_S", 0.1)

    def end(self, url, *, caller=ME, cars=1, key_id="", extras=(), is_list=False, **end):
        request = load_car_request(self.car, extras=extras)
        job = Job(
            id=JobId(new_id()), caller=caller, state=JobState.QUEUED, created_at=time.time(),
            requests=(request,) * cars, is_list=is_list or cars > 1,
            callback=Callback(url=url, key_id=key_id, language="en"),
        )  # fmt: skip
        self.jobs.create(job)
        outcome = {"state": JobState.SUCCEEDED, "estimates": (ESTIMATE,) * cars} | end
        self.jobs.finish_all([JobEnd(job.id, **outcome)])
        return job

    @contextlib.contextmanager
    def running(self, resolve=None, policy=LOOPBACK, timeout_s=TIMEOUT_S):
        """Run the deliverer; its end waits for what is under way."""
        ready = threading.Event()
        box: dict[str, Any] = {}

        async def deliver():
            resolver = SystemResolver()
            sender = WebhookSender(
                policy, resolve or resolver, timeout_s=timeout_s, clock=time.time
            )
            bodies = WebhookBodies(self.jobs, lambda version: {"version": version})
            box["stop"], box["loop"] = asyncio.Event(), asyncio.get_running_loop()
            ready.set()
            await WebhookDeliverer(
                self.store, bodies, self.secrets, sender.send, clock=time.time
            ).run(box["stop"])
            resolver.close()

        thread = threading.Thread(target=asyncio.run, args=(deliver(),))
        thread.start()
        ready.wait(10)
        try:
            yield
        finally:
            box["loop"].call_soon_threadsafe(box["stop"].set)
            thread.join(20)
            assert not thread.is_alive()

    def pending(self):
        return {each.end.summary.id: each for each in self.store.pending(1000).values()}

    def wait_for_outcome(self, job, outcome):
        return wait_until(
            lambda: (
                (found := self.pending().get(job.id)) and found.last_outcome == outcome and found
            ),
            what=outcome,
        )

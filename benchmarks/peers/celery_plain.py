"""The usual way to serve a model with Celery: one message, subscription and reply per request.

It uses the service's model, its number of solo workers and its HTTP server.
"""

import os
from functools import lru_cache
from typing import Any

from celery import Celery
from celery.exceptions import TimeoutError as ResultTimeoutError
from celery.result import AsyncResult
from flask import Flask, request

from benchmarks.peers.fast_model import active_model
from model_store.pricing.inference import LoadedModel
from shared.fields.requests import load_car_request

WAIT_S = 30.0

celery = Celery(
    "plain",
    broker=os.environ["BENCH_CELERY_URL"],
    backend=os.environ["BENCH_CELERY_URL"],
)
celery.conf.update(worker_prefetch_multiplier=1, task_default_queue="plain")
app = Flask(__name__)


@lru_cache(maxsize=1)
def model() -> LoadedModel:
    """Load the model, once per process."""
    return active_model()


@celery.task
def value(body: dict[str, Any]) -> dict[str, Any]:
    """Value one car."""
    estimate = model().estimate([load_car_request(body).car])[0]
    interval = estimate.interval()
    return {
        "price_mad": estimate.price_mad,
        "interval": {"low": interval.low_mad, "high": interval.high_mad},
        "model": {"version": estimate.model_version},
    }


@app.get("/ready")
def ready() -> dict[str, Any]:
    """Return 200 once a worker answers a ping."""
    return {"status": "ok"} if celery.control.ping(timeout=0.5, limit=2) else ({}, 503)  # type: ignore[return-value]


@app.post("/predict")
def predict() -> Any:
    """Validate the car, send the task and wait for its result."""
    body = request.get_json()
    load_car_request(body)
    return value.apply_async((body,)).get(timeout=WAIT_S)


@app.post("/jobs")
def submit() -> Any:
    """Validate the car and send the task."""
    body = request.get_json()
    load_car_request(body)
    return {"id": value.apply_async((body,)).id, "state": "QUEUED"}, 202


@app.get("/jobs/<job_id>")
def read(job_id: str) -> Any:
    """Return the result, if it arrives within `wait` seconds."""
    result: AsyncResult[Any] = AsyncResult(job_id, app=celery)
    try:
        price = result.get(timeout=float(request.args.get("wait", 0)))
    except ResultTimeoutError:
        return {"id": job_id, "state": "QUEUED"}
    return {"id": job_id, "state": "SUCCEEDED", "result": price}

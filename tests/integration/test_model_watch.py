"""Workers of a running service measure drift; `/metrics` and `carprice drift` agree."""

import json
import os
import subprocess
import sys

import pytest

from shared.queue.celery_app import make_celery
from shared.queue.names import TaskName
from tests.batch_parts import cars_csv
from tests.conftest import ROOT, wait_until
from worker.model_watch.watch import DRIFT_DAYS, RECORDS_PER_DAY

pytestmark = pytest.mark.integration


def metrics(http, name):
    """The samples of a metric by their labels."""
    lines = http.get("/metrics").text.splitlines()
    found = (line.rpartition(" ") for line in lines if line.startswith((f"{name}{{", f"{name} ")))
    return {labels.removeprefix(name): float(value) for labels, _, value in found}


def test_cars_jobs_and_batches_are_measured_by_a_worker_and_by_the_command(service, http, car):
    http.post("/predict", json=car | {"km_driven": 47_011})
    http.post("/jobs", json=[car | {"year": 2011}] * 3, headers={"Prefer": "wait=20"})
    upload = {"content": cars_csv(400), "headers": {"Content-Type": "text/csv"}}
    batch = http.post("/batches", **upload).json()["id"]
    wait_until(
        lambda: http.get(f"/batches/{batch}?wait=20").json()["state"] == "SUCCEEDED", what="batch"
    )
    make_celery(service.settings.redis_url).send_task(str(TaskName.WATCH_MODEL))
    # Other tests may have recorded more cars than a worker reads.
    same_sample = ["--days", str(DRIFT_DAYS), "--max-records", str(RECORDS_PER_DAY)]
    answer = subprocess.run(
        [sys.executable, "-m", "cli.main", "drift", "--json", *same_sample],
        cwd=ROOT,
        env={
            **os.environ,
            "CARPRICE_HOME": str(service.home),
            "MODELS_PATH": str(service.models_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(answer.stdout)
    assert found["cars"] >= 404
    # Until the task has run, the metrics are those of an earlier measurement.
    wait_until(lambda: metrics(http, "drift_cars").get("") == found["cars"], 60.0, "the figures")
    psi = {name: each["psi"] for name, each in found["fields"].items() if each["psi"] is not None}
    assert psi
    assert metrics(http, "drift_psi") == {f'{{field="{name}"}}': psi[name] for name in psi}
    given = {name: each["psi_given"] for name, each in found["fields"].items()}
    assert metrics(http, "drift_given_psi") == {
        f'{{field="{name}"}}': value for name, value in given.items() if value is not None
    }
    assert metrics(http, "model_data_age_months")[""] == found["data_age_months"]


def test_the_tasks_are_on_the_schedule_of_beat(service):
    schedule = make_celery(service.settings.redis_url).conf.beat_schedule
    assert {each["task"] for each in schedule.values()} >= {
        TaskName.WATCH_MODEL,
        TaskName.RETRAIN_MODEL,
    }

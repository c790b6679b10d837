"""`carprice status` and Arabic answers of the command line, against a running service."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.integration


HERE = {"CARPRICE_URL": ""}
"""The service of this home, with its servers; of an address, only what it tells by HTTP."""


@pytest.fixture
def carprice(service):
    """A function that runs a command in the environment of the shared service."""
    env = os.environ | {
        "CARPRICE_HOME": str(service.home),
        "MODELS_PATH": str(service.models_path),
        "CARPRICE_URL": service.url,
        "PORT": service.url.rpartition(":")[2],
        "LC_ALL": "C.UTF-8",
    }

    def run(*arguments, **more):
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT, env=env | more, capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip

    return run


def test_the_status_tells_workers_queues_and_the_model(carprice, service):
    found = json.loads(carprice("status", "--json", **HERE).stdout)
    assert found["parts"]["api"] == {"address": service.url, "ok": True, "error": None}
    assert found["parts"]["broker"]["ok"]
    assert set(found["queues"]) == {"interactive", "bulk", "control"}
    assert all(queue["workers"] >= 1 for queue in found["queues"].values())
    assert found["model"]["version"] in {path.name for path in service.models_path.iterdir()}
    assert {check["name"] for check in found["checks"]} >= {"broker", "model", "workers"}


def test_the_exit_code_tells_whether_something_does_not_work(carprice):
    broken = carprice("status", "--json", **HERE, FLOWER_PORT="1", FLOWER_ADDRESS="127.0.0.1")
    assert broken.returncode == 1
    found = json.loads(broken.stdout)
    assert found["healthy"] is False
    assert any(problem.startswith("flower: ") for problem in found["problems"])
    assert "carprice: flower: " in broken.stderr


def test_the_status_has_the_snapshot_of_the_dashboard(carprice):
    found = json.loads(carprice("status", "--json", **HERE).stdout)["snapshot"]
    assert {each["name"] for each in found["queues"]} == {"interactive", "bulk", "control"}
    assert found["traffic"]["span_s"] >= 1
    assert all(worker["is_alive"] and worker["processes"] for worker in found["workers"])
    assert [model["is_active"] for model in found["models"]].count(True) == 1


def test_the_doctor_finds_no_fault_in_a_running_service(carprice):
    done = carprice("doctor", "--json", **HERE)
    found = json.loads(done.stdout)
    faults = [
        (check["name"], each["text"])
        for check in found["checks"]
        for each in check["findings"]
        if each["level"] == "fault"
    ]
    assert (done.returncode, found["healthy"], faults) == (0, True, [])
    assert all(check["checked"] for check in found["checks"])


def test_jobs_and_files_of_all_callers_are_listed(carprice, service):
    with service.client() as http:
        car = {"company": "Dacia", "model": "Logan", "year": 2018}
        job = http.post("/jobs", json=[car]).raise_for_status().json()["id"]
        http.get(f"/jobs/{job}", params={"wait": 20}).raise_for_status()
        file = {"file": ("stock.csv", b"Marque;Modele;Annee\nDacia;Logan;2018\n")}
        batch = http.post("/batches", files=file).raise_for_status().json()["id"]
        http.get(f"/batches/{batch}", params={"wait": 20}).raise_for_status()
    done = json.loads(carprice("jobs", "--json", "--state", "succeeded", **HERE).stdout)
    rows = {row["id"]: row for row in done}
    assert (rows[job]["kind"], rows[job]["done"]) == ("job", 1)
    assert (rows[batch]["file_name"], rows[batch]["done"]) == ("stock.csv", 1)


def test_the_service_answers_a_command_in_its_language(carprice):
    car = ("--company", "Dacia", "--model", "Dustr", "--year", "2019")
    done = carprice("predict", *car, LC_ALL="ar_MA.UTF-8")
    assert done.returncode == 0, done.stderr
    assert "درهم" in done.stdout
    assert "كيلومتر: " in done.stderr
    assert " is not stated" not in done.stderr
    refused = carprice("predict", *car[:4], "--year", "1019", "--lang", "ar")
    assert refused.returncode == 2
    assert refused.stderr.startswith("--year: ")
    assert "سنة" in refused.stderr

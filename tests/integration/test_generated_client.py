"""A client that a generator makes of the OpenAPI document can call every operation.

The generator is strict: a schema that it cannot read is a warning, and warnings fail. Its client is
plain: it knows only the document.
"""

import contextlib
import datetime as dt
import importlib
import io
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model_store.registry.bundle import save_bundle
from tests.conftest import running_service, short_folder
from tests.unit.model_store import small_models

pytestmark = pytest.mark.integration
PACKAGE = "generated_carprice"
FILE = (
    "Marque;Modèle;Année;Carburant;Boîte;Kilométrage\n"
    "Seat;Ibiza;2017;Essence;Manuelle;83 500\n"
    "Seat;Ibiza;2017;Essence;Manuelle;beaucoup trop\n"
    "Seat;Ibiza;1890;Essence;Manuelle;83 500\n"
).encode()
WAIT_S = 25.0


@pytest.fixture(scope="module")
def own_service(models_path, tmp_path_factory):
    """A service with two model versions, whose models and sales these tests may change."""
    versions = tmp_path_factory.mktemp("two") / "versions"
    shutil.copytree(models_path, versions)
    save_bundle(small_models.train(), versions)
    with short_folder() as home, running_service(home, versions) as running:
        yield running


@pytest.fixture(scope="module")
def document(own_service):
    with own_service.client() as http:
        return http.get("/openapi.json").json()


@pytest.fixture(scope="module")
def package(document, tmp_path_factory):
    """The generated package."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(document))
    scripts = Path(sys.executable).parent  # the generator formats its output by ruff
    made = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json",
         "--output-path", PACKAGE, "--meta", "none", "--fail-on-warning"],
        cwd=folder, env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(folder))


class Calls:
    """Calls operations of a generated package by their id, and notes which were called."""

    def __init__(self, package, url):
        self.client = package.Client(url, raise_on_unexpected_status=True)
        self.models = importlib.import_module(f"{PACKAGE}.models")
        self.file = importlib.import_module(f"{PACKAGE}.types").File
        api = importlib.import_module(f"{PACKAGE}.api")
        self.operations = {
            module.name.rpartition(".")[2]: module.name
            for module in pkgutil.walk_packages(api.__path__, f"{api.__name__}.")
            if not module.ispkg
        }
        self.called = set()

    def __call__(self, operation, kind, /, *path, status=200, **options):
        """Call an operation; the parsed answer must be of this kind."""
        module = importlib.import_module(self.operations[operation])
        answer = module.sync_detailed(*path, client=self.client, **options)
        assert answer.status_code == status, (operation, answer.content[:500])
        wanted = getattr(self.models, kind) if isinstance(kind, str) else kind
        assert isinstance(answer.parsed, wanted), (operation, answer.parsed)
        self.called.add(operation)
        return answer.parsed


@pytest.fixture(scope="module")
def call(package, own_service):
    calls = Calls(package, own_service.url)
    with contextlib.closing(calls.client.get_httpx_client()):
        yield calls


@pytest.fixture(scope="module")
def seat(call):
    return call.models.CarRequest(
        company="Seat", model="Ibiza", year=2017, fuel="Petrol", transmission="Manual",
        km_driven=83_500, asking_price_mad=95_000,
    )  # fmt: skip


def test_single_cars_and_their_sales(call, seat):
    extras = "contributions,depreciation,comparables"
    valuation = call("predict", "Valuation", body=seat, coverage=0.5, include=extras)
    assert isinstance(valuation.price_mad, float)
    assert valuation.interval.coverage == 0.5
    assert isinstance(valuation.verdict, call.models.Verdict)
    assert isinstance(valuation.verdict.position, call.models.VerdictPosition)
    assert (valuation.read_as.company, valuation.read_as.year) == ("Seat", 2017)
    assert isinstance(valuation.match, call.models.ValuationMatch)
    assert valuation.contributions
    assert isinstance(valuation.depreciation[0].interval, call.models.Interval)
    assert isinstance(valuation.comparables, list)

    kept = call("predict", "Valuation", status=201, body=seat, keep=True)
    assert call("get_valuation", "Valuation", kept.id).price_mad == kept.price_mad
    call("delete_valuation", type(None), kept.id, status=204)
    call("get_valuation", "Problem", kept.id, status=404)

    day = dt.datetime.now(dt.UTC).date() - dt.timedelta(9)
    sale = call.models.Sale(sale_price_mad=91_000, sold_at=day)
    outcome = call("report_sale", "Outcome", valuation.id, status=201, body=sale)
    assert outcome.sold_at == day
    assert isinstance(outcome.recorded_at, dt.datetime)
    (figures,) = call("get_outcome_statistics", "OutcomeStats").versions
    assert isinstance(figures.median_absolute_error, float)


def test_refusals_are_parsed_too(call):
    unknown_fuel = call.models.CarRequest(
        company="Seat", model="Ibiza", year=1890, fuel="Petrol", transmission="Manual", km_driven=1
    )
    problem = call("predict", "Problem", status=422, body=unknown_fuel)
    assert [place.pointer for place in problem.errors] == ["/year"]
    assert call("get_job", "Problem", "nothing", status=404).status == 404


def test_jobs(call, seat):
    job = call("submit_job", "Job", status=202, body=[seat, seat], idempotency_key="two-seats")
    assert isinstance(job.state, call.models.JobState)
    ended = call("get_job", "Job", job.id, wait=WAIT_S, coverage=0.8)
    assert [type(each).__name__ for each in ended.result] == ["Valuation"] * 2
    assert isinstance(ended.finished_at, dt.datetime)
    one = call("submit_job", "Job", body=seat, prefer=f"wait={WAIT_S:g}")
    assert isinstance(one.result, call.models.Valuation)
    page = call("list_jobs", "JobList", kind=call.models.ListJobsKind.JOB, from_="2020-01-01")
    assert {one.id, job.id} <= {item.id for item in page.items}
    assert "event: end" in call("follow_job", str, job.id)
    call("cancel_job", type(None), job.id, status=204)
    call("get_job", "Problem", job.id, status=410)


def test_files(call):
    as_form = call.models.UploadBatchFilesBody(call.file(io.BytesIO(FILE), "seats.csv"))
    as_body = call.file(io.BytesIO(FILE))
    for body in (as_form, as_body):
        batch = call("upload_batch", "Batch", status=202, body=body, columns="km_driven:#6")
        ended = call("get_batch", "Batch", batch.id, wait=WAIT_S)
        assert isinstance(ended.outcome, call.models.BatchOutcomeType0)
        assert (ended.counts.total, ended.counts.done) == (3, 3)
        assert isinstance(ended.input_, call.models.BatchInput)
    assert "event: end" in call("follow_batch", str, batch.id)
    assert len(call("get_results", str, batch.id).splitlines()) == 4
    assert call("get_results", str, batch.id, status=206, range_="bytes=0-3") == "Marq"
    rows = call("get_rows", "Rows", batch.id)
    assert len(rows.rows) == 3
    assert call("retry_batch", "Batch", batch.id, status=202).state == "SUCCEEDED"
    rejected = call("get_rejected_rows", str, batch.id)
    assert "1890" in rejected
    lines = [json.loads(line) for line in call("get_error_report", str, batch.id).splitlines()]
    assert 1890 in [int(line["value"]) for line in lines if line["field"] == "year"]
    corrected = call.file(io.BytesIO(rejected.replace("1890", "2016").encode()))
    correction = call("correct_batch", "Batch", batch.id, status=202, body=corrected)
    assert correction.corrects == batch.id
    call("get_batch", "Batch", correction.id, wait=WAIT_S)
    assert call("get_batch", "Batch", batch.id).corrections == [correction.id]
    call("cancel_batch", type(None), batch.id, status=204)
    call("get_batch", "Problem", batch.id, status=410)


def test_models(call):
    versions = call("list_models", "ModelList").models
    active = call("get_active_model", "ModelVersion")
    assert isinstance(active.training, call.models.ModelVersionTraining)
    (other,) = [each.version for each in versions if not each.active]
    assert "# " in call("get_model_card", str, "active")
    assert json.loads(call("get_model_card_file", str, active.version, "card.json"))
    activated = call("activate_model", "ModelVersion", other, if_match=f'"{active.version}"')
    assert (activated.version, activated.active) == (other, True)
    assert call("roll_back_model", "ModelVersion").version == active.version


def test_suggestions(call):
    field = call.models.SuggestField.MODEL
    found = call("suggest", "Suggestions", field=field, company="Seat", q="ibi")
    assert "ibiza" in [each.value.casefold() for each in found.suggestions]
    usual = call("get_usual_values", "Usual", company="Seat", model="Ibiza", year=2017)
    assert usual.km_driven


def test_operations(call):
    assert call("get_health", "Health").model_loaded is True
    assert call("get_liveness", "Liveness").status == "alive"
    assert call("get_readiness", "Readiness").checks
    assert isinstance(call("get_cache_statistics", "CacheStats").hit_rate, float)
    day = dt.date(2020, 2, 29)
    assert call("get_prediction_statistics", "PredictionStats", date=day).date == day
    assert "# HELP" in call("get_metrics", str)
    assert call("list_dead_letters", "DeadLetterList").dead_letters == []
    nothing = "01kayz5vk2yr6g4h2qm3t8w9ab"
    call("replay_dead_letter", "Problem", nothing, status=404)
    call("drop_dead_letter", "Problem", nothing, status=404)


def test_every_operation_was_called(call, document):
    """Runs last: a new operation needs a call in one of the tests above."""
    documented = {
        operation["operationId"]
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    }
    assert call.operations.keys() == documented
    assert call.called == documented

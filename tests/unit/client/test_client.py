"""The client turns answers into values, and failures into exceptions that say what to do."""

import datetime as dt
import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Formatter
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import zstandard
from click.testing import CliRunner

from api.batches.schemas import UploadQuery
from cli.main import main
from cli.valuations import batch as batch_cli
from cli.valuations import predict, printing, texts
from cli.valuations.batch_run import BatchRun
from client import version
from client.errors import (
    ConflictError,
    ExpiredError,
    InvalidInputError,
    NotAuthorisedError,
    NotFoundError,
    ProblemError,
    ServiceUnreachableError,
    TooManyRequestsError,
    UnavailableError,
    WaitTimeoutError,
)
from client.protocol import downloads, repetition
from client.sync import CarPriceClient
from client.valuations import Valuation, VehicleName
from client.work import Batch
from shared.i18n.catalogue import translate
from shared.i18n.languages import Language

CAR = {"company": "Toyota", "model": "Corolla"}
VALUATION = {
    "id": "v1", "price_mad": 187_000.0, "interval": {"low": 150e3, "high": 210e3, "coverage": 0.9},
    "model": {"version": "m1"}, "model_known": True, "cached": False,
    "warnings": [{"pointer": "/colour", "detail": "Unknown field, ignored."}],
    "verdict": {"asking_price_mad": 145e3, "position": "below_market", "percentile": 4.0,
                "difference_mad": -42e3},
    "match": "corrected",
    "read_as": {"company": "Toyota", "model": "Corolla", "year": 2018, "km_driven": 80_500},
    "suggestions": [{"company": "Toyota", "model": "Corolla Cross"}],
}  # fmt: skip
NOTICE = {
    "code": "not-a-number", "field": "doors", "column": "Portes", "count": 3, "rows": None,
    "examples": ["cinq", "deux"], "detail": "Portes: values not read: 3 (cinq, deux).",
}  # fmt: skip


def batch(
    state: str = "SUCCEEDED",
    batch_id: str = "b1",
    notices: tuple[dict[str, Any], ...] = (),
    **counts: Any,
) -> dict[str, Any]:
    return {
        "id": batch_id, "state": state, "outcome": "complete" if state == "SUCCEEDED" else None,
        "counts": {"total": 2, "done": 2, "valid": 2, "invalid": 0, "failed": 0} | counts,
        "rows_per_second": 10.0, "eta_s": 0.0,
        "input": {"sha256": "0" * 64, "notices": list(notices)},
    }  # fmt: skip


Handler = Callable[[httpx.Request], httpx.Response]


def client_of(handler: Handler, **options: Any) -> CarPriceClient:
    return CarPriceClient("http://service", transport=httpx.MockTransport(handler), **options)


def problem(status: int, **headers: str) -> httpx.Response:
    body = {
        "type": "/docs/problems#some-code", "title": "Title", "detail": "Detail.",
        "errors": [{"pointer": "/year", "code": "required", "detail": "Year is required."}],
    }  # fmt: skip
    return httpx.Response(
        status, json=body, headers={"Content-Type": "application/problem+json", **headers}
    )


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repetition, "RETRY_DELAY_S", 0.0)
    monkeypatch.setattr(repetition, "MAX_RETRY_DELAY_S", 0.0)


def test_a_valuation_is_read_with_its_verdict_and_warnings() -> None:
    with client_of(lambda _: httpx.Response(200, json=VALUATION)) as client:
        valuation = client.value(CAR)
    assert (valuation.price_mad, valuation.low_mad, valuation.coverage) == (187e3, 150e3, 0.9)
    assert valuation.verdict is not None
    assert valuation.verdict.position == "below_market"
    assert list(map(str, valuation.warnings)) == ["/colour: Unknown field, ignored."]
    assert (valuation.match, str(valuation.read_as.name)) == ("corrected", "Toyota Corolla")
    assert (valuation.read_as.km_driven, valuation.read_as.fuel) == (80_500, None)
    assert valuation.suggestions == (VehicleName("Toyota", "Corolla Cross"),)


def test_a_field_that_this_client_does_not_know_is_left_out() -> None:
    read_as = {"company": "Kia", "model": "Rio", "year": 2018, "colour": "red"}
    answer = VALUATION | {"read_as": read_as}
    assert Valuation.of(answer).read_as.year == 2018


def test_the_notices_of_a_batch_are_read() -> None:
    answer = batch(notices=(NOTICE,))
    (notice,) = client_of(lambda _: httpx.Response(200, json=answer)).batch("b1").notices
    assert (notice.column, notice.count, notice.examples) == ("Portes", 3, ("cinq", "deux"))


def test_predict_waits_for_the_job_of_a_202() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, json={"id": "j1", "state": "QUEUED"})
        assert request.url.path == "/jobs/j1"
        return httpx.Response(200, json={"id": "j1", "state": "SUCCEEDED", "result": VALUATION})

    assert client_of(answer).value(CAR).price_mad == 187_000


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, NotAuthorisedError), (403, NotAuthorisedError), (404, NotFoundError),
        (409, ConflictError), (410, ExpiredError), (413, InvalidInputError),
        (415, InvalidInputError), (422, InvalidInputError), (429, TooManyRequestsError),
        (500, ProblemError), (503, UnavailableError),
    ],
)  # fmt: skip
def test_each_kind_of_failure_has_its_exception(status: int, kind: type[ProblemError]) -> None:
    with pytest.raises(kind) as error:
        client_of(lambda _: problem(status, **{"Retry-After": "7"}), retries=0).value(CAR)
    assert (error.value.status, error.value.code) == (status, "some-code")
    assert error.value.retry_after_s == 7
    assert str(error.value) == "Title:\n  /year: Year is required."


def test_an_error_without_a_problem_document_is_a_problem_error() -> None:
    with pytest.raises(ProblemError) as error:
        client_of(lambda _: httpx.Response(502, text="<html>Bad gateway")).value(CAR)
    assert (error.value.code, error.value.detail) == ("http-502", "<html>Bad gateway")


def test_idempotent_calls_are_retried_while_the_service_is_unavailable() -> None:
    answers = iter([problem(503), problem(429), httpx.Response(200, json=VALUATION)])
    assert client_of(lambda _: next(answers)).value(CAR).id == "v1"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the client makes; they take no time. Other threads sleep as ever."""
    made: list[float] = []
    monkeypatch.setattr("client.drivers.time", SimpleNamespace(sleep=made.append))
    return made


def test_a_refused_call_is_repeated_after_the_pause_that_the_service_asks_for(
    pauses: list[float],
) -> None:
    answers = [problem(429, **{"Retry-After": "45"}), problem(503), httpx.Response(200, json={})]
    client = client_of(lambda _: answers.pop(0))
    client.report_sale("v1", 1.0, dt.date(2026, 1, 1))
    assert pauses == [45.0, 0.0]


@pytest.mark.parametrize("given", ["-1", "nan", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_pause_that_is_no_number_of_seconds_is_not_followed(
    pauses: list[float], given: str
) -> None:
    answers = [problem(429, **{"Retry-After": given}), httpx.Response(200, json={})]
    client_of(lambda _: answers.pop(0)).report_sale("v1", 1.0, dt.date(2026, 1, 1))
    assert pauses == [0.0]


def test_a_limit_that_holds_for_hours_is_reported_at_once(pauses: list[float]) -> None:
    calls: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        return problem(429, **{"Retry-After": "4000"})

    client = client_of(refuse)
    with pytest.raises(TooManyRequestsError) as caught:
        client.value(CAR)
    assert caught.value.retry_after_s == 4000
    with pytest.raises(TooManyRequestsError):
        list(client.batch_errors("b1"))
    assert (calls, pauses) == (["/predict", "/batches/b1/errors"], [])


def test_a_refused_upload_is_sent_again_from_its_beginning(
    pauses: list[float], tmp_path: Path
) -> None:
    file, bodies, keys, sent = tmp_path / "in.csv", [], set(), []
    file.write_text("a,b\n1,2\n")

    def service(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        keys.add(request.headers["Idempotency-Key"])
        refused = problem(429, **{"Retry-After": "5"})
        return refused if len(bodies) < 3 else httpx.Response(202, json=batch("QUEUED"))

    assert client_of(service).submit_file(file, on_sent=sent.append).id == "b1"
    assert (bodies, len(keys), pauses) == ([b"a,b\n1,2\n"] * 3, 1, [5.0, 5.0])
    assert sent == [0, 8] * 3


def test_an_upload_to_an_address_without_a_service_is_given_up_as_any_call(
    pauses: list[float], tmp_path: Path
) -> None:
    file = tmp_path / "in.csv"
    file.write_text("a,b\n1,2\n")

    with (
        CarPriceClient("http://127.0.0.1:9", retries=2) as client,
        pytest.raises(ServiceUnreachableError),
    ):
        client.submit_file(file)
    assert len(pauses) == 2


def test_a_service_that_does_not_run_is_unreachable() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(ServiceUnreachableError, match="http://service: the service") as error:
        client_of(away, retries=1).value(CAR)
    assert (error.value.outage, error.value.url) == ("other", "http://service")


def test_key_and_language_are_sent() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        assert request.headers["Accept-Language"] == "fr"
        assert request.url.params["include"] == "contributions"
        return httpx.Response(200, json=VALUATION)

    client_of(answer, api_key="secret", language="fr").value(CAR, include=["contributions"])


def test_a_sale_is_reported_to_its_valuation() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("POST", "/valuations/v1/outcome")
        assert json.loads(request.content) == {"sale_price_mad": 9e4, "sold_at": "2026-11-20"}
        return httpx.Response(201, json={})

    client_of(answer).report_sale("v1", 9e4, dt.date(2026, 11, 20))


def test_a_list_is_submitted_with_a_generated_key_and_waited_for() -> None:
    keys = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            keys.append(request.headers["Idempotency-Key"])
            assert json.loads(request.content) == [CAR, CAR]
        job = {"id": "j1", "state": "SUCCEEDED", "result": [VALUATION, VALUATION]}
        return httpx.Response(202, json=job)

    client = client_of(answer)
    job = client.submit([CAR, CAR]).job
    client.submit([CAR, CAR])
    assert len(job.valuations) == 2
    assert len(set(keys)) == 2
    assert client.wait_job("j1").has_ended


def test_a_job_that_has_ended_is_not_deleted_by_its_cancellation() -> None:
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        state = "RUNNING" if len(calls) == 1 else "CANCELLED"
        status = 202 if request.method == "DELETE" else 200
        return httpx.Response(status, json={"id": "j1", "state": state})

    client = client_of(answer)
    assert client.cancel_job("j1").state == "CANCELLED"
    assert client.cancel_job("j1").state == "CANCELLED"
    assert calls == ["GET", "DELETE", "GET"]


def test_waiting_ends_after_its_time() -> None:
    job = {"id": "j1", "state": "RUNNING"}
    with pytest.raises(WaitTimeoutError):
        client_of(lambda _: httpx.Response(200, json=job)).wait_job("j1", timeout=0)
    with pytest.raises(WaitTimeoutError):
        client_of(lambda _: httpx.Response(200, json=batch("RUNNING"))).wait_batch("b1", timeout=0)


def test_error_reports_are_read_line_by_line() -> None:
    line = {"line": 3, "row_key": None, "column": "year", "field": "year", "value": "1",
            "code": "out-of-range", "message": "No."}  # fmt: skip
    text = (json.dumps(line) + "\n") * 2
    errors = list(client_of(lambda _: httpx.Response(200, text=text)).batch_errors("b1"))
    assert [(error.line, error.message) for error in errors] == [(3, "No.")] * 2


# Downloads

SERVICE_IMPORT = re.compile(r"(from|import) (api|shared|worker|model_store|data|cli|launcher)\b")
DATA = bytes(range(256)) * 4000


class Breaking(httpx.SyncByteStream):
    """A body that breaks off."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        yield self._data
        raise httpx.ReadError("connection reset")


class Files:
    """A service that gives files, in ranges, and breaks connections off after `most` bytes."""

    def __init__(self, most: int, *, ranges: bool = True) -> None:
        self.most = most
        self.ranges = ranges
        self.starts: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1]) if self.ranges else 0
        self.starts.append(start)
        if start >= len(DATA):
            return httpx.Response(416, headers={"Content-Range": f"bytes */{len(DATA)}"})
        rest = DATA[start:]
        status = 206 if start else 200
        if len(rest) <= self.most:
            return httpx.Response(status, content=rest)
        return httpx.Response(status, stream=Breaking(rest[: self.most]))


def test_an_interrupted_download_is_resumed(tmp_path: Path) -> None:
    files = Files(most=400_000)
    path = client_of(files).download_results("b1", tmp_path / "out.csv")
    assert path.read_bytes() == DATA
    assert files.starts == [0, 400_000, 800_000]
    assert [item.name for item in tmp_path.iterdir()] == ["out.csv"]


def test_a_later_call_resumes_an_interrupted_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MAX_STALLED_ATTEMPTS", 1)
    files = Files(most=600_000)

    def gone(request: httpx.Request) -> httpx.Response:
        if files.starts:
            raise httpx.ConnectError("refused", request=request)
        return files(request)

    with pytest.raises(ServiceUnreachableError):
        client_of(gone).download_results("b1", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    client_of(files).download_results("b1", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == DATA
    assert files.starts == [0, 600_000]


def test_a_download_of_results_that_were_corrected_meanwhile_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the new file must not be appended to the beginning of the old one."""
    monkeypatch.setattr(downloads, "MAX_STALLED_ATTEMPTS", 1)
    asked = []

    def before(request: httpx.Request) -> httpx.Response:
        if asked:
            raise httpx.ConnectError("refused", request=request)
        asked.append(request)
        return httpx.Response(200, stream=Breaking(b"old" * 99), headers={"ETag": '"1"'})

    def after(request: httpx.Request) -> httpx.Response:
        is_same = request.headers.get("If-Range") == '"2"'
        data = DATA[int(request.headers["Range"][6:-1]) :] if is_same else DATA
        return httpx.Response(206 if is_same else 200, content=data, headers={"ETag": '"2"'})

    with pytest.raises(ServiceUnreachableError):
        client_of(before).download_results("b1", tmp_path / "out.csv")
    client_of(after).download_results("b1", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == DATA
    assert [item.name for item in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_compressed_download_is_resumed_by_a_range_of_its_content(
    tmp_path: Path, coding: str
) -> None:
    pack = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}[coding]
    content = random.Random(1).randbytes(700_000)
    packed, starts = pack(content), []

    def serve(request: httpx.Request) -> httpx.Response:
        wanted = request.headers.get("Range")
        if wanted is None:
            assert coding in request.headers["Accept-Encoding"]
            headers = {"ETag": 'W/"1"', "Content-Encoding": coding}
            stream = Breaking(packed[: len(packed) // 2])
            return httpx.Response(200, stream=stream, headers=headers)
        assert request.headers["Accept-Encoding"] == "identity"
        assert request.headers["If-Range"] == '"1"'
        starts.append(int(wanted.removeprefix("bytes=").removesuffix("-")))
        return httpx.Response(206, content=content[starts[0] :], headers={"ETag": '"1"'})

    client_of(serve).download_results("b1", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == content
    assert 0 < starts[0] < len(content)


def test_a_download_without_missing_bytes_is_complete(tmp_path: Path) -> None:
    (tmp_path / "out.csv.b1-csv.part").write_bytes(DATA)
    client_of(Files(most=1)).download_results("b1", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == DATA


def test_received_bytes_that_do_not_fit_are_discarded(tmp_path: Path) -> None:
    (tmp_path / "out.csv.b1-csv.part").write_bytes(DATA + b"more")
    client_of(Files(most=10**9)).download_results("b1", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == DATA


def test_a_service_without_ranges_sends_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "out.csv.b1-csv.part").write_bytes(DATA[:500])
    client_of(Files(most=10**9, ranges=False)).download_results("b1", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == DATA


# A run of a file


class Bulk:
    """A service that takes files and prices them at once."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.known = {"b1"}
        self.states = ["RUNNING", "SUCCEEDED"]
        self.down = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            self.down -= 1
            raise httpx.ConnectError("restarting", request=request)
        if request.method == "POST":
            request.read()
            self.keys.append(request.headers["Idempotency-Key"])
            self.known.add("b1")
            return httpx.Response(202, json=batch("QUEUED"))
        if request.url.path == "/jobs":
            wanted = request.url.params["idempotency_key"]
            assert request.url.params["kind"] == "batch"
            return httpx.Response(200, json={"items": [{"id": "b1"}] * (wanted in self.keys)})
        if request.url.path.endswith("/results"):
            return httpx.Response(200, content=b"a,b\n1,2\n")
        if request.url.path.split("/")[2] not in self.known:
            return problem(404)
        return httpx.Response(200, json=batch(self.states.pop(0)))


def run_of(bulk: Handler, tmp_path: Path, **options: Any) -> BatchRun:
    file = tmp_path / "in.csv"
    if not file.exists():
        file.write_text("a,b\n1,2\n")
    return BatchRun(
        client=client_of(bulk), file=file, output=tmp_path / "out.csv", url="http://service",
        options=options, form="csv",
    )  # fmt: skip


class Seen:
    """Remembers what a run shows, and may do something about it."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.sent: list[tuple[int, int]] = []
        self.states: list[str] = []
        self._then = then

    def sending(self, sent: int, size: int) -> None:
        self.sent.append((sent, size))

    def valuing(self, batch: Batch) -> None:
        self.states.append(batch.state)
        self._then()


def test_a_run_uploads_waits_and_downloads(tmp_path: Path) -> None:
    bulk, seen = Bulk(), Seen()
    run = run_of(bulk, tmp_path, dry_run=False)
    assert run.run(seen).state == "SUCCEEDED"
    assert seen.states == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert seen.sent == [(8, 8)]
    run.clear_state()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupted_run_continues_with_the_same_batch(tmp_path: Path) -> None:
    bulk = Bulk()
    with pytest.raises(KeyboardInterrupt):
        run_of(bulk, tmp_path).run(Seen(interrupt))
    run_of(bulk, tmp_path).run(Seen())
    assert len(bulk.keys) == 1


def test_a_run_interrupted_during_the_upload_uploads_with_the_same_key(
    tmp_path: Path,
) -> None:
    bulk = Bulk()
    run = run_of(bulk, tmp_path)
    run._write_state({"key": "k1"})
    run.run(Seen())
    assert bulk.keys == ["k1"]


@pytest.mark.parametrize("change", ["file", "options"])
def test_another_file_or_other_options_are_another_run(tmp_path: Path, change: str) -> None:
    bulk = Bulk()
    with pytest.raises(KeyboardInterrupt):
        run_of(bulk, tmp_path, decimal=",").run(Seen(interrupt))
    if change == "file":
        (tmp_path / "in.csv").write_text("a,b\n3,4\n")
    run_of(bulk, tmp_path, decimal="," if change == "file" else ".").run(Seen())
    assert len(set(bulk.keys)) == 2


def test_an_expired_batch_is_uploaded_again(tmp_path: Path) -> None:
    bulk = Bulk()
    with pytest.raises(KeyboardInterrupt):
        run_of(bulk, tmp_path).run(Seen(interrupt))
    bulk.known.clear()
    run_of(bulk, tmp_path).run(Seen())
    assert len(bulk.keys) == 2


def test_a_run_waits_for_a_service_that_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.protocol.files.POLL_S", 0.0)
    bulk = Bulk()

    def go_down() -> None:
        bulk.down = 9 if len(bulk.states) == 2 else 0

    assert run_of(bulk, tmp_path).run(Seen(go_down)).state == "SUCCEEDED"


def test_a_run_waits_while_a_limit_of_its_key_is_reached(
    tmp_path: Path, pauses: list[float]
) -> None:
    bulk, refusals = Bulk(), {"/batches": 6, "/batches/b1": 6, "/batches/b1/results": 2}

    def limited(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if refusals.get(path):
            refusals[path] -= 1
            return problem(429, **{"Retry-After": "2"})
        return bulk(request)

    file, seen = tmp_path / "in.csv", Seen()
    file.write_text("a,b\n1,2\n")
    run = BatchRun(
        client=client_of(limited), file=file, output=tmp_path / "out.csv", url="http://service",
        options={}, form="csv",
    )  # fmt: skip
    assert run.run(seen).state == "SUCCEEDED"
    assert (len(bulk.keys), set(pauses)) == (1, {2.0})


# Commands


def test_a_car_that_is_no_json_object_is_refused(tmp_path: Path) -> None:
    for text in ("[1]", "{"):
        file = tmp_path / "car.json"
        file.write_text(text)
        done = CliRunner().invoke(predict.predict, [str(file)])
        assert done.exit_code == 2
        assert "JSON" in done.stderr


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(batch_cli.batch, [str(tmp_path / "no.csv"), "-o", "x"])
    assert done.exit_code == 2


def test_the_client_stands_alone() -> None:
    """Nothing of the service is imported, so the folder can be copied anywhere."""
    for file in Path(version.__file__).parent.rglob("*.py"):
        for line in file.read_text().splitlines():
            assert not SERVICE_IMPORT.match(line), file


CAR_BY_OPTIONS = ["--company", "toyota", "--year", "1800"]
EXPLAINED = VALUATION | {
    "price_mad": 187_000.4,
    "explanation": ["Starting price: 150,000 MAD", "Year 2020: newer, +37,000 MAD"],
    "comparables": [
        {"company": "land rover", "model": "defender", "year_from": 2018, "year_to": 2019,
         "km_driven": 45_000, "fuel": "Petrol", "transmission": "Manual", "price_mad": 190_000.0,
         "listings": 12, "differs": ["other_fuel", "more_km", "of_the_future"]},
    ],
}  # fmt: skip


def serve(monkeypatch: pytest.MonkeyPatch, handler: Handler) -> None:
    """Let the commands talk to `handler` instead of the network."""
    for module in (predict, batch_cli):
        monkeypatch.setattr(module, "CarPriceClient", lambda *_, **more: client_of(
        handler, retries=0, language=more["language"]
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        ("en", ["187,000 MAD", "90% between 150,000 and 210,000 MAD",
                "145,000 MAD is below market: 4% of comparable cars ask less (-42,000 MAD)",
                ("read as (corrected): Toyota Corolla, 2018, fuel not stated, "
                "gearbox not stated, kilometres 80,500"),
                "did you mean: Toyota Corolla Cross?",
                "  Starting price: 150,000 MAD", "  Year 2020: newer, +37,000 MAD",
                "typical cars that resemble it:",
                ("  Land Rover Defender 2018-2019, Petrol, Manual, 45,000 km: 190,000 MAD "
                "(12 listings); other fuel, more kilometres, of_the_future")]),
        ("fr", ["187\u202f000 MAD", "90 % entre 150\u202f000 et 210\u202f000 MAD",
                ("145\u202f000 MAD, c'est en dessous du marché : 4 % des voitures comparables sont "
                "proposées moins cher (-42\u202f000 MAD)"),
                ("lue comme (corrigé) : Toyota Corolla, 2018, carburant sans précision, "
                "boîte de vitesses sans précision, kilomètres 80\u202f500"),
                "vouliez-vous dire : Toyota Corolla Cross ?",
                "  Starting price: 150,000 MAD", "  Year 2020: newer, +37,000 MAD",
                "voitures typiques semblables :",
                ("  Land Rover Defender 2018-2019, essence, manuelle, 45\u202f000 km : "
                "190\u202f000 MAD (12 annonces) ; autre carburant, plus de kilomètres, "
                "of_the_future")]),
    ],
)  # fmt: skip
def test_predict_prints_the_explanation_and_the_comparables_in_both_languages(
    monkeypatch: pytest.MonkeyPatch, language: str, lines: list[str]
) -> None:
    serve(monkeypatch, lambda _: httpx.Response(200, json=EXPLAINED))
    done = CliRunner().invoke(predict.predict, [*CAR_BY_OPTIONS, "--lang", language])
    assert done.stdout.splitlines() == lines
    note, colon = ("note: ", ": ") if language == "en" else ("remarque : ", " : ")
    assert done.stderr == f"{note}colour{colon}Unknown field, ignored.\n"


@pytest.mark.parametrize(
    ("language", "percentile", "model_known", "said"),
    [
        ("en", 97.5, True, "almost all comparable cars ask less"),
        ("en", 2.5, True, "almost all comparable cars ask more"),
        ("en", 97.0, True, "97% of comparable cars ask less"),
        ("fr", 97.5, True, "presque toutes les voitures comparables sont proposées moins cher"),
        ("fr", 97.5, False, "prix non jugé"),
        ("en", 97.5, False, "is not judged"),
    ],
)
def test_predict_says_no_more_of_an_asking_price_than_is_known(
    monkeypatch: pytest.MonkeyPatch, language: str, percentile: float, said: str, *,
    model_known: bool,
) -> None:  # fmt: skip
    verdict = {
        "asking_price_mad": 145e3,
        "difference_mad": 9e3,
        "percentile": percentile,
        "position": "above_market",
    }
    answer = VALUATION | {"model_known": model_known, "verdict": verdict}
    serve(monkeypatch, lambda _: httpx.Response(200, json=answer))
    done = CliRunner().invoke(predict.predict, [*CAR_BY_OPTIONS, "--lang", language])
    assert said in done.stdout
    assert "98" not in done.stdout
    if not model_known:
        assert "%" not in done.stdout.splitlines()[2]


@pytest.mark.parametrize(("language", "said"), [("fr", "prix non jugé"), ("en", "is not judged")])
def test_predict_does_not_judge_what_the_service_does_not(
    monkeypatch: pytest.MonkeyPatch, language: str, said: str
) -> None:
    verdict = {"asking_price_mad": 145e3, "position": "uncertain", "percentile": None,
               "difference_mad": 9e3}  # fmt: skip
    serve(monkeypatch, lambda _: httpx.Response(200, json=VALUATION | {"verdict": verdict}))
    done = CliRunner().invoke(predict.predict, [*CAR_BY_OPTIONS, "--lang", language])
    assert said in done.stdout.splitlines()[2]


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", ("note: no effect on this price: displacement (cc), power (bhp); the model's data "
                "say nothing about it")),
        ("fr", ("remarque : sans effet sur ce prix : cylindrée, puissance réelle ; les données "
                "du modèle n'en disent rien")),
    ],
)  # fmt: skip
def test_predict_names_all_fields_without_an_effect_in_one_line(
    monkeypatch: pytest.MonkeyPatch, language: str, line: str
) -> None:
    warnings = [
        {"pointer": "/engine_cc", "code": "no-effect", "detail": "Nothing."},
        {"pointer": "/km_driven", "code": "km-low", "detail": "Few."},
        {"pointer": "/max_power_bhp", "code": "no-effect", "detail": "Nothing."},
    ]
    serve(monkeypatch, lambda _: httpx.Response(200, json=VALUATION | {"warnings": warnings}))
    done = CliRunner().invoke(predict.predict, [*CAR_BY_OPTIONS, "--lang", language])
    first, second = done.stderr.splitlines()
    assert "Few." in first
    assert second == line


def test_predict_writes_names_as_the_page_does(monkeypatch: pytest.MonkeyPatch) -> None:
    comparable = {
        "company": "toyota", "model": "c hr", "year_from": 2018, "year_to": 2019,
        "km_driven": 45_000, "fuel": "Petrol", "transmission": "Manual", "price_mad": 190e3,
        "listings": 12,
    }  # fmt: skip
    warning = {"pointer": "/max_power_bhp", "detail": "No effect."}
    answer = EXPLAINED | {"comparables": [comparable], "warnings": [warning]}
    serve(monkeypatch, lambda _: httpx.Response(200, json=answer))
    done = CliRunner().invoke(predict.predict, CAR_BY_OPTIONS)
    assert "Toyota C-HR 2018-2019" in done.stdout
    assert done.stderr == "note: power (bhp): No effect.\n"


def test_predict_prints_the_age_of_the_data_and_the_warning_without_a_pointer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = VALUATION | {
        "model": {"version": "m1", "data_as_of": "2025-05", "data_age_months": 18},
        "warnings": [{"pointer": "", "detail": "The data are old."}],
    }
    serve(monkeypatch, lambda _: httpx.Response(200, json=answer))
    for language, line in (
        ("en", "data until 2025-05, 18 months old"),
        ("fr", "données jusqu'à 2025-05, il y a 18 mois"),
    ):
        done = CliRunner().invoke(predict.predict, [*CAR_BY_OPTIONS, "--lang", language])
        assert line in done.stdout.splitlines()
        assert done.stderr.endswith(": The data are old.\n")
        assert "::" not in done.stderr.replace(" ", "")


def test_each_refused_field_is_a_line_with_its_option(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [
        {"pointer": "/km_driven", "code": "required", "detail": "It is required."},
        {"parameter": "coverage", "code": "invalid-parameter", "detail": "No."},
    ]
    body = {"title": "Input refused", "detail": "2 problems.", "errors": errors}
    serve(monkeypatch, lambda _: httpx.Response(422, json=body))
    done = CliRunner().invoke(predict.predict, CAR_BY_OPTIONS)
    assert (done.exit_code, done.stderr) == (2, "--km-driven: It is required.\n--coverage: No.\n")


def test_a_service_that_does_not_run_is_reported_with_its_address() -> None:
    done = CliRunner().invoke(predict.predict, [*CAR_BY_OPTIONS, "--url", "http://127.0.0.1:9"])
    assert done.exit_code == 2
    assert done.stderr == (
        "the service at http://127.0.0.1:9 does not answer: start it with `carprice up`, or name"
        " another address with --url\n"
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://nobody.invalid", "no host has this name; check --url"),
        ("http://me:secret@nobody.invalid", "no host has this name; check --url"),
        ("127.0.0.1:8000", "--url 127.0.0.1:8000 is no address of a service"),
        ("http://127.0.0.1:800000", "ports end at 65535"),
    ],
)
def test_an_address_that_leads_nowhere_is_reported_with_what_to_do(url: str, said: str) -> None:
    done = CliRunner().invoke(predict.predict, [*CAR_BY_OPTIONS, "--url", url])
    assert done.exit_code == 2
    assert said in done.stderr
    assert "secret" not in done.stderr
    assert "Errno" not in done.stderr


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (httpx.ConnectTimeout("timed out"), "does not answer in time"),
        (httpx.ReadError("[Errno 104] Connection reset by peer"), "broke before its answer"),
        (httpx.ConnectError("[Errno 99] Cannot assign"), "cannot be reached (Cannot assign)"),
    ],
)
def test_no_number_of_an_error_reaches_a_user(
    monkeypatch: pytest.MonkeyPatch, answered: httpx.TransportError, said: str
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise answered

    serve(monkeypatch, fail)
    done = CliRunner().invoke(predict.predict, CAR_BY_OPTIONS)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Errno" not in done.stderr


def test_another_server_at_the_address_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda _: httpx.Response(200, text="<html>Welcome</html>"))
    done = CliRunner().invoke(predict.predict, CAR_BY_OPTIONS)
    assert done.exit_code == 2
    assert "is not the car price service: name its address with --url" in done.stderr


def cars_file(folder: Path) -> Path:
    file = folder / "cars.csv"
    file.write_text("company\nDacia\n")
    (folder / "link.csv").symlink_to(file)
    (folder / "hard.csv").hardlink_to(file)
    return file


@pytest.mark.parametrize(
    "names",
    [("cars.csv",), ("link.csv",), ("hard.csv",), ("../x/cars.csv",), ("o.csv", "cars.csv"),
     ("o.csv", "o.csv")],
)  # fmt: skip
def test_a_run_overwrites_neither_its_input_nor_another_output(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    (folder := tmp_path / "x").mkdir()
    file = cars_file(folder)
    options = zip(("-o", "--rejected"), names, strict=False)
    arguments = [part for option, name in options for part in (option, str(folder / name))]
    done = CliRunner().invoke(batch_cli.batch, [str(file), *arguments])
    assert done.exit_code == 2
    assert "are the same file" in done.stderr
    assert done.stderr.count("\n") == 1
    assert file.read_text() == "company\nDacia\n"


def test_an_unwritable_output_is_refused_before_the_upload(
    tmp_path: Path,
) -> None:
    output = tmp_path / "no" / "out.csv"
    done = CliRunner().invoke(batch_cli.batch, [str(cars_file(tmp_path)), "-o", str(output)])
    assert done.exit_code == 2
    assert done.stderr == f"-o {output}: there is no folder {output.parent}\n"


def test_progress_is_shown_on_terminals_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serve(monkeypatch, Bulk())
    output = tmp_path / "out.csv"
    done = CliRunner().invoke(batch_cli.batch, [str(cars_file(tmp_path)), "-o", str(output)])
    assert done.exit_code == 0
    assert done.stderr == (f"complete: 2 of 2 rows: 2 valued, 0 rejected, 0 failed -> {output}\n")


def test_the_program_shows_its_version() -> None:
    done = CliRunner().invoke(main, ["--version"])
    assert done.output == f"carprice {version.VERSION}\n"


# The command for files


def test_a_run_that_was_killed_after_its_upload_does_not_upload_again(tmp_path: Path) -> None:
    bulk = Bulk()
    run = run_of(bulk, tmp_path)
    bulk.keys.append("k1")
    run._write_state({"key": "k1"})
    run.run(Seen())
    assert bulk.keys == ["k1"], "the batch is found by its key"


def test_an_interrupted_upload_is_sent_again_with_the_same_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.protocol.files.POLL_S", 0.0)
    bulk, keys = Bulk(), []

    def breaking(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            request.read()
            keys.append(request.headers["Idempotency-Key"])
            if len(keys) < 3:
                raise httpx.WriteError("broken pipe", request=request)
        return bulk(request)

    assert run_of(breaking, tmp_path).run(Seen()).state == "SUCCEEDED"
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_download_waits_for_its_export(tmp_path: Path) -> None:
    body = {"type": "/docs/problems#form-not-ready", "title": "T", "detail": "D"}
    answers = [httpx.Response(409, json=body)] * 3 + [httpx.Response(200, content=b"PAR1")]

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["format"] == "parquet"
        return answers.pop(0)

    path = client_of(answer).download_results("b1", tmp_path / "out.parquet", form="parquet")
    assert path.read_bytes() == b"PAR1"
    with pytest.raises(ConflictError):
        client_of(lambda _: problem(409)).download_results("b1", tmp_path / "x.csv")


def run_batch(*arguments: object, stdin: str = "") -> Any:
    return CliRunner().invoke(batch_cli.batch, [str(each) for each in arguments], input=stdin)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["out.csv"], {}),
        (["out.ndjson"], {"format": "ndjson"}),
        (["OUT.PARQUET"], {"format": "parquet"}),
        (["out.txt", "--format", "csv"], {}),
        (["out.csv", "--excel-fr"], {"dialect": "excel-fr"}),
        (["out.csv", "--format", "parquet"], {"format": "parquet"}),
    ],
)
def test_suffix_or_option_select_the_format(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], asked: dict[str, str]
) -> None:
    bulk, seen = Bulk(), []

    def note(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/results"):
            seen.append(dict(request.url.params))
        return bulk(request)

    serve(monkeypatch, note)
    monkeypatch.chdir(tmp_path)
    done = run_batch(cars_file(tmp_path), "-o", *arguments)
    assert done.exit_code == 0, done.stderr
    assert seen == [asked]


def test_the_options_of_an_upload_are_those_of_the_api(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bulk, sent = Bulk(), {}

    def note(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            sent.update(request.url.params)
        return bulk(request)

    serve(monkeypatch, note)
    options = {
        "on_error": "abort", "key_column": "Ref", "encoding": "cp1252", "delimiter": "semicolon",
        "decimal": "comma", "columns": "km_driven:Km, compteur,year:#5", "header": "3",
        "constants": "company:BMW", "units": "km_driven:mi", "sheet": "Stock",
    }  # fmt: skip
    given = [part for name, text in options.items() for part in (f"--{name}", text)]
    arguments = [each.replace("_", "-") if each.startswith("--") else each for each in given]
    done = run_batch(cars_file(tmp_path), "-o", tmp_path / "out.csv", "--dry-run", *arguments)
    assert done.exit_code == 0, done.stderr
    assert sent == options | {"dry_run": "true", "header": "#3"}
    assert sent.keys() == UploadQuery().fields.keys()


def test_an_unknown_format_is_refused_before_the_upload(tmp_path: Path) -> None:
    file = cars_file(tmp_path)
    sheet = run_batch(file, "-o", tmp_path / "out.ods")
    assert sheet.exit_code == 2
    assert ".parquet" in sheet.stderr
    excel = run_batch(file, "-o", tmp_path / "out.ndjson", "--excel-fr", "--lang", "fr")
    assert excel.stderr == "--excel-fr : seulement pour un CSV, pas pour ndjson\n"


def test_standard_input_is_a_file_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bulk, bodies = Bulk(), []

    def note(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            bodies.append((request.read(), request.headers["Content-Disposition"]))
        return bulk(request)

    serve(monkeypatch, note)
    done = run_batch("-", "-o", tmp_path / "out.csv", stdin="company\nDacia\n")
    assert done.exit_code == 0, done.stderr
    assert bodies == [(b"company\nDacia\n", 'attachment; filename="stdin.csv"')]
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_messages_are_french_on_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counts = {"total": 12_345, "done": 12_345, "valid": 12_338, "invalid": 7}
    ended = batch(**counts) | {"outcome": "with_errors"}
    line = {"line": 3001, "row_key": None, "column": "Année", "value": "1", "code": "x",
            "message": "Non."}  # fmt: skip

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Accept-Language"] == "fr"
        if request.url.path.endswith("/errors"):
            return httpx.Response(200, text=(json.dumps(line) + "\n") * 7)
        if request.method == "POST":
            return httpx.Response(202, json=ended)
        return httpx.Response(200, content=b"")

    serve(monkeypatch, answer)
    output = tmp_path / "out.csv"
    done = run_batch(cars_file(tmp_path), "-o", output, "--lang", "fr")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        (
            "terminé, avec des lignes refusées : 12\u202f345 lignes sur 12\u202f345 : "
            f"12\u202f338 estimées, 7 refusées, 0 en échec -> {output}"
        ),
        *["  ligne 3001, Année : Non."] * 5,
        "  … (--rejected FICHIER donne toutes les lignes refusées)",
    ]


@pytest.mark.parametrize(
    ("language", "summary"),
    [
        ("fr", "2 lignes sur 2 : 1 estimée, 1 refusée, 0 en échec"),
        ("en", "2 of 2 rows: 1 valued, 1 rejected, 0 failed"),
    ],
)
def test_counts_of_one_are_singular(
    language: str, summary: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    counts = {"total": 2, "done": 2, "valid": 1, "invalid": 1}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, json=batch(**counts) | {"outcome": "with_errors"})
        return httpx.Response(200, content=b"")

    serve(monkeypatch, answer)
    done = run_batch(cars_file(tmp_path), "-o", tmp_path / "out.csv", "--lang", language)
    assert summary in done.stderr


def test_the_notices_of_a_file_are_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = batch(notices=(NOTICE, NOTICE | {"detail": "Encoding recognised by its words."}))
    serve(
        monkeypatch,
        lambda request: httpx.Response(202 if request.method == "POST" else 200, json=ended),
    )
    done = run_batch(cars_file(tmp_path), "-o", tmp_path / "out.csv")
    assert done.stderr.splitlines()[1:] == [
        "note: Portes: values not read: 3 (cinq, deux).",
        "note: Encoding recognised by its words.",
    ]


def test_an_interruption_shows_how_to_continue(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    serve(monkeypatch, stop)
    done = run_batch(cars_file(tmp_path), "-o", tmp_path / "out.csv", "--lang", "fr")
    assert done.exit_code == 130
    assert done.stderr == "\nInterrompu. La même commande reprendra où elle en est.\n"


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_messages_have_the_same_values_in_every_language(language: Language) -> None:
    for text in (*texts.MESSAGES.values(), *printing.TEXTS.values()):
        fields = [
            {name for _, name, _, _ in Formatter().parse(one)}
            for one in (text, translate(text, language))
        ]
        assert fields[0] - {None} == fields[1] - {None}, text


def test_a_refused_file_is_described_with_each_of_its_faults() -> None:
    faults = [{"pointer": "/header", "code": "missing-column", "detail": "year is missing."}]
    error = {"code": "unreadable-table", "detail": "No table of cars.", "errors": faults}
    refused = Batch.of(batch("FAILED") | {"error": error})
    assert str(refused.error) == "No table of cars.\n  year is missing."


def test_a_kept_valuation_is_read_again_and_waited_for() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}?{request.url.query.decode()}")
        if request.method == "POST":
            return httpx.Response(202, json={"id": "v1", "state": "QUEUED"})
        if request.url.path == "/jobs/v1":
            return httpx.Response(200, json={"id": "v1", "state": "SUCCEEDED", "result": VALUATION})
        return httpx.Response(200, json=VALUATION)

    assert client_of(answer).value(CAR, keep=True, coverage=0.5).id == "v1"
    assert asked[0] == "POST /predict?coverage=0.5&keep=true"
    assert asked[-1] == "GET /valuations/v1?coverage=0.5"
    assert client_of(lambda _: httpx.Response(201, json=VALUATION)).value(CAR, keep=True).id == "v1"
    with pytest.raises(ExpiredError):
        client_of(lambda _: problem(410)).valuation("v1")

"""Both clients survive what servers, proxies and networks do, or say what it was."""

import asyncio
import json
import logging
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from client.aio import AsyncCarPriceClient
from client.errors import (
    CarPriceError,
    DeadlineError,
    GatewayError,
    InvalidInputError,
    JobFailedError,
    ServiceUnreachableError,
    TooManyRequestsError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from client.sync import CarPriceClient
from tests.unit.client.servers import answer, hang, running, say, trickle
from tests.unit.client.test_client import CAR, VALUATION, batch

pytestmark = pytest.mark.usefixtures("_no_pauses")
PRICED = answer(json.dumps(VALUATION).encode())
JOB = json.dumps({"id": "j1", "state": "QUEUED"}).encode()
ENDED = json.dumps({"id": "j1", "state": "SUCCEEDED", "result": [VALUATION, VALUATION]}).encode()
PROBLEM = "application/problem+json"
PAGE = b"<html><body>Please log in</body></html>"
CUT = say(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b'{"id": "x"')
DIED = say(b"")
ENDLESS = {
    "head": trickle(b"x", b"HTTP/1.1 200 OK\r\nX-Slow: "),
    "body": trickle(b" ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
    "nothing": hang,
}


@pytest.mark.timeout(30)  # without a total time it would not end
@pytest.mark.parametrize("kind", ENDLESS)
def test_the_total_time_ends_a_call_however_slowly_its_answer_comes(call, kind):
    with running(ENDLESS[kind]) as (url, _), pytest.raises(DeadlineError, match=r"within 0\.4 s"):
        call(url, lambda client: client.value(CAR, timeout=0.4), retries=0)


def test_a_deadline_is_a_timeout_error_of_python(call):
    with running(hang) as (url, _), pytest.raises(TimeoutError):
        call(url, lambda client: client.job("j1"), timeout=0.2)


def test_a_service_that_is_silent_without_a_deadline_is_unreachable(call):
    with running(hang) as (url, _), pytest.raises(ServiceUnreachableError):
        call(url, lambda client: client.value_many([CAR]), timeout=0.2, retries=0)


def test_a_wait_that_takes_too_long_names_the_job(call):
    running_job = answer(json.dumps({"id": "j1", "state": "RUNNING"}).encode())
    for behaviour in (running_job, hang):
        with running(behaviour) as (url, _), pytest.raises(WaitTimeoutError) as error:
            call(url, lambda client: client.wait_job("j1", timeout=0.3))
        assert error.value.work_id == "j1"


def test_a_longer_pause_than_the_time_left_is_not_made(call):
    refused = answer(b"{}", "429 Too Many Requests", PROBLEM, Retry_After="30")
    with running(refused) as (url, heads), pytest.raises(TooManyRequestsError):
        call(url, lambda client: client.value(CAR, timeout=5))
    assert len(heads) == 1


@pytest.mark.parametrize("failure", [DIED, CUT], ids=["no answer", "half an answer"])
def test_a_call_whose_answer_is_lost_is_repeated(call, failure):
    with running(failure, PRICED) as (url, heads):
        assert call(url, lambda client: client.value(CAR)).price_mad == 187_000
    assert len(heads) == 2


def test_a_service_that_always_dies_is_unreachable(call):
    with running(CUT) as (url, heads), pytest.raises(ServiceUnreachableError, match=url):
        call(url, lambda client: client.value(CAR), retries=2)
    assert len(heads) == 3


def key_of(head: bytes) -> bytes:
    (line,) = (each for each in head.split(b"\r\n") if each.lower().startswith(b"idempotency-key"))
    return line


def test_a_submission_whose_answer_is_lost_is_repeated_with_the_same_key(call):
    with running(DIED, CUT, answer(JOB, "202 Accepted")) as (url, heads):
        assert call(url, lambda client: client.submit([CAR, CAR])).id == "j1"
    assert len({key_of(head) for head in heads}) == 1
    assert len(heads) == 3


def test_an_upload_whose_answer_is_lost_is_found_by_its_key(call, tmp_path):
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    page = answer(json.dumps({"items": [{"id": "b1"}], "next_cursor": None}).encode())
    stored = answer(json.dumps(batch("QUEUED")).encode())
    with running(DIED, page, stored) as (url, heads):
        submitted = call(url, lambda client: client.submit_file(tmp_path / "in.csv"))
    assert submitted.id == "b1"
    assert [head.split(b" ")[0] for head in heads] == [b"POST", b"GET", b"GET"]
    assert key_of(heads[0]).split()[1] in heads[1]


def test_an_upload_that_never_arrived_is_sent_again_with_the_same_key(call, tmp_path):
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    none = answer(b'{"items": [], "next_cursor": null}')
    stored = answer(json.dumps(batch("QUEUED")).encode(), "202 Accepted")
    with running(DIED, none, stored) as (url, heads):
        call(url, lambda client: client.submit_file(tmp_path / "in.csv"))
    assert key_of(heads[0]) == key_of(heads[2])


@pytest.mark.parametrize(
    ("status", "kind", "repeated"),
    [
        ("503 Service Unavailable", PROBLEM, True),
        ("429 Too Many Requests", "text/html", True),
        ("503 Service Unavailable", "text/html", False),
        ("502 Bad Gateway", "text/html", False),
    ],
)
def test_a_cancellation_is_repeated_only_if_nothing_was_done(call, status, kind, repeated):
    opened = answer(JOB)
    cancelled = answer(b'{"id": "j1", "state": "CANCELLED"}', "202 Accepted")
    with running(opened, answer(b"{}", status, kind), cancelled) as (url, heads):
        try:
            assert call(url, lambda client: client.cancel_job("j1")).state == "CANCELLED"
        except CarPriceError:
            assert not repeated
    assert len(heads) == 2 + repeated


@pytest.mark.parametrize(
    "failure",
    [
        answer(PAGE, "502 Bad Gateway", "text/html"),
        answer(PAGE, "504 Gateway Timeout", "text/html"),
        answer(b"{}", "503 Service Unavailable", PROBLEM),
        answer(b"{}", "429 Too Many Requests", PROBLEM, Retry_After="0"),
        answer(b"{}", "429 Too Many Requests", PROBLEM,
               Date="Mon, 30 Nov 2026 10:00:00 GMT", Retry_After="Mon, 30 Nov 2026 10:00:00 GMT"),
    ],
)  # fmt: skip
def test_a_refusal_for_now_is_repeated(call, failure):
    with running(failure, PRICED) as (url, _):
        assert call(url, lambda client: client.value(CAR)).price_mad == 187_000


@pytest.mark.parametrize("ahead_s", [-5000, 5000])
def test_a_date_to_retry_after_is_measured_by_the_clock_of_the_service(call, ahead_s):
    """Whatever this machine's clock says."""
    now = datetime.now(UTC) + timedelta(seconds=ahead_s)
    later = format_datetime(now + timedelta(seconds=30), usegmt=True)
    refused = answer(b"{}", "429 Too Many Requests", PROBLEM,
                     Date=format_datetime(now, usegmt=True), Retry_After=later)  # fmt: skip
    with running(refused) as (url, _), pytest.raises(TooManyRequestsError) as error:
        call(url, lambda client: client.value(CAR, timeout=5))
    assert error.value.retry_after_s == 30


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (answer(PAGE, kind="text/html"), "not of the car price service"),
        (answer(b"", "302 Found", Location="https://login.example/"), "leads to https://login"),
        (answer(b'{"id": "x"}'), "not of the car price service"),
        (answer(b"[" * 50_000), "not of the car price service"),
    ],
)
def test_an_answer_of_something_else_is_told_apart(call, page, message):
    with running(page) as (url, _), pytest.raises(UnexpectedAnswerError, match=message):
        call(url, lambda client: client.value(CAR))


def test_a_page_of_a_gateway_is_no_problem_of_the_service(call):
    with (
        running(answer(PAGE, "502 Bad Gateway", "text/html")) as (url, _),
        pytest.raises(GatewayError) as error,
    ):
        call(url, lambda client: client.value(CAR), retries=0)
    assert not error.value.is_own


def test_problems_of_a_long_list_point_to_the_car_in_it(call):
    faults = {"title": "No", "errors": [{"pointer": "/0/year", "code": "x", "detail": "Bad."}]}
    refused = answer(json.dumps(faults).encode(), "422 Unprocessable", PROBLEM)
    thousand = json.dumps({"id": "j1", "state": "SUCCEEDED", "result": [VALUATION] * 1000}).encode()
    with (
        running(answer(JOB, "202 Accepted"), answer(thousand), refused) as (url, heads),
        pytest.raises(InvalidInputError) as error,
    ):
        call(url, lambda client: client.value_many([CAR] * 1001))
    assert error.value.pointers == ("/1000/year",)
    assert key_of(heads[0]) != key_of(heads[2])


def test_warnings_of_a_long_list_point_to_the_car_in_it(call):
    warned = VALUATION | {"warnings": [{"pointer": "/0/doors", "code": "x", "detail": "No."}]}
    parts = [
        part
        for cars in ([VALUATION] * 1000, [warned])
        for part in (
            answer(JOB, "202 Accepted"),
            answer(json.dumps({"id": "j1", "state": "SUCCEEDED", "result": cars}).encode()),
        )
    ]
    with running(*parts) as (url, _):
        valuations = call(url, lambda client: client.value_many([CAR] * 1001))
    assert valuations[1000].warnings[0].pointer == "/1000/doors"


def test_no_cars_are_no_request(call):
    assert call("http://127.0.0.1:9", lambda client: client.value_many([])) == []


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "SUCCEEDED"])
def test_a_job_without_its_result_is_an_error(call, state):
    """It gives no list that is shorter than that of the cars."""
    job = {"id": "j1", "state": state, "result": None, "error": None}
    if state == "FAILED":
        job["error"] = {"code": "attempts-exhausted", "title": "T", "detail": "Gave up."}
    with (
        running(answer(JOB, "202 Accepted"), answer(json.dumps(job).encode())) as (url, _),
        pytest.raises(JobFailedError, match="Gave up" if state == "FAILED" else state),
    ):
        call(url, lambda client: client.value_many([CAR]))


def test_neither_key_nor_password_is_in_texts_logs_or_errors(call, caplog):
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    def use(client: Any) -> Any:
        shown.append(repr(client))
        return client.value(CAR)

    with running(PRICED) as (url, _):
        call(url.replace("//", "//me:pass-word@"), use, api_key="cp_secret")
    assert "HTTP Request: POST" in caplog.text
    with running(DIED) as (url, _), pytest.raises(ServiceUnreachableError) as error:
        call(url.replace("//", "//me:pass-word@"), use, api_key="cp_secret", retries=1)
    texts = [*shown, str(error.value), repr(error.value), caplog.text, repr(error.value.__cause__)]
    assert not any(word in text for text in texts for word in ("secret", "pass-word"))
    with pytest.raises(CarPriceError) as refused:
        CarPriceClient(api_key="cp_secret\nX: y")
    assert "secret" not in str(refused.value)


def test_the_key_of_an_address_is_sent_as_basic_authentication(call):
    with running(PRICED) as (url, heads):
        call(url.replace("http://", "http://me:word@"), lambda client: client.value(CAR))
    assert b"Basic bWU6d29yZA==" in heads[0]


# Downloads


def test_a_page_of_a_proxy_is_not_saved_as_results(call, tmp_path):
    with (
        running(answer(PAGE, kind="text/html; charset=utf-8")) as (url, _),
        pytest.raises(UnexpectedAnswerError),
    ):
        call(url, lambda client: client.download_results("b1", tmp_path / "out.csv"))
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_stays_cut_leaves_no_file_of_its_name(call, tmp_path):
    cut = say(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")
    with running(cut, DIED) as (url, _), pytest.raises(ServiceUnreachableError):
        call(url, lambda client: client.download_results("b1", tmp_path / "out.csv"))
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]


def test_a_response_that_does_not_tell_its_end_is_not_taken_for_complete(call, tmp_path):
    """As of a proxy that speaks HTTP/1.0."""
    cut = say(b"HTTP/1.0 200 OK\r\n\r\nhalf of ")
    rest = answer(b"it", "206 Partial Content", Content_Range="bytes 8-9/10")
    with running(cut, rest) as (url, heads):
        call(url, lambda client: client.download_results("b1", tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_bytes() == b"half of it"
    assert b"bytes=8-" in heads[1]


def test_another_range_than_the_requested_one_is_refused(call, tmp_path):
    cut = say(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")
    wrong = answer(b"xx", "206 Partial Content", Content_Range="bytes 9-10/50")
    with running(cut, wrong) as (url, _), pytest.raises(UnexpectedAnswerError):
        call(url, lambda client: client.download_results("b1", tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv").exists()


def test_a_failed_download_keeps_the_file_of_an_earlier_one(call, tmp_path):
    (tmp_path / "out.csv").write_text("yesterday")
    with running(answer(b"{}", "410 Gone", PROBLEM)) as (url, _), pytest.raises(CarPriceError):
        call(url, lambda client: client.download_results("b1", tmp_path / "out.csv"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["yesterday"]


@pytest.mark.parametrize("name", ["أسعار السيارات ✓.csv", "x" * 250 + ".csv", "é" * 120 + ".csv"])
def test_results_have_any_name_that_the_file_system_permits(call, tmp_path, name):
    with running(answer(b"a\n", kind="text/csv")) as (url, _):
        call(url, lambda client: client.download_results("b1", tmp_path / name))
    assert (tmp_path / name).read_bytes() == b"a\n"


def test_results_without_rows_are_a_file(call, tmp_path):
    with running(say(b"HTTP/1.0 200 OK\r\n\r\n")) as (url, _):
        call(url, lambda client: client.download_results("b1", tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_bytes() == b""


def test_two_downloads_to_the_same_file_do_not_mix(tmp_path):
    begun, seen = threading.Event(), []

    def slowly(connection: Any, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        begun.set()
        seen.append(over.wait(20))
        connection.sendall(b" half")

    over = threading.Event()
    with (
        running(slowly) as (url, _),
        CarPriceClient(url) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        first = threads.submit(client.download_results, "b1", tmp_path / "out.csv")
        assert begun.wait(10)
        with pytest.raises(CarPriceError, match="another download"):
            client.download_results("b1", tmp_path / "out.csv")
        over.set()
        assert first.result(20).read_bytes() == b"first half"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


# Uploads


@pytest.mark.parametrize("name", ["بيانات.csv", 'a"b\\c.csv', "a\nX-Injected: yes.csv"])
def test_the_name_of_a_file_is_sent_and_injects_no_header(call, tmp_path, name):
    (tmp_path / name).write_text("a,b\n1,2\n")
    with running(answer(json.dumps(batch("QUEUED")).encode())) as (url, heads):
        call(url, lambda client: client.submit_file(tmp_path / name))
    lines = heads[0].split(b"\r\n")
    assert not any(line.startswith(b"X-Injected") for line in heads[0].splitlines())
    (sent,) = (line for line in lines if line.lower().startswith(b"content-disposition"))
    assert b"filename*=UTF-8''" in sent


@pytest.mark.parametrize(
    ("target", "rejected", "kind"),
    [
        ("in.csv", None, ValueError),
        ("x/../in.csv", None, ValueError),
        ("out.csv", "out.csv", ValueError),
        ("out.ods", None, ValueError),
        ("no/out.csv", None, FileNotFoundError),
        ("out.csv", "no/rejected.csv", FileNotFoundError),
    ],
)
def test_targets_that_cannot_be_are_refused_before_the_upload(
    call, tmp_path, target, rejected, kind
):
    (tmp_path / "x").mkdir()
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    others = {"rejected": tmp_path / rejected} if rejected else {}
    with running(DIED) as (url, heads), pytest.raises(kind):
        call(url, lambda each: each.value_file(tmp_path / "in.csv", tmp_path / target, **others))
    assert heads == []


def test_large_files_are_sent_and_received_in_blocks(call, tmp_path):
    size, source = 24_000_000, tmp_path / "in.csv"
    with source.open("wb") as file:
        file.truncate(size)

    def send_much(connection: Any, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _number in range(size // 100_000):
            connection.sendall(b"x" * 100_000)

    with running(answer(json.dumps(batch("QUEUED")).encode()), send_much) as (url, _):
        tracemalloc.start()
        try:
            call(url, lambda client: client.submit_file(source))
            call(url, lambda client: client.download_results("b1", tmp_path / "out.csv"))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (tmp_path / "out.csv").stat().st_size == size
    assert peak < size / 4


def test_a_file_that_becomes_shorter_is_an_error_of_the_client(call, tmp_path):
    file = tmp_path / "in.csv"
    file.write_bytes(b"x" * 1_000_000)

    def cut(sent: int) -> None:
        if not sent:
            file.write_bytes(b"x" * 100)

    with running(hang) as (url, _), pytest.raises(CarPriceError, match="shorter"):
        call(url, lambda client: client.submit_file(file, on_sent=cut), retries=0)


# Threads, interruptions, event loops


def test_threads_share_a_client_and_have_deadlines_of_their_own():
    def use(number: int) -> float | str:
        if number % 2:
            return client.value(CAR, timeout=30).price_mad
        try:
            return other.value(CAR, timeout=0.2).price_mad
        except DeadlineError:
            return "over"

    with (
        running(PRICED) as (url, _),
        running(hang) as (silent, _),
        CarPriceClient(url) as client,
        CarPriceClient(silent) as other,
        ThreadPoolExecutor(8) as threads,
    ):
        answers = list(threads.map(use, range(8)))
    assert answers == ["over", 187_000] * 4


def test_an_interruption_closes_the_connection(tmp_path):
    (tmp_path / "in.csv").write_bytes(b"x" * 1_000_000)
    left = threading.Event()

    def interrupt(sent: int) -> None:
        if sent:
            raise KeyboardInterrupt

    with running(lambda *_: left.set()) as (url, _), CarPriceClient(url) as client:
        with pytest.raises(KeyboardInterrupt):
            client.submit_file(tmp_path / "in.csv", on_sent=interrupt)
        assert left.wait(10)


def test_a_cancelled_call_closes_its_connection():
    left = threading.Event()

    def wait_until_left(connection: Any, _: bytes) -> None:
        connection.recv(1)
        left.set()

    async def cancel() -> None:
        async with AsyncCarPriceClient(url) as client:
            task = asyncio.create_task(client.value(CAR))
            while not heads:  # noqa: ASYNC110 - set by the thread of the server
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(left.wait, 10)

    with running(wait_until_left) as (url, heads):
        asyncio.run(cancel())


def test_a_client_of_an_earlier_event_loop_says_so():
    with running(PRICED) as (url, _):
        client = AsyncCarPriceClient(url)
        asyncio.run(client.value(CAR))
        with pytest.raises(CarPriceError, match="another event loop"):
            asyncio.run(client.value(CAR))


@pytest.mark.parametrize("url", ["http://a..b", "http://[bad", "http://127.0.0.1:70000", "", "x"])
def test_an_address_that_is_none_is_an_error_of_the_client(call, url):
    with pytest.raises(CarPriceError):
        call(url, lambda client: client.value(CAR), retries=0)


def test_ids_are_no_paths(call):
    for strange in ("", "../jobs", "a/b", "a?b", "é"):
        with pytest.raises(CarPriceError, match="is no id"):
            call("http://127.0.0.1:9", lambda client, strange=strange: client.job(strange))


def test_an_iteration_that_is_left_closes_its_connection():
    left = threading.Event()
    line = json.dumps({"line": 1, "row_key": None, "column": None, "value": None, "code": "x",
                       "message": "m"}).encode() + b"\n"  # fmt: skip

    def send(connection: Any, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + line * 3)
        connection.recv(1)
        left.set()

    with running(send) as (url, _), CarPriceClient(url) as client:
        errors = client.batch_errors("b1")
        assert next(errors).line == 1
        errors.close()
        assert left.wait(10)

"""Conditional requests, old clients, and bodies of other shapes, over real HTTP."""

import datetime as dt
import json
import re
import socket
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.integration
FAST_PATH, FLASK = "application/json", "application/json; charset=utf-8"
OPEL = {
    "company": "Opel", "model": "Astra", "year": 2015, "fuel": "Diesel",
    "transmission": "Manual", "km_driven": 166_000,
}  # fmt: skip
FILE = (
    "company;model;year;fuel;transmission;km_driven\n"
    "Opel;Astra;2015;Diesel;Manual;166000\n"
    "Opel;Astra;1815;Diesel;Manual;166000\n"
)


@pytest.fixture(scope="module")
def addresses(service):
    """Addresses whose responses have an ETag, by the name of their route."""
    with service.client() as http:
        job = http.post("/jobs", json=OPEL, headers={"Prefer": "wait=25"}).json()
        sent = http.post("/batches", content=FILE, headers={"Content-Type": "text/csv"}).json()
        batch = http.get(f"/batches/{sent['id']}?wait=25").json()
        assert (job["state"], batch["state"]) == ("SUCCEEDED", "SUCCEEDED")
        as_page = {"Accept": "text/html"}
        pages = {page: http.get(page, headers=as_page).text for page in ("/", "/docs")}
        return {
            "job": f"/jobs/{job['id']}",
            "results": batch["links"]["results"],
            "results as NDJSON": batch["links"]["results"] + "?format=ndjson",
            "rejected rows": batch["links"]["rejected"],
            "active model": "/models/active",
            "model card": "/models/active/card",
            "file of a card": "/models/active/card.json",
            "style of a page": re.findall(r'href="(/assets/[^"]+\.css[^"]*)"', pages["/"])[0],
            "script of the docs": re.findall(r'src="(/docs/static/[^"]+)"', pages["/docs"])[0],
        }


ROUTES = (
    "job", "results", "results as NDJSON", "rejected rows", "active model", "model card",
    "file of a card", "style of a page", "script of the docs",
)  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_whoever_has_the_representation_gets_304(http, addresses, route):
    address = addresses[route]
    first = http.get(address)
    strong = first.headers["ETag"].removeprefix("W/")
    assert first.status_code == 200
    for known in (strong, f"W/{strong}", f'"x", W/{strong} , "y"', f'W/"x",{strong}', "*"):
        for method in ("GET", "HEAD"):
            again = http.request(method, address, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b""), known
            assert again.headers["ETag"] == first.headers["ETag"]
    for other in ('"x"', 'W/"x"', strong.replace('"', '"x', 1)):
        assert http.get(address, headers={"If-None-Match": other}).status_code == 200, other


@pytest.mark.parametrize("route", ROUTES)
def test_a_date_that_the_service_sent_is_a_condition_too(http, addresses, route):
    address = addresses[route]
    sent = http.get(address).headers.get("Last-Modified")
    if sent is None:
        today = format_datetime(dt.datetime.now(dt.UTC), usegmt=True)
        assert http.get(address, headers={"If-Modified-Since": today}).status_code == 200
        return
    day = dt.timedelta(days=1)
    moment = parsedate_to_datetime(sent)
    for since in (moment, moment + day):
        known = {"If-Modified-Since": format_datetime(since, usegmt=True)}
        assert http.get(address, headers=known).status_code == 304
        assert http.get(address, headers=known | {"If-None-Match": '"x"'}).status_code == 200
    for other in (format_datetime(moment - day, usegmt=True), "yesterday", ""):
        assert http.get(address, headers={"If-Modified-Since": other}).status_code == 200


def test_results_send_a_date(http, addresses):
    assert "Last-Modified" in http.get(addresses["results"]).headers


def exchange(service, request: bytes) -> bytes:
    """Send bytes to the service and return all that comes back until it closes."""
    where = urlsplit(service.url)
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize("path", ["/", "/readyz", "/jobs", "/models/active", "/openapi.json"])
def test_http_1_0_without_a_host_is_answered(service, path):
    answer = exchange(service, f"GET {path} HTTP/1.0\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.0 200 ")


@pytest.mark.parametrize("path", ["/predict", "/predict?coverage=0.5", "/jobs"])
def test_http_1_0_may_ask_for_a_price(service, path):
    body = json.dumps(OPEL).encode()
    head = f"POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    answer = exchange(service, f"{head}\r\n\r\n".encode() + body)
    assert answer.startswith((b"HTTP/1.0 200 ", b"HTTP/1.0 202 "))


@pytest.mark.parametrize("line", ["Host: rebound.example\r\n", "Host: \r\n", ""])
def test_a_browser_cannot_leave_out_the_host_to_reach_this_machine(service, line):
    for version in ("1.1",) if line != "Host: rebound.example\r\n" else ("1.0", "1.1"):
        answer = exchange(
            service, f"GET /jobs HTTP/{version}\r\n{line}Connection: close\r\n\r\n".encode()
        )
        assert answer.split(b" ", 2)[1] in {b"400", b"421"}


@pytest.mark.parametrize(
    ("body", "pointers", "hint"),
    [
        ({"instances": [OPEL]}, {"/instances"}, "POST /jobs"),
        ({"inputs": {"company": ["Opel"]}}, {"/inputs"}, "POST /jobs"),
        ({"data": OPEL}, {"/data"}, "POST /jobs"),
        ([OPEL, OPEL], {""}, "POST /jobs"),
        ([], {""}, "POST /jobs"),
        (
            {"Constructeur": "Opel", "Modèle": "Astra", "AN": 2015, "fuelType": "Diesel",
             "BV": "Manual", "Kilométrage": 166_000},
            {"/Constructeur", "/Modèle", "/AN", "/fuelType", "/BV", "/Kilométrage"},
            "company",
        ),
        ({name.title(): value for name, value in OPEL.items()},
         {f"/{name.title()}" for name in OPEL}, "company"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("language", ["fr", "en"])
def test_other_shapes_of_a_car_are_refused_alike_by_the_fast_path_and_by_flask(
    http, body, pointers, hint, language
):
    answers = [
        http.post(
            "/predict",
            content=json.dumps(body),
            headers={"Content-Type": content_type, "Accept-Language": language},
        )
        for content_type in (FAST_PATH, FLASK)
    ]
    assert answers[0].content == answers[1].content
    assert [answer.status_code for answer in answers] == [422, 422]
    errors = answers[0].json()["errors"]
    assert {each["pointer"] for each in errors} == pointers
    assert hint in errors[0]["detail"]


def test_a_list_of_cars_in_a_job_names_the_members_of_each_car(http):
    answer = http.post("/jobs", json=[OPEL, {"Marque": "Opel", "model": "Astra"}])
    assert answer.status_code == 422
    pointers = [each["pointer"] for each in answer.json()["errors"]]
    assert "/1/Marque" in pointers
    assert not [each for each in pointers if each.startswith("/0")]
    wrapped = http.post("/jobs", json={"cars": [OPEL]})
    assert wrapped.json()["errors"][0]["pointer"] == "/cars"


def test_the_error_report_is_also_a_plain_text(http, addresses):
    address = addresses["results"].replace("results", "errors")
    as_text = http.get(address, headers={"Accept": "text/plain"})
    as_lines = http.get(address)
    assert as_text.headers["Content-Type"].startswith("text/plain")
    assert as_lines.headers["Content-Type"].startswith("application/x-ndjson")
    assert as_text.content == as_lines.content

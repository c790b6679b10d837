"""Compressed responses over real HTTP hold what the identity form holds; HEAD answers as GET."""

import gzip
import json
import re

import httpx
import pytest
import zstandard

from tests.batch_parts import BAD_ROW, HEADER, cars_csv
from tests.conftest import REFERENCE_CAR, Service
from tests.integration.test_batches import upload

pytestmark = pytest.mark.integration
ROWS = 6000
CODINGS = ("gzip", "zstd")
FRAMING = {"date", "content-length", "transfer-encoding", "connection"}
BY_CODING = {"content-encoding", "etag"}
SENT_WITH_304 = ("cache-control", "content-location", "etag", "expires", "vary")

LARGE = (
    "results", "results as NDJSON", "results for Excel", "rejected rows", "errors", "long job",
    "long list", "page", "page of files", "page of problems", "model card",
    "page of a card", "data of a card", "document", "script", "style", "metrics",
)  # fmt: skip
"""Resources whose responses are compressed."""
OTHERS = (
    "workbook", "Parquet", "plot of a card", "small job", "batch", "models", "active model",
    "health", "events", "icon",
)  # fmt: skip
"""Resources whose responses are small, compressed already, or event streams."""


@pytest.fixture(scope="module")
def addresses(service: Service) -> dict[str, str]:
    """The address of every resource by its name; `Accept` is that of a page for names `page …`."""
    bad = f"{HEADER}\n" + f"{BAD_ROW}\n" * 60
    with service.client() as http:
        batch = upload(http, cars_csv(ROWS))
        refused = upload(http, bad.encode())
        links, cars = batch["links"], [REFERENCE_CAR | {"year": 2019 - n} for n in range(12)]
        long_job, small_job = (
            http.post("/jobs", json=body, headers={"Prefer": "wait=25"}).json()
            for body in (cars, REFERENCE_CAR)
        )
        assert {long_job["state"], small_job["state"]} == {"SUCCEEDED"}
        for _ in range(12):
            assert http.post("/jobs", json=REFERENCE_CAR).status_code == 202
        page, docs = (http.get(path, headers={"Accept": "text/html"}) for path in ("/", "/docs"))
        card = http.get("/models/active/card.json").text
        return {
            "results": links["results"],
            "results as NDJSON": links["results"] + "?format=ndjson",
            "results for Excel": links["results"] + "?dialect=excel-fr",
            "rejected rows": refused["links"]["rejected"],
            "errors": f"/batches/{refused['id']}/errors",
            "long job": f"/jobs/{long_job['id']}",
            "long list": "/jobs?limit=100",
            "page": "/",
            "page of files": "/fichiers",
            "page of problems": "/docs/problems",
            "model card": "/models/active/card",
            "page of a card": "/models/active/card",
            "data of a card": "/models/active/card.json",
            "document": "/openapi.json",
            "script": re.findall(r'src="(/docs/static/[^"]+bundle[^"]+)"', docs.text)[0],
            "style": re.findall(r'href="(/assets/[^"]+\.css[^"]*)"', page.text)[0],
            "metrics": "/metrics",
            "workbook": links["results"] + "?format=xlsx",
            "Parquet": links["results"] + "?format=parquet",
            "plot of a card": "/models/active/" + re.findall(r"[\w-]+\.png", card)[0],
            "small job": f"/jobs/{small_job['id']}",
            "batch": f"/batches/{batch['id']}",
            "models": "/models",
            "active model": "/models/active",
            "health": "/livez",
            "events": f"/jobs/{small_job['id']}/events",
            "icon": "/docs/static/icon.svg",
        }


def ask(
    http: httpx.Client, addresses: dict[str, str], name: str, coding: str, **more: str
) -> tuple[httpx.Response, bytes]:
    """A response, and its body as it was sent."""
    headers = {"Accept": "text/html" if name.startswith("page") else "*/*"}
    headers |= {"Accept-Encoding": coding} | more
    method = headers.pop("method", "GET")
    with http.stream(method, addresses[name], headers=headers) as response:
        return response, b"".join(response.iter_raw())


def decoded(response: httpx.Response, body: bytes) -> bytes:
    coding = response.headers.get("Content-Encoding")
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return gzip.decompress(body) if coding == "gzip" else body


def headers_of(response: httpx.Response, *left_out: str) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in left_out}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("name", LARGE)
def test_a_large_response_is_the_identity_form_compressed(
    http: httpx.Client, addresses: dict[str, str], name: str, coding: str
) -> None:
    plain, content = ask(http, addresses, name, "identity")
    packed, body = ask(http, addresses, name, f"{coding}, identity;q=0.5")
    assert (plain.status_code, packed.status_code) == (200, 200), content[:200]
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == coding
    assert len(body) < len(content) * 0.6
    if name != "metrics":
        assert decoded(packed, body) == content
    assert "accept-encoding" in plain.headers["Vary"].lower()
    differing = (*FRAMING, *BY_CODING)
    assert headers_of(plain, *differing) == headers_of(packed, *differing)
    if "ETag" in plain.headers:
        assert packed.headers["ETag"] == "W/" + plain.headers["ETag"].removeprefix("W/")


@pytest.mark.parametrize("name", OTHERS)
def test_other_responses_are_not_compressed(
    http: httpx.Client, addresses: dict[str, str], name: str
) -> None:
    plain, content = ask(http, addresses, name, "identity")
    packed, body = ask(http, addresses, name, "zstd, gzip")
    assert "Content-Encoding" not in packed.headers
    if name != "events":  # its answer is 204: the job has ended
        assert (plain.status_code, len(content) > 0) == (200, True)
    assert (packed.status_code, body) == (plain.status_code, content)
    assert headers_of(plain, "date") == headers_of(packed, "date")


@pytest.mark.parametrize("name", ["batch", "small job", "workbook", "plot of a card", "icon"])
def test_whoever_refuses_the_identity_form_gets_none(
    http: httpx.Client, addresses: dict[str, str], name: str
) -> None:
    _, content = ask(http, addresses, name, "identity")
    packed, body = ask(http, addresses, name, "gzip, identity;q=0")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert decoded(packed, body) == content


def test_whoever_refuses_all_codings_is_told_so_and_nothing_happens(http: httpx.Client) -> None:
    count = len(http.get("/jobs?limit=100").json()["items"])
    for method, path in (("GET", "/jobs"), ("POST", "/jobs"), ("POST", "/predict")):
        refused = http.request(
            method, path, json=REFERENCE_CAR, headers={"Accept-Encoding": "identity;q=0"}
        )
        assert refused.status_code == 406
        assert refused.json()["type"] == "/docs/problems#coding-not-acceptable"
        assert "zstd, gzip, identity" in refused.json()["detail"]
    assert len(http.get("/jobs?limit=100").json()["items"]) == count


def test_a_single_car_may_be_asked_for_compressed(http: httpx.Client) -> None:
    headers = {"Accept-Encoding": "gzip, identity;q=0"}
    packed = http.post("/predict", json=REFERENCE_CAR, headers=headers)
    assert packed.headers["Content-Encoding"] == "gzip"
    plain = http.post("/predict", json=REFERENCE_CAR)
    assert "Content-Encoding" not in plain.headers
    assert packed.json()["price_mad"] == plain.json()["price_mad"]


@pytest.mark.parametrize("name", LARGE + OTHERS)
def test_head_and_304_have_the_headers_of_get_and_no_body(
    http: httpx.Client, addresses: dict[str, str], name: str
) -> None:
    for coding in ("identity", "gzip"):
        got, content = ask(http, addresses, name, coding)
        head, nothing = ask(http, addresses, name, coding, method="HEAD")
        assert (head.status_code, nothing) == (got.status_code, b"")
        assert headers_of(head, *FRAMING) == headers_of(got, *FRAMING)
        if name != "metrics":
            assert head.headers.get("Content-Length", str(len(content))) == str(len(content))
        for method in ("GET", "HEAD") if "ETag" in got.headers else ():
            known = {"If-None-Match": got.headers["ETag"], "method": method}
            again, nothing = ask(http, addresses, name, coding, **known)
            assert (again.status_code, nothing) == (304, b"")
            for header in SENT_WITH_304:
                assert again.headers.get(header) == got.headers.get(header), header
            assert "Content-Encoding" not in again.headers


def test_ranges_are_those_of_the_identity_form(
    http: httpx.Client, addresses: dict[str, str]
) -> None:
    plain, content = ask(http, addresses, "results", "identity")
    tag = plain.headers["ETag"]
    assert len(content) > 500_000
    wanted = {"Range": "bytes=1000-", "If-Range": tag}
    part, body = ask(http, addresses, "results", "gzip, zstd", **wanted)
    assert (part.status_code, body) == (206, content[1000:])
    assert part.headers["ETag"] == tag
    assert "Content-Encoding" not in part.headers
    for other in (f"W/{tag}", '"x"'):
        whole, body = ask(http, addresses, "results", "gzip", **wanted | {"If-Range": other})
        assert (whole.status_code, body, whole.headers["ETag"]) == (200, content, tag)


def test_a_range_is_ignored_if_the_identity_form_is_refused(
    http: httpx.Client, addresses: dict[str, str]
) -> None:
    _, content = ask(http, addresses, "results", "identity")
    refusing = "gzip, identity;q=0"
    whole, body = ask(http, addresses, "results", refusing, Range="bytes=1000-")
    assert (whole.status_code, whole.headers["Content-Encoding"]) == (200, "gzip")
    assert decoded(whole, body) == content


def test_if_match_holds_for_the_strong_etag_only(
    http: httpx.Client, addresses: dict[str, str]
) -> None:
    plain, content = ask(http, addresses, "results", "identity")
    tag = plain.headers["ETag"]
    for good in (tag, f'"x", {tag}', "*"):
        part, body = ask(
            http, addresses, "results", "gzip", **{"If-Match": good, "Range": "bytes=0-9"}
        )
        assert (part.status_code, body) == (206, content[:10])
    for bad in ('"x"', f"W/{tag}"):
        refused, body = ask(http, addresses, "results", "identity", **{"If-Match": bad})
        assert (refused.status_code, json.loads(body)["status"]) == (412, 412)
        assert json.loads(body)["type"] == "/docs/problems#precondition-failed"


def test_a_weak_etag_does_not_satisfy_if_match_of_an_activation(http: httpx.Client) -> None:
    tag = http.get("/models/active").headers["ETag"]
    path = "/models/{}/activate".format(tag.strip('"'))
    refused = http.post(path, headers={"If-Match": f"W/{tag}"})
    assert (refused.status_code, refused.json()["status"]) == (412, 412)

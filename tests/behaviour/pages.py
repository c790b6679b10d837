"""Records all other responses: pages, problems, headers, ranges, API keys, cross-site requests."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from tests.behaviour.cars import PLAIN
from tests.behaviour.files import csv
from tests.behaviour.normal import Headers, Placeholders, digest, today
from tests.behaviour.running import Service, client, wait_until

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language": "fr"}
JSON = {"Content-Type": "application/json"}
ENGLISH = {"Accept-Language": "en"}
NOWHERE = "01m8fqj4f7z0kj5s71amqzvc4r"
TEXT_MAX = 1_500
FORM = {
    "company": "Toyota", "model": "Corolla", "year": "2020", "km_driven": "25 000",
    "fuel": "Essence", "transmission": "Manuelle", "engine_cc": "1600", "owner": "First",
    "asking_price_mad": "195 000",
}  # fmt: skip
FILE = csv(
    ("Marque", "Modèle", "Année", "Carburant", "Boîte", "Kilométrage"),
    [("Dacia", "Logan", 2018, "Diesel", "Manuelle", 120_000),
     ("Renault", "Clio", 1800, "Essence", "Manuelle", "beaucoup")],
    ";",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request and its name in the recording."""

    name: str
    method: str = "GET"
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | str | None = None
    data: dict[str, str] | None = None
    files: dict[str, Any] | None = None


def record(service: Service) -> dict[str, Any]:
    """Record the service, an API with keys, and an API without Redis and without a model."""
    with service.client() as http:
        plain = Headers(http.get("/livez").headers.multi_items())
        resources = _create_resources(http, service)
        recorded = {call.name: answer_of(http, call, plain) for call in _calls(resources)}
        recorded |= {call.name: answer_of(http, call, plain) for call in _changes(http)}
    with client(service.keys_url) as http:
        keyed = {call.name: answer_of(http, call, plain) for call in _keyed_calls(service.keys)}
    with client(service.empty_url) as http:
        empty = {call.name: answer_of(http, call, plain) for call in _empty_calls()}
    return {"pages": {"plain headers": plain.plain, **recorded}, "keys": keyed, "empty": empty}


def answer_of(http: httpx.Client, call: Call, plain: Headers) -> dict[str, Any]:
    """Send a request; return status, headers and body of the response."""
    answer = http.request(
        call.method, call.path, headers=call.headers, content=call.content, data=call.data,
        files=call.files,
    )  # fmt: skip
    names = Placeholders()
    return {
        "status": answer.status_code,
        "headers": plain.of(answer.headers.multi_items(), names),
        "body": _body(answer, names),
    }


def _body(answer: httpx.Response, names: Placeholders) -> Any:  # noqa: PLR0911 - one for each content type
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    if answer.content and kind in {"application/json", "application/problem+json"}:
        value = names.value(answer.json())
        return value if len(json.dumps(value)) < 4 * TEXT_MAX else f"<{digest(json.dumps(value))}>"
    if kind.endswith("spreadsheetml.sheet"):
        # It contains the time of its making; the tests of exports read its cells.
        return "<workbook>"
    if kind.startswith("image/") or not answer.content:
        return f"<{len(answer.content)} bytes, {digest(answer.content)}>"
    if kind == "text/event-stream":
        return [_event_line(line, names) for line in answer.text.splitlines()]
    text = names.text(answer.text)
    if kind == "text/plain" and "# HELP" in text:
        return "<metrics>"
    if len(text) <= TEXT_MAX:
        return text
    if kind == "text/html":
        lines = " ".join(digest(line)[:4] for line in text.splitlines())
        return {"digest": digest(text), "lines": lines}
    return f"<{len(text)} characters, {digest(text)}>"


def _event_line(line: str, names: Placeholders) -> Any:
    name, _, value = line.partition(": ")
    return names.value(json.loads(value)) if name == "data" else names.text(line)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Ids and addresses of the resources that the requests name."""

    model: str
    older_model: str
    job: str
    cars: str
    lost_job: str
    batch: str
    stylesheet: str


def _create_resources(http: httpx.Client, service: Service) -> Resources:
    """Create a job, a list of cars, an expired job and a batch; all have ended."""
    job, cars, lost = (
        http.post("/jobs", json=body, headers={"Prefer": "wait=30"}).json()["id"]
        for body in (PLAIN | {"asking_price_mad": 80_000}, [PLAIN, PLAIN], PLAIN)
    )
    service.home.redis("broker").delete(f"carprice:1:job:{lost}")
    sent = http.post("/batches", content=FILE, headers={"Content-Type": "text/csv",
                     "Content-Disposition": "attachment; filename=stock.csv"})  # fmt: skip
    batch = sent.json()["id"]
    wait_until(
        lambda: http.get(f"/batches/{batch}?wait=10").json()["state"] == "SUCCEEDED", "the batch"
    )
    models = [one["version"] for one in http.get("/models").json()["models"]]
    page = http.get("/", headers=BROWSER).text
    stylesheet = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
    return Resources(model=models[0], older_model=models[1], job=job, cars=cars, lost_job=lost,
                  batch=batch, stylesheet=stylesheet)  # fmt: skip


def _calls(resources: Resources) -> Iterator[Call]:
    yield from _pages(resources)
    yield from _documents(resources)
    yield from _jobs(resources)
    yield from _results(resources)
    yield from _problems()


def _pages(resources: Resources) -> Iterator[Call]:
    form = "/?exemple"
    wrong = FORM | {"year": "1800", "fuel": "", "km_driven": "beaucoup", "doors": "12"}
    yield Call(name="home", path="/", headers=BROWSER)
    yield Call(name="home, filled", path=form, headers=BROWSER)
    yield Call(name="home for programs", path="/")
    yield Call(name="home for programs, query", path="/?colour=red")
    yield Call(name="estimate", method="POST", path="/", data=FORM, headers=BROWSER)
    yield Call(name="estimate, wrong", method="POST", path="/", data=wrong, headers=BROWSER)
    odd = FORM | {"model": "Zorglub", "city": "<Fès>", "km_driven": "1 900 000"}
    yield Call(name="estimate, unknown model", method="POST", path="/", headers=BROWSER, data=odd)
    yield Call(name="estimate, empty", method="POST", path="/", headers=BROWSER)
    yield Call(name="estimation", path=f"/estimations/{resources.job}", headers=BROWSER)
    yield Call(name="estimation of a list", path=f"/estimations/{resources.cars}", headers=BROWSER)
    yield Call(name="estimation, none", path=f"/estimations/{NOWHERE}", headers=BROWSER)
    yield Call(
        name="estimation, expired", path=f"/estimations/{resources.lost_job}", headers=BROWSER
    )
    yield Call(name="estimation, no id", path="/estimations/x", headers=BROWSER)
    yield Call(name="nothing here, page", path="/nothing", headers=BROWSER)
    yield Call(name="file", path=f"/fichiers/{resources.batch}", headers=BROWSER)
    yield Call(name="file, none", path=f"/fichiers/{NOWHERE}", headers=BROWSER)
    yield Call(name="file, state", path=f"/fichiers/{resources.batch}/suivi?etat", headers=BROWSER)
    yield Call(name="file, events", path=f"/fichiers/{resources.batch}/suivi", headers=BROWSER)
    yield Call(name="file, cancelled late", method="POST",
               path=f"/fichiers/{resources.batch}/annuler", headers=BROWSER)  # fmt: skip
    yield Call(name="file, rejected", path=f"/fichiers/{resources.batch}/refusees", headers=BROWSER)
    for name in ("csv", "excel", "json", "pdf"):
        yield Call(name=f"file, {name}", path=f"/fichiers/{resources.batch}/resultats/{name}",
                   headers=BROWSER)  # fmt: skip
    yield Call(name="file, wrong", method="POST", path="/fichiers", headers=BROWSER,
               files={"file": ("x.csv", b"a,b\n1,2\n", "text/csv")})  # fmt: skip
    yield Call(name="file, missing", method="POST", path="/fichiers", headers=BROWSER,
               files={"other": ("x.csv", b"", "text/csv")})  # fmt: skip
    yield Call(name="file, no form", method="POST", path="/fichiers", headers=BROWSER, data=FORM)


def _documents(resources: Resources) -> Iterator[Call]:
    for path in ("/docs", "/redoc", "/docs/problems", "/models/active/card"):
        yield Call(name=path, path=path, headers=BROWSER)
    for name in ("page.css", "page.js", "file.js", "icon.svg", "chevron.svg", "nothing.css"):
        yield Call(name=f"asset {name}", path=f"/assets/{name}")
    for name in ("swagger.js", "docs.css", "swagger-ui.css", "redoc.standalone.js", "no.js"):
        yield Call(name=f"document asset {name}", path=f"/docs/static/{name}")
    packed = {"Accept-Encoding": "gzip"}
    yield Call(name="asset by its address", path=resources.stylesheet, headers=packed)
    yield Call(name="asset known", path="/assets/page.css", headers={"If-None-Match": "*"})
    yield Call(name="card as Markdown", path="/models/active/card")
    yield Call(name="card file", path=f"/models/{resources.model}/card.json")
    yield Call(name="card plot", path=f"/models/{resources.model}/card-importance.png")
    yield Call(name="card of the older model", path=f"/models/{resources.older_model}/card")
    yield Call(name="manifest as a card file", path=f"/models/{resources.model}/manifest.json")
    yield Call(name="models", path="/models")
    yield Call(name="active model", path="/models/active")
    yield Call(name="health", path="/health")
    yield Call(name="alive", path="/livez")
    yield Call(name="ready", path="/readyz")
    yield Call(name="metrics", path="/metrics")
    yield Call(name="sales", path="/outcomes/stats")
    yield Call(name="predictions, another day", path="/predictions/stats?date=2020-01-01")
    yield Call(name="predictions, no day", path="/predictions/stats?date=2020-13-01")
    yield Call(name="head", method="HEAD", path="/livez")
    yield Call(name="options", method="OPTIONS", path="/predict")
    yield Call(name="preflight", method="OPTIONS", path="/predict", headers={
        "Origin": "https://a.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type"})  # fmt: skip
    yield Call(name="another site asks", method="POST", path="/predict", content=json.dumps(PLAIN),
               headers=JSON | {"Origin": "https://a.example"})  # fmt: skip
    yield Call(name="another site changes", method="POST", path="/models/rollback",
               headers={"Origin": "https://a.example"})  # fmt: skip
    yield Call(name="another site uploads", method="POST", path="/batches", content=FILE, headers={
        "Content-Type": "text/csv", "Sec-Fetch-Site": "cross-site"})  # fmt: skip
    yield Call(name="another host", path="/models", headers={"Host": "evil.example"})


def _jobs(resources: Resources) -> Iterator[Call]:
    yield Call(name="job", path=f"/jobs/{resources.job}")
    yield Call(name="job, half", path=f"/jobs/{resources.job}?coverage=0.5", headers=ENGLISH)
    yield Call(name="job of cars", path=f"/jobs/{resources.cars}")
    yield Call(name="job, events", path=f"/jobs/{resources.job}/events")
    yield Call(name="job, events known", path=f"/jobs/{resources.job}/events",
               headers={"Last-Event-ID": "SUCCEEDED.1.1"})  # fmt: skip
    yield Call(name="job, cancelled late", method="DELETE", path=f"/jobs/{resources.job}")
    yield Call(name="job, expired", path=f"/jobs/{resources.lost_job}")
    yield Call(name="job, none", path=f"/jobs/{NOWHERE}", headers=ENGLISH)
    yield Call(name="job, no id", path="/jobs/x")
    yield Call(name="job, wrong wait", path=f"/jobs/{resources.job}?wait=31")
    yield Call(name="job handed in", method="POST", path="/jobs", content=json.dumps(PLAIN),
               headers=JSON | {"Prefer": "wait=30", "Idempotency-Key": "a"})  # fmt: skip
    yield Call(name="job, the key again", method="POST", path="/jobs", content=b"[]",
               headers=JSON | {"Idempotency-Key": "a"})  # fmt: skip
    yield Call(name="job, another body", method="POST", path="/jobs",
               content=json.dumps([PLAIN]), headers=JSON | {"Idempotency-Key": "a"})  # fmt: skip
    yield Call(name="job, key too long", method="POST", path="/jobs", content=json.dumps(PLAIN),
               headers=JSON | {"Idempotency-Key": "k" * 201})  # fmt: skip
    yield Call(name="job, wrong cars", method="POST", path="/jobs", headers=JSON | ENGLISH,
               content=json.dumps([PLAIN, PLAIN | {"year": 1}, 5]))  # fmt: skip
    yield Call(name="job, too many", method="POST", path="/jobs", headers=JSON,
               content=json.dumps([{}] * 1001))  # fmt: skip
    yield Call(name="list, one", path="/jobs?limit=1&kind=batch")
    yield Call(name="list by key", path="/jobs?idempotency_key=a")
    yield Call(name="list of none", path="/jobs?state=CANCELLED")
    yield Call(
        name="list, wrong", path="/jobs?state=x&kind=y&limit=0&cursor=z&from=q", headers=ENGLISH
    )
    sale = f"/valuations/{resources.job}/outcome"
    sold = {"sale_price_mad": 80_500, "sold_at": today()}
    reports: dict[str, dict[str, Any]] = {
        "new": sold,
        "again": sold,
        "corrected": sold | {"sale_price_mad": "81 000 DH"},
        "wrong price": sold | {"sale_price_mad": 5},
        "no date": {"sale_price_mad": 80_500},
        "wrong": {"sale_price_mad": 5, "sold_at": "9999-12-31", "buyer": "x"},
    }
    for name, body in reports.items():
        text = json.dumps(body)
        yield Call(name=f"sale, {name}", method="POST", path=sale, content=text, headers=JSON)
    yield Call(name="sale of none", method="POST", path=f"/valuations/{NOWHERE}/outcome",
               content=json.dumps(sold), headers=JSON)  # fmt: skip
    yield Call(name="sales by version", path="/outcomes/stats")


def _results(resources: Resources) -> Iterator[Call]:
    batch = f"/batches/{resources.batch}"
    results = f"{batch}/results"
    tag = f'"{resources.batch}-results.csv"'
    yield Call(name="batch", path=batch)
    yield Call(name="batch, events", path=f"{batch}/events")
    yield Call(name="batch, cancelled late", method="DELETE", path=batch, headers=ENGLISH)
    yield Call(name="batch, none", path=f"/batches/{NOWHERE}")
    yield Call(name="results, part", path=results, headers={"Range": "bytes=5-24"})
    yield Call(name="results, last", path=results, headers={"Range": "bytes=-10", "If-Range": tag})
    yield Call(name="results, beyond", path=results, headers={"Range": "bytes=99999-"} | ENGLISH)
    yield Call(name="results, known", path=results, headers={"If-None-Match": tag})
    yield Call(name="results, head", method="HEAD", path=results)
    yield Call(name="results, none of these", path=results, headers={"Accept": "image/png"})
    yield Call(name="results by type", path=results, headers={"Accept": "application/x-ndjson"})
    yield Call(name="results, wrong", path=f"{results}?format=pdf&dialect=x&partial=perhaps")
    yield Call(name="rejected, head", method="HEAD", path=f"{batch}/rejected")
    yield Call(name="errors, head", method="HEAD", path=f"{batch}/errors")


def _problems() -> Iterator[Call]:
    for language in ("fr", "en"):
        headers = {"Accept-Language": language}
        yield Call(name=f"nothing here, {language}", path="/nothing", headers=headers)
        yield Call(
            name=f"wrong method, {language}", method="DELETE", path="/predict", headers=headers
        )
        yield Call(name=f"wrong type, {language}", method="POST", path="/predict", content="a=b",
                   headers=headers | {"Content-Type": "text/plain"})  # fmt: skip
        yield Call(name=f"packed, {language}", method="POST", path="/predict", content="a",
                   headers=headers | JSON | {"Content-Encoding": "gzip"})  # fmt: skip
        yield Call(name=f"too large, {language}", method="POST", path="/predict",
                   content=b" " * 2_000_001, headers=headers | JSON)  # fmt: skip
        yield Call(name=f"no version, {language}", method="POST", path="/models/x/activate",
                   headers=headers)  # fmt: skip
        yield Call(name=f"another is active, {language}", method="POST", path="/models/rollback",
                   headers=headers | {"If-Match": '"x"'})  # fmt: skip
        yield Call(name=f"unknown parameter, {language}", path="/health?x=1&x=2", headers=headers)
        yield Call(name=f"odd address, {language}", path="/" + quote("é\0//"), headers=headers)


def _changes(http: httpx.Client) -> Iterator[Call]:
    """Yield requests that change other responses; afterwards the newer model is active again."""
    active = http.get("/models/active")
    version = active.json()["version"]
    yield Call(name="roll back", method="POST", path="/models/rollback",
               headers={"If-Match": active.headers["ETag"]})  # fmt: skip
    yield Call(name="activate", method="POST", path=f"/models/{version}/activate")
    yield Call(name="models, moved", path="/models")
    yield Call(name="file handed in", method="POST", path="/fichiers", headers=BROWSER,
               files={"file": ("Stock été.csv", FILE.encode(), "text/csv")})  # fmt: skip
    yield Call(name="file to check", method="POST", path="/fichiers?verifier", headers=BROWSER,
               files={"file": ("x.csv", FILE.encode(), "text/csv")})  # fmt: skip


def _keyed_calls(keys: dict[str, str]) -> Iterator[Call]:
    """Yield the requests to the API with keys."""
    body = json.dumps(PLAIN)
    for name, key in ({"nobody": "", "wrong": "cp_wrong"} | keys).items():
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        yield Call(name=f"{name}: predict", method="POST", path="/predict", content=body,
                   headers=headers | JSON | {"Prefer": "wait=30"})  # fmt: skip
        yield Call(name=f"{name}: upload", method="POST", path="/batches", content=b"x",
                   headers=headers | {"Content-Type": "text/csv"})  # fmt: skip
        yield Call(name=f"{name}: list", path="/jobs", headers=headers)
        yield Call(
            name=f"{name}: activate", method="POST", path="/models/x/activate", headers=headers
        )
        yield Call(name=f"{name}: health", path="/health", headers=headers)
        yield Call(name=f"{name}: page", path="/fichiers", headers=headers | BROWSER)
    headers = {"Authorization": f"Bearer {keys['operator']}"}
    yield Call(name="body too large", method="POST", path="/predict", content=b" " * 2001,
               headers=headers | JSON)  # fmt: skip
    yield Call(name="file too large", method="POST", path="/batches", content=FILE * 40,
               headers=headers | {"Content-Type": "text/csv"})  # fmt: skip
    form = headers | BROWSER | {"Content-Type": "application/x-www-form-urlencoded"}
    yield Call(name="page, body too large", method="POST", path="/", headers=form,
               content=b"a=" + b"b" * 2001)  # fmt: skip
    yield Call(name="too many cars", method="POST", path="/jobs", content=json.dumps([{}] * 4),
               headers=headers | JSON)  # fmt: skip
    for origin in ("https://a.example", "https://c.example"):
        yield Call(name=f"{origin} asks", method="POST", path="/predict", content=body,
                   headers=headers | JSON | {"Origin": origin})  # fmt: skip


def _empty_calls() -> Iterator[Call]:
    """Yield the requests to the API without Redis and without a model."""
    body = json.dumps(PLAIN)
    for language in ("fr", "en"):
        headers = {"Accept-Language": language}
        yield Call(name=f"predict, {language}", method="POST", path="/predict", content=body,
                   headers=headers | JSON)  # fmt: skip
        yield Call(name=f"job, {language}", path=f"/jobs/{NOWHERE}", headers=headers)
    yield Call(name="upload", method="POST", path="/batches", content=FILE,
               headers={"Content-Type": "text/csv"})  # fmt: skip
    yield Call(name="hand in a job", method="POST", path="/jobs", content=body, headers=JSON)
    yield Call(name="page", path="/", headers=BROWSER)
    yield Call(name="estimate", method="POST", path="/", data=FORM, headers=BROWSER)
    yield Call(name="files", path="/fichiers", headers=BROWSER)
    yield Call(name="health", path="/health")
    yield Call(name="ready", path="/readyz")
    yield Call(name="active model", path="/models/active")
    yield Call(name="models", path="/models")
    yield Call(name="card", path="/models/active/card", headers=BROWSER)
    yield Call(name="cache", path="/cache/stats")

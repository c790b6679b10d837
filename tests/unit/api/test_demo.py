"""A public demonstration: visitors value single cars, within limits, and do nothing else."""

import dataclasses
import re

import pytest

from api.app import create_app
from api.http.context import EXTENSION, transferring_caller
from api.middleware.visitors import LIMITS, visitor
from launcher.preflight import CannotStartError, check_keys, prepare_home
from shared.keys.entries import Scope, new_key
from shared.keys.store import FileKeyStore, write_keys
from shared.settings import Settings, SettingsError
from tests.conftest import REFERENCE_CAR as CAR
from tests.unit.api.both_paths import VERSION, Worker

OPEN = {
    ("POST", "/"),
    ("POST", "/predict"),
    *(
        ("GET", path)
        for path in (
            "/",
            "/assets/<name>",
            "/cle",
            "/comparer",
            "/docs",
            "/docs/problems",
            "/docs/static/<name>",
            "/estimations",
            "/estimations/<estimate_id>",
            "/estimations/<estimate_id>.pdf",
            "/estimations/<estimate_id>.png",
            "/health",
            "/jobs/<job_id>",
            "/livez",
            "/models/<version>/<file_name:name>",
            "/models/<version>/card",
            "/openapi.json",
            "/readyz",
            "/redoc",
            "/suggest",
            "/suggest/usual",
            "/valuations/<valuation_id>",
        )
    ),
}
"""What visitors may ask for."""
AN_ID = "01m8fqj4f7z0kj5s71amqzvc4r"
FORM = {"company": "Toyota", "model": "Corolla", "year": "2020", "km_driven": "25000"}


@pytest.fixture
def settings(servers, tmp_path):
    home = tmp_path / "home"
    (home / "versions").mkdir(parents=True)
    (home / "versions" / "ACTIVE").write_text(f"{VERSION}\n")
    return dataclasses.replace(
        servers.settings, home=home, models_path=home / "versions", host="0.0.0.0", demo="1"
    )


@pytest.fixture
def client(settings):
    return create_app(settings).test_client()


def test_a_visitor_values_a_car_by_api_and_by_page(client, servers):
    with Worker(servers):
        answer = client.post("/predict", json=CAR)
        page = client.post("/", data=FORM)
    assert (answer.status_code, page.status_code) == (200, 303)
    shown = client.get(page.headers["Location"].partition("#")[0])
    assert shown.status_code == 200
    other = client.get(
        page.headers["Location"].partition("#")[0], environ_base={"REMOTE_ADDR": "192.0.2.9"}
    )
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/jobs"),
        ("GET", "/jobs"),
        ("DELETE", f"/jobs/{AN_ID}"),
        ("POST", "/batches"),
        ("GET", f"/batches/{AN_ID}"),
        ("GET", "/models"),
        ("POST", "/models/rollback"),
        ("POST", f"/models/{VERSION}/activate"),
        ("GET", "/dead-letters"),
        ("GET", "/predictions/stats"),
        ("GET", "/metrics"),
        ("GET", "/cache/stats"),
        ("DELETE", f"/valuations/{AN_ID}"),
        ("POST", f"/valuations/{AN_ID}/outcome"),
        ("POST", f"/estimations/{AN_ID}/partage"),
        ("GET", "/fichiers"),
        ("POST", "/fichiers"),
    ],
)
def test_a_visitor_does_nothing_else(client, method, path):
    refused = client.open(path, method=method, headers={"Accept-Language": "en"})
    assert refused.status_code == 403
    assert "values single cars only" in refused.get_data(as_text=True)


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("fr", "Les fichiers demandent une clé"),
        ("ar", "الملفات تتطلب مفتاحا"),
        ("en", "Files need a key"),
    ],
)
def test_pages_offer_a_visitor_nothing_that_is_refused(client, language, title):
    query = {"lang": language}
    for path in ("/", "/estimations", "/docs"):
        page = client.get(path, query_string=query, headers={"Accept": "text/html"}).text
        assert "/fichiers" not in page
        assert "/batches" not in page.partition('id="utiliser"')[2]
    refused = client.get("/fichiers", query_string=query)
    assert refused.status_code == 403
    assert f"<h1>{title}</h1>" in refused.text
    assert "<form" not in refused.text
    links = set(re.findall(r'href="(/[^"#?]*)[?"]', refused.text)) - {"/fichiers"}
    for link in links:
        assert client.get(link).status_code in {200, 401}, link


def test_a_browser_asks_a_visitor_for_a_key_and_has_the_files_with_it(settings):
    prepare_home(settings)
    key, entry = new_key("dealer", frozenset({Scope.BULK, Scope.PREDICT}))
    write_keys(FileKeyStore.of(settings).path, [entry])
    client = create_app(settings).test_client()
    asked = client.get("/cle?lang=en")
    assert asked.status_code == 401
    assert asked.headers["WWW-Authenticate"].startswith("Basic ")
    assert client.get("/cle", auth=("any", "wrong")).status_code == 401
    given = client.get("/cle?lang=en", auth=("any", key))
    assert (given.status_code, given.headers["Location"]) == (303, "/fichiers?lang=en")
    page = client.get("/fichiers?lang=en", auth=("any", key))
    assert page.status_code == 200
    assert 'type="file"' in page.text
    assert ">A file</a>" in page.text


def test_kept_estimates_of_a_visitor_are_counted_by_address(client, servers):
    client.application.extensions[EXTENSION].estimates.quota.per_address = 1
    statuses = []
    with Worker(servers):
        for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
            sent = client.post("/", data=FORM, environ_base={"REMOTE_ADDR": address})
            statuses.append(sent.status_code)
    assert statuses == [303, 200, 303], "without a place the page shows the estimate"


def test_every_route_is_open_to_visitors_on_purpose(settings):
    """A new route is closed until it is named here."""
    app = create_app(settings)
    client = app.test_client()
    opened = set()
    for rule in app.url_map.iter_rules():
        path = rule.build(dict.fromkeys(rule.arguments, AN_ID), append_unknown=False)
        assert path is not None
        for method in set(rule.methods or ()) - {"OPTIONS", "HEAD"}:
            address = f"192.0.2.{len(opened)}"
            sent = client.open(path[1], method=method, environ_base={"REMOTE_ADDR": address})
            if sent.status_code != 403:
                opened.add((method, rule.rule))
    assert opened == OPEN


def test_each_address_has_its_own_limit(client):
    first, second = {"REMOTE_ADDR": "192.0.2.1"}, {"REMOTE_ADDR": "192.0.2.2"}
    statuses = [
        client.post("/predict", json={}, environ_base=first).status_code
        for _ in range(LIMITS.capacity + 5)
    ]
    assert statuses[: LIMITS.capacity] == [422] * LIMITS.capacity
    assert statuses[-1] == 429
    assert client.post("/predict", json={}, environ_base=second).status_code == 422


def test_a_slow_visitor_leaves_slots_to_others(settings):
    """Slots of slow bodies are counted by address, as requests are."""
    app = create_app(settings)
    names = set()
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        with app.test_request_context("/", environ_base={"REMOTE_ADDR": address}):
            app.preprocess_request()
            names.add(transferring_caller())
    assert len(names) == 2


@pytest.mark.parametrize(
    ("proxies", "forwarded", "same_as"),
    [
        (0, "198.51.100.7", "10.0.0.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "203.0.113.1, 198.51.100.7", "198.51.100.7"),
        (2, "203.0.113.1, 198.51.100.7", "203.0.113.1"),
        (2, "198.51.100.7", "10.0.0.1"),
        (1, "", "10.0.0.1"),
    ],
)
def test_only_what_trusted_proxies_say_counts(proxies, forwarded, same_as):
    found = visitor({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": forwarded}, proxies)
    assert found.bucket == visitor({"REMOTE_ADDR": same_as}, 0).bucket
    assert same_as not in found.bucket


def test_a_network_of_ipv6_is_one_visitor():
    buckets = {
        visitor({"REMOTE_ADDR": address}, 0).bucket
        for address in ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1")
    }
    assert len(buckets) == 2


def test_a_key_opens_the_rest_and_a_wrong_one_is_refused(settings):
    prepare_home(settings)
    secret, entry = new_key("operator", frozenset(Scope))
    write_keys(FileKeyStore.of(settings).path, [entry])
    client = create_app(settings).test_client()
    assert client.get("/jobs", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    wrong = {"Authorization": "Bearer wrong"}
    assert client.get("/jobs", headers=wrong).status_code == 401
    assert client.post("/predict", json={}, headers=wrong).status_code == 401
    assert client.post("/predict", json={}).status_code == 422


def test_a_key_for_estimates_opens_single_cars_only(settings):
    prepare_home(settings)
    secret, entry = new_key("site", frozenset({Scope.ESTIMATE}))
    write_keys(FileKeyStore.of(settings).path, [entry])
    client = create_app(dataclasses.replace(settings, demo="off")).test_client()
    headers = {"Authorization": f"Bearer {secret}", "Accept-Language": "en"}
    assert client.post("/predict", json={}, headers=headers).status_code == 422
    refused = client.post("/jobs", json=[], headers=headers)
    assert (refused.status_code, refused.get_json()["title"]) == (403, "Scope missing")


def test_a_page_of_another_site_stores_nothing_in_the_name_of_a_visitor(client, servers):
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://other.example"}
    with Worker(servers):
        kept = client.post("/predict?keep=true", json=CAR, headers=headers)
        page = client.post("/", data=FORM, headers=headers)
    assert kept.status_code == 403
    assert page.status_code == 200  # shown, without an address


def test_it_starts_without_keys_and_only_then(settings):
    check_keys(settings)
    with pytest.raises(CannotStartError, match="DEMO=1"):
        check_keys(dataclasses.replace(settings, demo="off"))
    with pytest.raises(SettingsError, match="DEMO='yes': expected on or off"):
        Settings.from_env({"DEMO": "yes"})


def test_on_this_machine_it_is_a_demonstration_too(settings):
    client = create_app(dataclasses.replace(settings, host="127.0.0.1")).test_client()
    assert client.get("/jobs").status_code == 403

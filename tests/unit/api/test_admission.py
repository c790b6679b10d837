"""The first thing that a call meets: who may come in, from where, and what is counted."""

import dataclasses
import io
import re

import pytest

from api.app import create_app
from api.middleware.cross_site import SAFE_METHODS
from shared.keys.entries import Scope, new_key
from shared.keys.store import write_keys
from shared.metrics import HTTP_REQUESTS
from shared.redis.servers import with_server_urls
from shared.settings import Settings, SettingsError

ELSEWHERE = {"Origin": "https://elsewhere.example"}
ID = "0" * 26
JSON_ROUTES = (
    "/", "/health", "/livez", "/readyz", "/metrics", "/cache/stats", "/predictions/stats",
    "/models", "/models/active", f"/jobs/{ID}", "/openapi.json",
)  # fmt: skip
FOREIGN_HOSTS = (
    "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "192.168.1.7:8000",
    "localhost.evil.example", "[::2]", "[", "",
)  # fmt: skip


@pytest.fixture
def settings(tmp_path):
    return with_server_urls(Settings(home=tmp_path, models_path=tmp_path / "versions"))


@pytest.fixture
def app(settings):
    """Open on loopback, without any server."""
    return create_app(settings)


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def key(settings):
    """The key of an administrator."""
    secret, entry = new_key("boss", frozenset(Scope))
    write_keys(settings.keys_file, [entry])
    return secret


class Unreadable(io.RawIOBase):
    """The body of a client who takes his time: whoever reads it hangs."""

    reads = 0

    def readable(self):
        return True

    def readinto(self, _buffer):
        self.reads += 1
        return 0


@pytest.mark.usefixtures("key")
def test_no_body_of_a_caller_without_a_key_is_ever_read(settings):
    app = create_app(settings)
    calls = [
        (method, re.sub("<[^>]*>", ID, rule.rule), mimetype)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - SAFE_METHODS
        for mimetype in ("application/json", "application/x-www-form-urlencoded", "text/csv")
        if rule.rule != "/ops/sign-in"  # its form has the key; few attempts are read
    ]
    assert len({path for _, path, _ in calls}) > 6
    for method, path, mimetype in calls:
        body = Unreadable()
        answer = app.test_client().open(
            path,
            method=method,
            environ_overrides={
                "wsgi.input": body,
                "CONTENT_LENGTH": "1000",
                "CONTENT_TYPE": mimetype,
            },
        )
        refused = 403 if path.startswith("/ops/") else 401  # the page has a form, no challenge
        if path == "/ops/sign-out":
            refused = 303
        assert (answer.status_code, body.reads) == (refused, 0), (method, path, mimetype)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/models/rollback"),
        ("POST", "/models/v1/activate"),
        ("POST", "/batches"),
        ("DELETE", f"/batches/{ID}"),
        ("DELETE", f"/jobs/{ID}"),
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        ELSEWHERE,
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
    ],
)
def test_a_page_of_another_site_changes_nothing_here(client, method, path, headers):
    answer = client.open(path, method=method, headers=headers)
    assert answer.status_code == 403
    assert answer.json["type"].endswith("#cross-site-refused")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_programs_and_our_own_pages_are_no_other_site(client, headers):
    answer = client.post("/models/rollback", headers=headers)
    assert answer.json["type"].endswith("#no-earlier-model")


def test_a_named_origin_may_cancel_but_never_administer(settings):
    named = dataclasses.replace(settings, cors_origins=ELSEWHERE["Origin"])
    client = create_app(named).test_client()
    assert client.delete("/jobs/none", headers=ELSEWHERE).status_code != 403
    for path in ("/models/rollback", "/dead-letters/x/replay"):
        assert client.post(path, headers=ELSEWHERE).status_code == 403
    preflight = client.options("/models/rollback", headers=ELSEWHERE)
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET"


def test_asking_for_a_price_is_open_to_all_sites_and_submitting_jobs_is_not(client):
    def post(path, **options):
        return client.post(path, data="{}", headers=ELSEWHERE, **options).status_code

    assert post("/predict", content_type="application/json") == 422, "refused for its car alone"
    assert post("/predict") == 415
    assert post("/jobs", content_type="application/json") == 403


PUBLIC = {
    "/predict", "/health", "/docs", "/redoc", "/openapi.json", "/docs/problems",
    "/docs/static/<name>",
}  # fmt: skip


@pytest.mark.parametrize("origins", ["*", "https://named.example", "*,https://named.example"])
@pytest.mark.parametrize("origin", ["https://named.example", "https://elsewhere.example", "null"])
def test_other_origins_read_public_routes_and_named_origins_read_all(settings, origins, origin):
    app = create_app(dataclasses.replace(settings, cors_origins=origins))
    named = origin in origins
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    assert rules >= PUBLIC
    for rule in rules:
        path = re.sub("<[^>]*>", ID, rule)
        for method in ("OPTIONS", "GET"):
            answer = app.test_client().open(path, method=method, headers={"Origin": origin})
            readable_by = answer.headers.get("Access-Control-Allow-Origin")
            answer.close()
            is_public = rule in PUBLIC and "*" in origins
            expected = "*" if is_public else origin if named else None
            assert readable_by == expected, (method, rule)
            assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/predictor", "/jobs/predict", "/docs/../jobs", "/nothing", "//"])
def test_only_exact_paths_are_public(client, path):
    answer = client.get(path, headers=ELSEWHERE)
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("given", ["https://Named.example/", "https://named.example:443"])
def test_an_origin_may_be_written_as_people_write_it(settings, given):
    client = create_app(dataclasses.replace(settings, cors_origins=given)).test_client()
    origin = "https://named.example"
    answer = client.get("/livez", headers={"Origin": origin})
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)


@pytest.mark.parametrize(
    "given", ["shop.example", "null", "https://*.example", "https://a.example/page", "https://a b"]
)
def test_what_is_no_origin_is_refused_at_the_start(given):
    with pytest.raises(SettingsError, match="CORS_ORIGINS"):
        Settings.from_env({"CORS_ORIGINS": given})


def test_a_bearer_key_is_no_forgery_and_a_remembered_password_opens_no_change(settings, key):
    client = create_app(settings).test_client()
    bearer = {"Authorization": f"Bearer {key}", **ELSEWHERE}
    assert client.post("/models/rollback", headers=bearer).status_code == 409
    assert client.post("/models/rollback", headers=ELSEWHERE, auth=("x", key)).status_code == 403


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@pytest.mark.parametrize("path", ["/", "/health", "/models", "/metrics", "/docs", "/nothing"])
def test_without_keys_only_names_of_this_machine_are_answered(client, host, path):
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 421


def test_a_foreign_host_is_refused_in_words(client):
    answer = client.get("/health", headers={"Host": "evil.example", "Accept-Language": "en"})
    assert answer.json["type"].endswith("#host-refused")
    assert "localhost" in answer.json["detail"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]:8000"])
def test_every_name_of_this_machine_is_answered(client, host):
    assert client.get("/livez", headers={"Host": host}).status_code == 200


@pytest.mark.usefixtures("key")
def test_with_keys_any_name_is_answered(settings):
    client = create_app(settings).test_client()
    assert client.get("/livez", headers={"Host": "prices.example"}).status_code == 200


def test_methods_that_nobody_knows_are_counted_as_one(client):
    for method in ("BREW", "X" * 100, "PUT"):
        client.open("/livez", method=method)
    seen = {
        sample.labels["method"] for metric in HTTP_REQUESTS.collect() for sample in metric.samples
    }
    assert "other" in seen
    assert not seen & {"BREW", "X" * 100}


@pytest.mark.parametrize("path", JSON_ROUTES)
def test_every_route_names_the_query_parameter_it_does_not_know(client, path):
    answer = client.get(f"{path}?colour=red")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["parameter"] == "colour"


def test_a_parameter_given_twice_is_refused_even_if_one_of_them_is_right(client):
    for query in ("wait=0&wait=20", "wait=0&wait=0", "coverage=0.8&coverage=0.9"):
        answer = client.get(f"/jobs/{ID}?{query}", headers={"Accept-Language": "en"})
        assert answer.status_code == 422
        (error,) = answer.json["errors"]
        assert error["code"] == "repeated-parameter"
        assert "2 times" in error["detail"]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de-DE,de;q=0.9", "fr"),
        ("en-GB, en-GB, fr;q=0.1", "en"),
        ("en, en", "en"),
        ("en-US, fr;q=0.1", "en"),
        ("de, EN-us;q=0.5", "en"),
        ("en;q=0", "fr"),
        ("*", "fr"),
        ("", "fr"),
        ("en;q=zero", None),
        ("fr;q=-1;q=9, ;;,==", None),
        ("\u00e9\u00e8", "fr"),
        ("en" * 4000, "fr"),
    ],
)
def test_whatever_language_is_asked_for_the_answer_is_french_or_english(client, header, language):
    answer = client.get("/nothing", headers={"Accept-Language": header})
    assert answer.status_code == 404
    assert answer.headers["Content-Language"] in ({language} if language else {"fr", "en"})


def test_languages_in_two_headers_are_one_list(client):
    answer = client.get("/nothing", headers=[("Accept-Language", "de"), ("Accept-Language", "en")])
    assert answer.headers["Content-Language"] in {"fr", "en"}


@pytest.mark.parametrize("name", ["company", "fuel", "year", "owner", "</p>"])
def test_what_was_typed_is_escaped_wherever_a_page_repeats_it(client, name):
    typed = "<script>alert(1)</script>\"'"
    page = client.post("/", data={name: typed}, headers={"Host": "localhost"})
    assert page.status_code == 422
    assert "<script>alert" not in page.text
    assert "\"'" not in page.text.replace("&#34;", "")


@pytest.mark.parametrize("path", ["/metrics", "/cache/stats"])
def test_the_metrics_need_the_key_of_an_admin_if_they_are_not_public(settings, path):
    keys = {scope: new_key(f"with-{scope}", frozenset({scope})) for scope in Scope}
    write_keys(settings.keys_file, [entry for _, entry in keys.values()])

    def statuses(**changes):
        client = create_app(dataclasses.replace(settings, **changes)).test_client()
        given = [None, *(f"Bearer {secret}" for secret, _ in keys.values())]
        headers = [{"Authorization": each} if each else {} for each in given]
        return dict(
            zip(
                ["none", *map(str, keys)],
                (client.get(path, headers=each).status_code for each in headers),
                strict=True,
            )
        )

    assert set(statuses().values()) == {200}
    assert statuses(metrics_public="off") == {
        "none": 401, "estimate": 403, "predict": 403, "bulk": 403, "admin": 200,
    }  # fmt: skip


def test_the_metrics_of_a_service_without_keys_are_open(settings):
    client = create_app(dataclasses.replace(settings, metrics_public="off")).test_client()
    assert client.get("/metrics").status_code == 200

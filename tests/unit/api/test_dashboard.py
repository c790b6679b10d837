"""`/ops`: who may see it, what it shows, and what operators change there."""

import dataclasses
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from api.app import create_app
from api.dashboard.access import PROXY_HEADERS
from api.dashboard.page import PARTS
from api.dashboard.sessions import (
    ALL_ATTEMPTS,
    ATTEMPTS,
    MAX_SESSION_S,
    SESSION_S,
    Session,
    Sessions,
    SignInLimit,
)
from api.http.context import EXTENSION
from api.pages.policy import PAGE_CSP
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry, ShadowPointer
from shared.domain.ids import BatchId, CallerId
from shared.keys.entries import Scope, new_key
from shared.keys.store import FileKeyStore
from shared.redis.dead_letters import DeadLetters
from shared.settings import Settings
from tests.conftest import Servers, wait_until
from tests.unit.model_store import small_models

AN_ID = "01m8fqj4f7z0kj5s71amqzvc4r"
LOCAL = {"Host": "127.0.0.1:8000"}
"""What a browser on this machine sends."""
ACTIONS = (
    "/ops/models/rollback",
    "/ops/models/no-shadow",
    "/ops/dead-letters/x/replay",
    "/ops/batches/x/retry",
)


@pytest.fixture
def settings(servers: Servers, tmp_path: Path) -> Settings:
    """Settings with a home of their own and the shared servers."""
    return dataclasses.replace(servers.settings, home=tmp_path, models_path=tmp_path / "models")


def make_client(settings: Settings) -> FlaskClient:
    return create_app(settings).test_client()


def add_key(settings: Settings, *scopes: Scope) -> str:
    key, entry = new_key("alice", frozenset(scopes))
    FileKeyStore.of(settings).change(lambda entries: [*entries, entry])
    return key


def get(client: FlaskClient, path: str = "/ops", **headers: str) -> Any:
    return client.get(path, headers=LOCAL | headers)


def post(client: FlaskClient, path: str, form: Mapping[str, str] | None = None, **more: str) -> Any:
    return client.post(path, data=form, headers=LOCAL | more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two versions, the older one active."""
    path = tmp_path_factory.mktemp("models")
    for seed in (1, 2):
        save_bundle(small_models.train(trees=2, seed=seed), path)
    registry = ModelRegistry(path)
    for each in reversed(registry.list()):
        registry.activate(each.id, by="test")
    registry.rollback(by="test")
    return path


@pytest.fixture
def with_models(settings: Settings, trained: Path) -> Settings:
    assert settings.models_path is not None
    shutil.copytree(trained, settings.models_path)
    return settings


def test_without_keys_this_machine_sees_and_changes_everything(with_models: Settings) -> None:
    client = make_client(with_models)
    page = get(client, "/ops?lang=en")
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"] == PAGE_CSP
    assert page.headers["Cache-Control"] == "private, no-store"
    assert "Roll back to the version before" in page.text
    newest, active = ModelRegistry(with_models.versions_path).list()
    assert f"/ops/models/{newest.id}/activate" in page.text
    assert f"/ops/models/{active.id}/activate" not in page.text


@pytest.mark.parametrize("name", PROXY_HEADERS)
def test_a_request_through_a_proxy_is_not_of_this_machine(settings: Settings, name: str) -> None:
    client = make_client(settings)
    assert get(client, **{name: "127.0.0.1"}).status_code == 403
    assert post(client, "/ops/models/rollback", **{name: "127.0.0.1"}).status_code == 403


@pytest.mark.parametrize(
    ("change", "sent"),
    [
        ({"trusted_proxies": 1}, {}),
        ({"demo": "1"}, {}),
        ({}, {"REMOTE_ADDR": "192.0.2.1"}),
        ({}, {"SERVER_PROTOCOL": "HTTP/1.0"}),
        ({}, {"SERVER_PROTOCOL": "HTTP/1"}),
        ({}, {"REMOTE_ADDR": ""}),
        ({"public_url": "https://prices.example"}, {}),
    ],
)
def test_others_get_the_form_to_sign_in(
    settings: Settings, change: dict[str, Any], sent: dict[str, str]
) -> None:
    client = make_client(dataclasses.replace(settings, **change))
    for path in ("/ops", "/ops/events"):
        refused = client.get(path, headers=LOCAL, environ_overrides=sent)
        assert refused.status_code == 403
        assert 'name="key"' in refused.text
    for path in ACTIONS:
        assert client.post(path, headers=LOCAL, environ_overrides=sent).status_code == 403


def test_a_public_address_that_is_this_machine_says_of_no_proxy(settings: Settings) -> None:
    local = dataclasses.replace(settings, public_url="http://localhost:8000/")
    assert get(make_client(local)).status_code == 200


def test_a_name_of_another_site_that_leads_here_sees_nothing(settings: Settings) -> None:
    add_key(settings, Scope.ADMIN)
    assert get(make_client(settings), Host="evil.example").status_code == 403


def test_with_keys_this_machine_may_look_and_changes_need_a_key(with_models: Settings) -> None:
    key = add_key(with_models, Scope.ADMIN)
    client = make_client(with_models)
    page = get(client, "/ops?lang=en")
    assert page.status_code == 200
    assert "Changes need an admin key" in page.text
    assert "/activate" not in page.text
    for path in ACTIONS:
        assert post(client, path).status_code == 403
    rolled_back = post(client, "/ops/models/rollback", Authorization=f"Bearer {key}")
    assert rolled_back.status_code in {303, 409}


def sign_in(client: FlaskClient, key: str) -> Any:
    return client.post("/ops/sign-in", data={"key": key}, environ_base={"REMOTE_ADDR": "192.0.2.1"})


def far(client: FlaskClient, path: str = "/ops?lang=en") -> Any:
    """Ask for a page from another machine."""
    return client.get(path, environ_base={"REMOTE_ADDR": "192.0.2.1"})


def test_a_key_opens_a_session_that_ends_with_the_key(with_models: Settings) -> None:
    key = add_key(with_models, Scope.ADMIN)
    client = make_client(with_models)
    assert far(client).status_code == 403
    signed = sign_in(client, key)
    assert signed.status_code == 303
    cookie = signed.headers["Set-Cookie"]
    assert key not in cookie
    for part in ("HttpOnly", "SameSite=Strict", "Path=/ops", "Max-Age=3600"):
        assert part in cookie
    page = far(client)
    assert page.status_code == 200
    assert "Sign out (alice)" in page.text
    changed = client.post("/ops/models/rollback", environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert changed.status_code in {303, 409}
    # The keys are looked at once a second.
    store = FileKeyStore.of(with_models)
    store.change(lambda _: [])
    wait_until(lambda: far(client).status_code == 403, what="the revoked key opens nothing")


def test_a_form_that_is_larger_than_any_key_is_not_read(settings: Settings) -> None:
    add_key(settings, Scope.ADMIN)
    assert sign_in(make_client(settings), "x" * 5000).status_code == 413


def test_the_cookie_is_for_https_alone_where_readers_use_it(settings: Settings) -> None:
    key = add_key(settings, Scope.ADMIN)
    secure = dataclasses.replace(settings, public_url="https://prices.example")
    assert "Secure" in sign_in(make_client(secure), key).headers["Set-Cookie"]


@pytest.mark.parametrize("scope", [Scope.PREDICT, Scope.BULK, Scope.ESTIMATE])
def test_other_keys_open_no_session(settings: Settings, scope: Scope) -> None:
    key = add_key(settings, scope)
    client = make_client(settings)
    for each in (key, "cp_wrong", ""):
        refused = sign_in(client, each)
        assert refused.status_code == 403
        assert "Set-Cookie" not in refused.headers


def test_wrong_keys_are_limited_and_lock_nobody_out(settings: Settings) -> None:
    key = add_key(settings, Scope.ADMIN)
    client = make_client(settings)
    statuses = [sign_in(client, "cp_wrong").status_code for _ in range(ATTEMPTS)]
    assert statuses == [403] * ATTEMPTS
    refused = sign_in(client, "cp_wrong")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    # Behind a proxy, whoever sends wrong keys may have the address of the operator.
    assert sign_in(client, key).status_code == 303


@pytest.mark.parametrize("path", [*ACTIONS, "/ops/sign-in"])
def test_a_page_of_another_site_changes_nothing(settings: Settings, path: str) -> None:
    client = make_client(settings)
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert post(client, path, **headers).status_code == 403
    named = make_client(dataclasses.replace(settings, cors_origins="https://shop.example"))
    assert post(named, path, Origin="https://shop.example").status_code == 403


def test_models_are_activated_and_rolled_back_by_forms(with_models: Settings) -> None:
    app = create_app(with_models)
    registry = ModelRegistry(with_models.versions_path)
    # Without the self-test of a child process, which compiles the kernels of the forest.
    app.extensions[EXTENSION] = dataclasses.replace(app.extensions[EXTENSION], registry=registry)
    client = app.test_client()
    newest, active = registry.list()
    done = post(client, f"/ops/models/{newest.id}/activate")
    assert (done.status_code, done.headers["Location"]) == (303, "/ops?done=activated#models")
    assert registry.active_version() == newest.id
    assert registry.history()[-1].by == "local"
    assert "The version is active." in get(client, "/ops?lang=en&done=activated").text
    assert post(client, "/ops/models/rollback").status_code == 303
    assert registry.active_version() == active.id
    assert post(client, f"/ops/models/{newest.id}/shadow", {"percent": "25"}).status_code == 303
    assert "shadow, 25% of the cars" in get(client, "/ops?lang=en").text
    assert post(client, "/ops/models/no-shadow").status_code == 303
    unknown = post(client, "/ops/models/2020-01-01T000000-aaaaaa/activate?lang=en")
    assert unknown.status_code == 404
    assert 'role="alert"' in unknown.text


def test_given_up_work_is_listed_and_forgotten(settings: Settings, servers: Servers) -> None:
    letters = DeadLetters(servers.broker, time.time)
    letters.add_step(BatchId(AN_ID), CallerId("<b>bob</b>"), "7", "worker-lost", 5)
    client = make_client(settings)
    page = get(client, "/ops?lang=en").text
    assert f"/ops/dead-letters/{AN_ID}-7/replay" in page
    assert "&lt;b&gt;bob&lt;/b&gt;" in page
    refused = post(client, f"/ops/dead-letters/{AN_ID}-7/replay")
    assert refused.status_code == 409  # its batch is gone
    assert post(client, f"/ops/dead-letters/{AN_ID}-7/drop").status_code == 303
    assert letters.all() == []
    assert post(client, f"/ops/batches/{AN_ID}/retry").status_code == 404


def test_the_page_is_there_without_servers(settings: Settings) -> None:
    down = dataclasses.replace(
        settings, redis_url="redis://127.0.0.1:1/0", cache_url="redis://127.0.0.1:1/0"
    )
    page = get(make_client(down), "/ops?lang=en")
    assert page.status_code == 200
    assert "broker does not answer" in page.text
    assert "cache does not answer" in page.text


def test_events_tell_the_parts_and_end_with_the_session(settings: Settings) -> None:
    key = add_key(settings, Scope.ADMIN)
    client = make_client(settings)
    sign_in(client, key)
    answer = far(client, "/ops/events?lang=en")
    events = iter(answer.response)
    first = next(events)
    parts = orjson.loads(first.removeprefix(b"data: "))
    assert set(parts) == set(PARTS)
    assert "Queues and backlog" in parts["queues"]
    FileKeyStore.of(settings).change(lambda _: [])
    assert any(each.startswith(b"event: end") for each in events)
    answer.close()


def test_a_stream_ends_when_its_bearer_key_is_revoked(settings: Settings) -> None:
    key = add_key(settings, Scope.ADMIN)
    answer = get(make_client(settings), "/ops/events", Host="x", Authorization=f"Bearer {key}")
    events = iter(answer.response)
    assert next(events).startswith(b"data: ")
    FileKeyStore.of(settings).change(lambda _: [])
    assert any(each.startswith(b"event: end") for each in events)
    answer.close()


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
def test_a_page_of_another_site_holds_no_stream(
    settings: Settings, headers: dict[str, str]
) -> None:
    refused = get(make_client(settings), "/ops/events", **headers)
    assert (refused.status_code, refused.mimetype) == (403, "application/problem+json")


def test_only_so_many_pages_are_kept_up_to_date(settings: Settings) -> None:
    app = create_app(settings)
    streams = app.extensions[EXTENSION].operations.streams
    while streams.acquire(blocking=False):
        pass
    refused = get(app.test_client(), "/ops/events")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")


@pytest.mark.parametrize("percent", ["", "ten", "0", "101", "1e2", "-5", "10%", "0.5", "9" * 5000])
def test_a_share_that_is_no_percentage_is_refused_with_words(
    with_models: Settings, percent: str
) -> None:
    client = make_client(with_models)
    newest, _ = ModelRegistry(with_models.versions_path).list()
    for language, said in (
        ("en", "is not a percentage: write a whole number from 1 to 100"),
        ("fr", "n&#39;est pas un pourcentage"),
        ("ar", "ليست نسبة مئوية"),
    ):
        path = f"/ops/models/{newest.id}/shadow?lang={language}"
        refused = post(client, path, {"percent": percent})
        assert refused.status_code == 422
        assert 'role="alert"' in refused.text
        assert said in refused.text
    assert ShadowPointer(with_models.versions_path).read() is None


def test_a_share_may_be_written_in_arabic_digits(with_models: Settings) -> None:
    client = make_client(with_models)
    newest, _ = ModelRegistry(with_models.versions_path).list()
    path = f"/ops/models/{newest.id}/shadow"
    assert post(client, path, {"percent": " \N{ARABIC-INDIC DIGIT FIVE} "}).status_code == 303
    shadow = ShadowPointer(with_models.versions_path).read()
    assert shadow is not None
    assert shadow.share == 0.05


def test_a_session_is_what_this_home_has_signed_and_lasts_an_hour() -> None:
    now = [1_000.0]
    sessions = Sessions(lambda: now[0], lambda: b"secret")
    session = sessions.begin("0123456789ab")
    assert session == Session("0123456789ab", 1_000)
    cookie, max_age_s = sessions.issue(session)
    assert max_age_s == SESSION_S
    assert sessions.read(cookie) == session
    head, _, signature = cookie.rpartition(".")
    later = head.replace("4600", "9999")
    for forged in ("", "..", "...", f"{later}.{signature}", f"{head}.{signature[:-1]}x", "é.1.é"):
        assert sessions.read(forged) is None
    for other in (b"other", None):
        assert Sessions(lambda: now[0], lambda secret=other: secret).read(cookie) is None
    assert Sessions(lambda: now[0], lambda: b"secret").read(cookie) == session
    now[0] += SESSION_S
    assert sessions.read(cookie) is None


def test_a_session_that_is_renewed_ends_nevertheless() -> None:
    now = [1_000.0]
    sessions = Sessions(lambda: now[0], lambda: b"secret")
    cookie, _ = sessions.issue(sessions.begin("0123456789ab"))
    while (session := sessions.read(cookie)) is not None:
        cookie, max_age_s = sessions.issue(session)
        assert now[0] + max_age_s <= 1_000 + MAX_SESSION_S
        now[0] += SESSION_S / 2
        assert now[0] <= 1_000 + MAX_SESSION_S, "a renewed session has no end"
    assert now[0] == 1_000 + MAX_SESSION_S


def test_a_page_continues_the_session_and_does_not_begin_another(settings: Settings) -> None:
    key = add_key(settings, Scope.ADMIN)
    app = create_app(settings)
    client = app.test_client()
    begun = sign_in(client, key).headers["Set-Cookie"].partition(";")[0]
    sessions = app.extensions[EXTENSION].operations.sessions
    first = sessions.read(begun.partition("=")[2])
    sessions._clock = lambda: first.began + MAX_SESSION_S - 5.0
    old, _ = sessions.issue(first)
    client.set_cookie(sessions.cookie, old, path="/ops")
    renewed = far(client).headers["Set-Cookie"]
    assert sessions.read(renewed.partition("=")[2].partition(";")[0]) == first
    assert "Max-Age=5" in renewed
    sessions._clock = lambda: first.began + MAX_SESSION_S + 0.0
    assert far(client).status_code == 403


def test_attempts_of_all_networks_are_limited_for_a_minute() -> None:
    now = [0.0]
    limit = SignInLimit(lambda: now[0])
    assert sum(limit.admits(str(number)) for number in range(500)) == ALL_ATTEMPTS
    now[0] += 60
    assert sum(limit.admits("loud") for _ in range(500)) == ATTEMPTS
    assert limit.admits("other")

"""Event streams: what many of one batch share, and what becomes of one whose client stalls."""

import asyncio
import dataclasses
import json

import pytest

from api.app import create_app, create_asgi_app
from api.events import views
from api.events.snapshots import KEPT_BATCHES, BatchBodies
from api.transport import state_routes
from shared.domain.ids import BatchId, new_id
from tests.conftest import REFERENCE_CAR as CAR
from tests.unit.api.both_paths import VERSION, call
from tests.unit.api.both_paths import body as posted


@dataclasses.dataclass(frozen=True)
class Manifest:
    id: BatchId
    model_version: str = "v1"


@dataclasses.dataclass(frozen=True)
class Batch:
    """A batch as `BatchBodies` sees it."""

    manifest: Manifest
    done: int


def test_streams_of_one_batch_share_the_json_of_each_state():
    bodies, dumped = BatchBodies(lambda version: {"version": version}), []

    def dump(batch):
        dumped.append(batch)
        return b"%d" % batch.done

    def ask(name, done, language="en"):
        return bodies.body(Batch(Manifest(name), done), language, dump)

    told = [ask("a", done, language) for done in (1, 1, 2, 2) for language in ("en", "ar")]
    assert told == [b"1"] * 4 + [b"2"] * 4
    assert len(dumped) == 4
    for number in range(KEPT_BATCHES):
        ask(f"other{number}", 1)
    assert len(bodies._kept) == KEPT_BATCHES


def test_the_first_state_of_a_stream_says_of_what_month_its_model_is_once_the_host_has_it():
    known = {}
    bodies = BatchBodies(lambda version: {"version": version, "data_as_of": known.get(version)})

    def ask(version):
        dump = json.dumps(known.get(version)).encode()
        return bodies.body(Batch(Manifest(BatchId("a"), version), 1), "en", lambda _: dump)

    assert ask("v1") == ask("v1") == b"null"
    known["v1"] = "2026-10"
    assert ask("v1") == b'"2026-10"'


@pytest.fixture
def app(servers, tmp_path):
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "ACTIVE").write_text(f"{VERSION}\n")
    settings = dataclasses.replace(
        servers.settings, home=tmp_path, models_path=tmp_path / "versions"
    )
    return create_app(settings)


async def read_stream(app, send):
    """Open the stream of a new job."""
    accepted = await call(app, posted(json.dumps(CAR).encode(), path="/jobs"), [])
    path = f"/jobs/{accepted.id}/events"
    scope = {
        "type": "http", "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", "1"),
        "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
    }  # fmt: skip

    async def receive():
        await asyncio.Event().wait()

    await asyncio.wait_for(app(scope, receive, send), 20)


def stalls():
    return asyncio.Event().wait()


async def breaks():
    raise ZeroDivisionError("nobody thought of this")


@pytest.mark.parametrize("end", [stalls, breaks])
def test_a_stream_that_cannot_go_on_gets_no_second_head(app, monkeypatch, end):
    monkeypatch.setattr(state_routes, "SEND_TIMEOUT_S", 0.05)
    front, heads = create_asgi_app(app), []

    async def send(message):
        if message["type"] == "http.response.start":
            heads.append(message["status"])
        elif heads:
            await end()

    asyncio.run(read_stream(front, send))
    assert heads == [200]


def test_the_data_of_events_are_dumped_once_for_all(app, monkeypatch):
    """As the views use it: by the services of the application."""
    dumped = []

    def serialize(batch, *_):
        dumped.append(batch)
        return {}

    monkeypatch.setattr(views, "serialize_batch", serialize)
    batch = Batch(Manifest(BatchId(new_id())), 1)
    for _ in range(3):
        assert views.dump_batch_event(app, batch, "en") == b"{}"
    views.dump_batch_event(app, batch, "fr")
    assert len(dumped) == 2

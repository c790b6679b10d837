"""Clients that leave while something waits for them: nothing waits any longer."""

import asyncio
import dataclasses
import json
from urllib.parse import urlencode

import pytest

from api.app import create_app, create_asgi_app
from shared.redis import keys
from tests.conftest import REFERENCE_CAR as CAR
from tests.unit.api.both_paths import SILENT_KM, VERSION, call
from tests.unit.api.both_paths import body as posted

UNKNOWN = "0" * 26
FORM = "application/x-www-form-urlencoded"


async def left(app, path, headers=(), body=None):
    """Send a request and leave; the status when the application has given it up, if any."""
    content = b"" if body is None else body
    raw = [(b"host", b"127.0.0.1"), *((n.encode(), v.encode()) for n, v in headers)]
    if body is not None:
        raw += [(b"content-length", b"%d" % len(content))]
        raw += [(b"content-type", b"application/json")] * (b"content-type" not in dict(raw))
    name, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", "1"),
        "method": "GET" if body is None else "POST", "path": name, "raw_path": name.encode(),
        "query_string": query.encode(), "headers": raw,
    }  # fmt: skip
    to_come = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive():
        return to_come.pop() if to_come else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)  # nobody reads it

    sent = []
    await app(scope, receive, send)
    return sent[0]["status"] if sent else None


QUIET = CAR | {"km_driven": SILENT_KM}
MANY = json.dumps([QUIET] * 200).encode()


@pytest.mark.parametrize("switch", ["on", "off"])
def test_clients_that_leave_hold_no_threads(servers, tmp_path, switch):
    """Neither those of polls that only Flask answers, nor those that wait for a large list."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "ACTIVE").write_text(f"{VERSION}\n")
    settings = dataclasses.replace(
        servers.settings, home=tmp_path, models_path=tmp_path / "versions", fast_path=switch
    )
    app = create_asgi_app(create_app(settings))

    async def leave_all():
        accepted = await call(app, posted(json.dumps(CAR).encode(), path="/jobs"), [])
        poll = f"/jobs/{accepted.id}?wait=30"
        batch = f"/batches/{UNKNOWN}?wait=30"
        await left(app, poll)
        await left(app, poll, {"range": "bytes=0-"}.items())
        await left(app, poll, {"if-match": "*"}.items())
        await left(app, batch, {"if-match": "*"}.items())
        await left(app, "/jobs", {"prefer": "wait=30"}.items(), MANY)

    asyncio.run(asyncio.wait_for(leave_all(), 25))


@pytest.mark.parametrize(
    ("path", "switch", "form"),
    [
        ("/predict", "on", False),
        ("/predict", "off", False),
        ("/predict?coverage=0.9", "on", False),
        ("/", "on", True),
    ],
)
def test_a_car_whose_client_leaves_becomes_no_job(servers, tmp_path, path, switch, form):
    """Nobody waits for its worker any more; the request counts as one that broke off."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "ACTIVE").write_text(f"{VERSION}\n")
    settings = dataclasses.replace(
        servers.settings, home=tmp_path, models_path=tmp_path / "versions", fast_path=switch,
        predict_wait_s=20,
    )  # fmt: skip
    servers.broker.flushall()
    app = create_asgi_app(create_app(settings))
    headers = [("content-type", FORM)] if form else []
    body = urlencode(QUIET) if form else json.dumps(QUIET)
    assert asyncio.run(left(app, path, headers, body.encode())) == 400
    assert servers.broker.zcard(keys.OPEN_JOBS) == 0
    if (path, switch) == ("/predict", "on"):
        assert app._admission._done == 0, "its effort does not count as the speed of workers"

"""The documented nginx configuration lets every body through that the service reads."""

import re
from pathlib import Path

import pytest
from flask import request

from api.app import create_app
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from tests.conftest import ROOT

RUNBOOK = ROOT / "docs" / "runbook.md"
UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}
ID = "01J0000000000000000000000A"


def locations() -> list[tuple[str, str, int]]:
    """The locations of the configuration: modifier, address, largest body in bytes."""
    (block,) = re.findall(r"```nginx\n(.*?)```", RUNBOOK.read_text(encoding="utf-8"), re.DOTALL)
    found = re.findall(
        r"location (?:(=|~) )?(\S+) \{(?:[^}]*?)client_max_body_size (\d+)([kmg]);", block
    )
    return [(way, at, int(size) * UNITS[unit]) for way, at, size, unit in found]


def allowed_bytes(path: str) -> int:
    """What nginx lets through to a path: exact locations first, then expressions, then prefixes."""
    ways = locations()
    exact = [size for way, at, size in ways if way == "=" and at == path]
    matching = [size for way, at, size in ways if way == "~" and re.search(at, path)]
    prefixed = [(len(at), size) for way, at, size in ways if not way and path.startswith(at)]
    return [*exact, *matching, max(prefixed)[1]][0]


@pytest.fixture
def read_bytes(tmp_path: Path) -> dict[str, int]:
    """What each route that takes a body reads at most, without servers and without a model."""
    app = create_app(with_server_urls(Settings(home=tmp_path, models_path=tmp_path / "versions")))
    found: dict[str, int] = {}

    @app.after_request
    def note(response):
        found[request.path] = request.max_content_length or 0
        return response

    client = app.test_client()
    for rule in app.url_map.iter_rules():
        for method in {"POST", "PUT", "PATCH"} & (rule.methods or set()):
            path = re.sub(r"<[^>]+>", ID, rule.rule)
            client.open(path, method=method, data=b"x", content_type="text/csv")
    return found


def test_the_documented_proxy_lets_through_what_every_route_reads(read_bytes):
    too_small = {
        path: (allowed_bytes(path), size)
        for path, size in read_bytes.items()
        if allowed_bytes(path) < size
    }
    assert too_small == {}


def test_the_routes_that_take_files_are_known(read_bytes):
    upload = Settings().upload_max_bytes
    assert {path for path, size in read_bytes.items() if size >= upload} == {
        "/batches", f"/batches/{ID}/corrections", "/fichiers", f"/fichiers/{ID}/corriger",
    }  # fmt: skip
    others = [path for path, size in read_bytes.items() if size < upload]
    assert {allowed_bytes(path) for path in others} <= {2 * UNITS["m"], 4 * UNITS["m"]}

"""Generated requests: no server error, and every response is as the OpenAPI document says.

schemathesis derives the requests from the document: its examples, the limits of every parameter,
values that the document forbids, and sequences of calls that follow the ids of earlier answers,
event streams included. `make fuzz` (`FUZZ_SECONDS`) generates new ones for a given time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from launcher.environment import child_environment
from launcher.procfile import read_procfile
from scripts.ports import reserve_port
from shared.keys.entries import Scope, new_key
from shared.keys.store import write_keys
from shared.settings import Settings
from tests.conftest import ROOT, short_folder, stop, wait_until

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
"""Time for each run of generated requests; 0: the short, repeatable one."""

NOT_CHECKED = {
    # JSON Schema cannot state rules between parameters, nor what an uploaded file must hold.
    "positive_data_acceptance",
    # DELETE of an open job only asks it to end (202); 410 after 204: see `test_jobs.py`.
    "use_after_free",
}


EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["progress", "end"]},
        "id": {"type": "string", "minLength": 1},
        "data": {"type": "string", "pattern": "^[{].*[}]$"},
    },
    "required": ["event", "id", "data"],
}
"""The schema of an event of a stream."""


def generate(url, phases, folder, not_checked=frozenset(), *options):
    """Send generated requests; fails with the report if a check fails."""
    extent = (
        ["--max-time", str(int(SECONDS))] if SECONDS else ["--max-examples", "2", "--seed", "1"]
    )
    program = Path(sys.executable).with_name("st")
    report, described = folder / "report.txt", folder / "openapi.json"
    described.write_text(json.dumps(document_of(url)))
    with report.open("w") as output:
        finished = subprocess.run(
            [program, "run", described, "--url", url, "--phases", phases, "--no-color",
             "--exclude-checks", ",".join(NOT_CHECKED | not_checked), "--continue-on-failure",
             "--request-timeout", "40", *extent, *options],
            cwd=folder, stdout=output, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    assert finished.returncode == 0, report.read_text()


def test_generated_requests_get_documented_answers(service, tmp_path):
    phases = "examples,coverage,fuzzing,stateful" if SECONDS else "examples,coverage,stateful"
    generate(service.url, phases, tmp_path)


def document_of(url):
    """The OpenAPI document. schemathesis takes the schema of a stream for that of its events.

    In the document it is a text, which is what generated clients receive.
    """
    document = httpx.get(f"{url}/openapi.json").json()
    for path in document["paths"].values():
        content = path.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        if "text/event-stream" in content:
            content["text/event-stream"] = {"schema": EVENT}
    return document


@pytest.fixture(scope="module")
def api_with_keys(session_servers):
    """URL of an API with keys, without model and workers; and a key for single cars only."""
    with short_folder() as home:
        secret, entry = new_key("fuzz", frozenset({Scope.PREDICT}))
        write_keys(home / "api-keys.json", [entry])
        settings = Settings(
            home=home,
            models_path=home / "models",
            port=reserve_port(),
            redis_url=session_servers.settings.redis_url,
            cache_url=session_servers.settings.cache_url,
            predict_wait_s=0.1,
        )
        settings.versions_path.mkdir(parents=True)
        (home / "metrics").mkdir()
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {read_procfile(ROOT / 'Procfile')['api']}"],
            cwd=ROOT,
            env=child_environment(settings, os.environ),
        )
        url = f"http://127.0.0.1:{settings.port}"
        try:
            wait_until(lambda: is_alive(url), 60)
            yield url, secret
        finally:
            stop(process)


def is_alive(url):
    try:
        return httpx.get(f"{url}/livez").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_key_of_one_scope_and_wrong_keys_get_documented_answers(api_with_keys, tmp_path):
    url, secret = api_with_keys
    # Without a model, whatever needs one is 503 as documented.
    header = f"Authorization: Bearer {secret}"
    generate(url, "coverage", tmp_path, {"not_a_server_error"}, "--header", header)

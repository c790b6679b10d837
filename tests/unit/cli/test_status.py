"""`carprice status`: what a service tells, of this environment or at an address."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from cli.main import main
from launcher.readiness import api_state, server_error, trouble
from shared.i18n.catalogue import translate
from shared.i18n.languages import LANGUAGES, Language
from tests.unit.client.servers import Behaviour, answer, running

READY: dict[str, Any] = {
    "status": "degraded",
    "checks": [
        {"name": "broker", "ok": True, "required": True, "latency_ms": 1.0, "detail": "8 MB"},
        {"name": "workers", "ok": False, "required": False, "latency_ms": 1.0, "detail": "bulk: 0"},
    ],
}
MODEL = {
    "version": "m1", "active": True, "created_at": "2026-11-01T00:00:00+00:00",
    "data_as_of": "2026-06",
}  # fmt: skip
PROBLEM = "application/problem+json"


def said_by(body: object, status: str = "200 OK", kind: str = "application/json") -> Behaviour:
    return answer(json.dumps(body).encode(), status, kind)


def test_a_service_at_an_address_is_asked_for_its_checks() -> None:
    with running(said_by(READY), said_by(MODEL)) as (url, heads):
        done = CliRunner().invoke(main, ["status", "--url", url, "--api-key", "cp_x"])
    assert done.exit_code == 1
    assert [head.split(b" ")[1] for head in heads] == [b"/readyz", b"/models/active"]
    assert b"authorization: bearer cp_x" in heads[1].lower()
    assert done.stdout.splitlines() == [
        f"api          runs  {url}", "", "broker       works  8 MB",
        "workers      does not work  bulk: 0", "", "model        m1, prices of 2026-06",
    ]  # fmt: skip
    assert done.stderr == "carprice: workers: bulk: 0\n"


def test_the_model_of_a_service_is_not_told_without_its_key() -> None:
    healthy = READY | {"status": "ready", "checks": READY["checks"][:1]}
    refused = said_by({"type": "/docs/problems#not-authenticated"}, "401 Unauthorized", PROBLEM)
    with running(said_by(healthy), refused) as (url, _):
        done = CliRunner().invoke(main, ["status", "--url", url, "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["healthy"], told["model"], told["parts"]["api"]["ok"]) == (True, None, True)


def test_a_service_that_is_not_ready_is_told_by_its_checks() -> None:
    checks = [READY["checks"][0] | {"ok": False, "detail": "down"}]
    not_ready = said_by({"status": "not-ready", "checks": checks}, "503 Service Unavailable")
    with running(not_ready, said_by({}, "503 Service Unavailable", PROBLEM)) as (url, _):
        done = CliRunner().invoke(main, ["status", "--url", url])
    assert (done.exit_code, done.stderr) == (1, "carprice: broker: down\n")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_address_where_nothing_answers_says_what_to_do(language: Language) -> None:
    done = CliRunner().invoke(main, ["status", "--url", "http://127.0.0.1:1", "--lang", language])
    assert done.exit_code == 1
    text = translate(
        "the service at {url} does not answer: start it with `carprice up`, or name another address"
        " with --url",
        language,
    )
    assert done.stderr == f"carprice: api: {text.format(url='http://127.0.0.1:1')}\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_number_of_an_error_is_told(tmp_path: Path, language: Language) -> None:
    env = {"CARPRICE_HOME": str(tmp_path), "PORT": "1", "FLOWER_PORT": "2"}
    done = CliRunner().invoke(main, ["status", "--lang", language], env=env)
    assert done.exit_code == 1
    assert "rrno" not in done.output
    assert "Error" not in done.output
    assert done.stderr.count(translate("nothing listens there", language)) == 4


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (redis.BusyLoadingError("LOADING"), "it still loads its data"),
        (redis.AuthenticationError("WRONGPASS"), "it refuses the user or the password"),
        (redis.TimeoutError("Timeout connecting to server"), "no answer in time"),
        (TimeoutError("timed out"), "no answer in time"),
        (socket.gaierror(-2, "Name or service not known"), "no host has this name"),
        (OSError(113, "No route to host"), "No route to host"),
        (redis.ConnectionError("Error 113 connecting to x:1. No route."), "No route."),
    ],
)
def test_the_trouble_of_a_server_is_told_in_words(error: Exception, said: str) -> None:
    assert trouble(error) == said


def test_a_server_that_is_not_there_has_no_number_either(tmp_path: Path) -> None:
    assert server_error(f"unix://{tmp_path}/none.sock") == "nothing listens there"
    assert server_error("redis://127.0.0.1:1") == "nothing listens there"
    assert server_error("redis://nobody.invalid:1") == "no host has this name"
    assert api_state("127.0.0.1:1") == (
        False, "no answer from http://127.0.0.1:1/readyz (nothing listens there)"
    )  # fmt: skip

"""`carprice status`: what a service tells, of this environment or at an address."""

import json
import pwd
import socket
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from cli import status
from cli.main import main
from cli.shell.broker_errors import describe_broker_error
from launcher.readiness import api_state, forbidden, server_error, trouble
from shared.domain.errors import BrokerUnavailable
from shared.i18n.catalogue import translate
from shared.i18n.languages import LANGUAGES, Language
from tests.conftest import Servers
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
        (PermissionError(13, "Permission denied"), "this user may not open it"),
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


SETTINGS_COMMANDS = (
    *("status", "jobs", "doctor", "models list", "dead list", "key list", "webhooks list"),
    *("audit verify", "drift", "outcomes", "backup x.tar"),
)


@pytest.mark.parametrize("command", SETTINGS_COMMANDS)
@pytest.mark.parametrize("more", [[], ["--json"]], ids=str)
def test_a_setting_that_cannot_be_read_is_one_line(command: str, more: list[str]) -> None:
    arguments = command.split() + (more if command != "backup x.tar" else [])
    done = CliRunner().invoke(main, arguments, env={"PORT": "x"})
    said = "PORT='x': expected a whole number, like 8000"
    if command == "doctor":  # which tells it as its only finding
        assert done.exit_code == 1
        assert said in done.stdout
    else:
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == f"carprice: {said}\n"


@pytest.mark.parametrize("command", ["status", "jobs", "doctor"])
@pytest.mark.parametrize("variable", ["REDIS_URL", "CACHE_URL"])
def test_an_address_that_is_none_is_named_without_its_password(
    command: str, variable: str, tmp_path: Path
) -> None:
    env = {"CARPRICE_HOME": str(tmp_path), variable: "redis://:secret@127.0.0.1:port"}
    done = CliRunner().invoke(main, [command], env=env)
    assert done.exit_code == (1 if command == "doctor" else 2)
    assert f"{variable} is not the address of a server" in done.output
    assert "secret" not in done.output


def problems(env: dict[str, str], home: Path) -> list[str]:
    """What `carprice status` says of a service with this environment."""
    given = {"CARPRICE_HOME": str(home), "FLOWER_PORT": "2", **env}
    done = CliRunner().invoke(main, ["status", "--json"], env=given)
    assert done.exit_code == 1
    found: list[str] = json.loads(done.stdout)["problems"]
    assert done.stderr.splitlines() == [f"carprice: {each}" for each in found]
    return found


def test_the_api_of_another_service_at_the_port_is_told(tmp_path: Path) -> None:
    with running(said_by(READY)) as (url, _):
        found = problems({"PORT": url.rpartition(":")[2]}, tmp_path)
    assert any(f"the API at {url} is that of another service" in each for each in found)


def test_a_broker_without_an_api_at_the_port_is_told(tmp_path: Path, servers: Servers) -> None:
    found = problems({"PORT": "1", "REDIS_URL": servers.settings.redis_url}, tmp_path)
    assert found[-1] == ("the broker runs without an API at PORT=1: has the service another one?")


def test_the_home_of_another_user_is_told_with_the_command_to_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "server_error", lambda _: forbidden())
    found = problems({"PORT": "1"}, tmp_path / "hidden")
    owner = pwd.getpwuid(tmp_path.stat().st_uid).pw_name
    assert found[-1] == (
        f"the service of this home is another user's: `sudo -u {owner} carprice status`"
    )


def test_a_broker_of_another_user_does_not_ask_whether_it_runs() -> None:
    error = BrokerUnavailable(reason="closed")
    error.__cause__ = PermissionError(13, "Permission denied")
    said = describe_broker_error(error, "unix:///home/run/broker.sock")
    assert "is that of another user's service" in said
    assert "is the service running" not in said


def test_models_that_cannot_be_read_are_not_taken_for_none(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    (folder / "ACTIVE").mkdir(parents=True)  # a folder cannot be read as a file by any user
    found = problems({"PORT": "1", "MODELS_PATH": str(folder)}, tmp_path)
    assert not any("no model is active" in each for each in found)
    assert any(f"{folder}: cannot be read" in each or "doctor" in each for each in found)

"""`carprice up` waits for an external broker."""

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from launcher import up as up_module
from launcher.preflight import CannotStartError, check_addresses
from launcher.readiness import server_error
from shared.redis.addresses import server_location
from shared.settings import Settings


def test_the_location_of_a_broker_is_shown_without_its_password() -> None:
    assert server_location("redis://user:secret@queue:7000/1") == "queue:7000"
    assert server_location("unix:///run/broker.sock?db=1") == "/run/broker.sock"


@pytest.mark.parametrize("variable", ["redis_url", "cache_url"])
def test_a_url_whose_port_is_not_a_number_is_refused(variable: str) -> None:
    with pytest.raises(CannotStartError, match=variable.upper()) as caught:
        check_addresses(Settings(**{variable: "redis://:secret@queue:x"}))
    assert "secret" not in str(caught.value)
    check_addresses(Settings())


def test_a_broker_that_does_not_answer_ends_the_start_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"redis://:secret@127.0.0.1:{port}/0"
    assert server_error(url) is not None
    monkeypatch.setattr(up_module, "BROKER_TIMEOUT_S", 0.0)
    env = {"CARPRICE_HOME": str(tmp_path), "REDIS_URL": url, "PORT": "18643",
           "FLOWER_PORT": "18644", "PATH": os.environ["PATH"]}  # fmt: skip
    done = CliRunner().invoke(up_module.up, env=env)
    lines = done.output.splitlines()
    assert done.exit_code == 1
    assert len(lines) == 2
    assert f"waiting for the broker at 127.0.0.1:{port} (REDIS_URL)" in lines[0]
    assert f"the broker at 127.0.0.1:{port} (REDIS_URL) did not answer for 0 s" in lines[1]
    assert "secret" not in done.output


def test_a_bad_setting_is_one_line_and_nothing_starts(tmp_path: Path) -> None:
    env = {"CARPRICE_HOME": str(tmp_path / "home"), "LOG_LEVEL": "loud"}
    done = CliRunner().invoke(up_module.up, env=env)
    assert done.exit_code == 2
    assert done.output == "carprice: LOG_LEVEL='loud': expected debug, info, warning or error\n"
    assert not (tmp_path / "home").exists()

"""Ports of the service and of the programs beside it: no two alike, and none in use."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.observe import command
from launcher.ports import (
    check_distinct,
    check_free,
    check_ports,
    collisions,
    observing_ports,
    service_ports,
)
from launcher.preflight import CannotStartError
from scripts.ports import reserve_port
from shared.settings import Settings


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    return reserve_port()


def test_a_taken_port_is_named_with_the_variable_to_change(taken_port: int, free_port: int) -> None:
    with pytest.raises(CannotStartError) as caught:
        check_ports(Settings(port=taken_port, flower_port=free_port))
    assert str(caught.value) == (
        f"port {taken_port} on 127.0.0.1 cannot be used (Address already in use): "
        f"choose another with PORT={taken_port + 1}"
    )


def test_a_taken_flower_port_names_flowers_variable(taken_port: int, free_port: int) -> None:
    with pytest.raises(CannotStartError, match=f"FLOWER_PORT={taken_port + 1}"):
        check_ports(Settings(port=free_port, flower_port=taken_port))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            Settings(port=8000, flower_port=8000),
            "several settings choose the port 8000: PORT, FLOWER_PORT: .* like FLOWER_PORT=8001",
        ),
        (Settings(port=0), "PORT=0: expected a number from 1 to 65535"),
        (Settings(port=70_000), "PORT=70000: expected a number from 1 to 65535"),
        (Settings(host="no.such.host.invalid"), "HOST=no.such.host.invalid: no such address"),
        (Settings(flower_address="no.such.host.invalid"), "FLOWER_ADDRESS=no.such.host.invalid: "),
        (Settings(host="192.0.2.1"), "cannot be used"),
    ],
)
def test_unusable_addresses_are_refused(settings: Settings, message: str) -> None:
    with pytest.raises(CannotStartError, match=message):
        check_ports(settings)


def test_free_ports_are_accepted(free_port: int, taken_port: int) -> None:
    assert free_port != taken_port
    check_ports(Settings(port=free_port, flower_port=reserve_port()))


def all_collisions(settings: Settings) -> dict[str, str]:
    found = collisions([*service_ports(settings), *observing_ports(settings)])
    return {",".join(port.label for port in each.ports): each.remedy for each in found}


def test_the_defaults_do_not_collide() -> None:
    assert all_collisions(Settings()) == {}


@pytest.mark.parametrize(
    ("settings", "labels", "remedy"),
    [
        (
            Settings(prometheus_port=9093),
            "PROMETHEUS_PORT,ALERTMANAGER_PORT",
            "ALERTMANAGER_PORT=9094",
        ),
        (Settings(port=9090), "PORT,PROMETHEUS_PORT", "PROMETHEUS_PORT=9091"),
        (Settings(flower_port=9093), "FLOWER_PORT,ALERTMANAGER_PORT", "ALERTMANAGER_PORT=9094"),
        # The cache's exporter has the port after that of the broker's.
        (
            Settings(port=9122),
            "PORT,REDIS_EXPORTER_PORT + 1",
            "REDIS_EXPORTER_PORT=9123",
        ),
        (
            Settings(redis_exporter_port=9090),
            "PROMETHEUS_PORT,REDIS_EXPORTER_PORT",
            "REDIS_EXPORTER_PORT=9094",
        ),
        (
            Settings(redis_exporter_port=9092),
            "ALERTMANAGER_PORT,REDIS_EXPORTER_PORT + 1",
            "REDIS_EXPORTER_PORT=9094",
        ),
        (Settings(port=65_535, flower_port=65_535), "PORT,FLOWER_PORT", "FLOWER_PORT=65534"),
    ],
)
def test_settings_that_choose_one_port_are_named_with_a_free_number(
    settings: Settings, labels: str, remedy: str
) -> None:
    assert all_collisions(settings) == {labels: remedy}


def test_remedies_of_two_collisions_do_not_collide() -> None:
    settings = Settings(port=9090, flower_port=9091, alertmanager_port=9091)
    assert set(all_collisions(settings).values()) == {
        "PROMETHEUS_PORT=9092",
        "ALERTMANAGER_PORT=9093",
    }


@pytest.mark.parametrize(
    "given",
    [
        {"prometheus_port": 9093},
        {"port": 9093},
        {"flower_port": 9090},
        {"redis_exporter_port": 9090},
        {"redis_exporter_port": 9089},
    ],
)
def test_programs_with_one_port_are_not_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, int]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(CannotStartError, match="several settings choose the port 90"):
        command._children(Settings(home=tmp_path / "home", **given))
    assert not (tmp_path / "home").exists()


def test_the_port_of_an_exporter_that_is_not_installed_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if "exporter" in name else f"/{name}")
    port = reserve_port()
    settings = Settings(
        home=tmp_path / "home",
        prometheus_port=port,
        alertmanager_port=reserve_port(),
        redis_exporter_port=port,
    )
    assert [child.name for child in command._children(settings)] == ["prometheus", "alertmanager"]


def test_the_last_port_leaves_none_for_the_second_exporter() -> None:
    with pytest.raises(
        CannotStartError, match="REDIS_EXPORTER_PORT=65535: expected a number from 1 to 65534"
    ):
        check_free(observing_ports(Settings(redis_exporter_port=65_535))[-1])


def test_one_number_at_two_addresses_is_no_collision() -> None:
    settings = Settings(host="192.0.2.5", port=9090)
    ports = [*service_ports(settings), *observing_ports(settings)]
    assert collisions(ports) == []
    everywhere = Settings(host="0.0.0.0", port=9090)
    (found,) = collisions([*service_ports(everywhere), *observing_ports(everywhere)])
    assert found.text == "several settings choose the port 9090: PORT, PROMETHEUS_PORT"


def test_observe_leaves_collisions_of_the_service_to_the_service() -> None:
    settings = Settings(port=8000, flower_port=8000)
    ports = observing_ports(settings)
    check_distinct([*service_ports(settings), *ports], started=ports)

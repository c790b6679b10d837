"""`carprice observe`: Prometheus and Alertmanager beside the service, in the foreground.

They are no part of the service: it neither knows them nor waits for them.
"""

import os
import sys
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import click

from launcher.child import Child
from launcher.environment import with_absolute_paths
from launcher.observe.configuration import (
    alertmanager_configuration,
    prometheus_configuration,
    write_private,
)
from launcher.observe.programs import REDIS_EXPORTER, required_paths
from launcher.output import Output
from launcher.ports import LOCAL, check_distinct, check_free, observing_ports, service_ports
from launcher.preflight import CannotStartError, prepare_home
from launcher.supervisor import CrashLoopError, Supervisor
from launcher.up import json_option, no_events, report_events
from launcher.watchdog import Watchdog, die_with_parent
from shared.i18n.command import gettext as _
from shared.redis.servers import with_server_urls
from shared.settings import Settings, SettingsError

STOP_TIMEOUT_S = 20.0
RETENTION = "--storage.tsdb.retention.time=30d --storage.tsdb.retention.size=4GB"
EXPORTED_SCHEMES = {"redis", "rediss", "unix"}
"""Addresses of servers that the exporter can ask; it does not know sentinels."""


@click.command()
@click.option(
    "--with-parent", is_flag=True, help="Stop when the program that started this one ends."
)
@json_option
def observe(*, with_parent: bool, as_json: bool) -> None:
    """Run Prometheus and Alertmanager beside the service; Ctrl-C stops them."""
    report = report_events() if as_json else no_events
    if with_parent and not die_with_parent():
        sys.exit(1)
    try:
        settings = with_absolute_paths(Settings.from_env())
        children = _children(settings)
    except (SettingsError, CannotStartError) as error:
        click.echo(f"carprice: {error}", err=True)
        sys.exit(2)
    sys.exit(_run(settings, children, report))


def _children(settings: Settings) -> list[Child]:
    """The programs to run, with their configuration written.

    Raises:
        CannotStartError: a program is not installed, a port is taken or a setting is missing.
    """
    prometheus, alertmanager = required_paths()
    exporters = _exporters(settings)
    addresses = {server: env["LISTEN_ADDRESS"] for server, env in exporters.items()}
    _check_ports(settings, set(addresses.values()))
    prepare_home(settings)
    folder = settings.home / "observe"
    config = prometheus_configuration(settings, addresses)
    write_private(folder / "prometheus.yml", config)
    write_private(folder / "alertmanager.yml", alertmanager_configuration(os.environ))
    where = {"CONFIG": str(folder), "PATH": os.environ.get("PATH", os.defpath)}
    lines = {
        "prometheus": (
            f'"{prometheus}" --config.file="$CONFIG/prometheus.yml" {RETENTION} '
            f'--storage.tsdb.path="$CONFIG/prometheus" --log.level=warn '
            f"--web.listen-address={LOCAL}:{settings.prometheus_port}"
        ),
        "alertmanager": (
            f'"{alertmanager}" --config.file="$CONFIG/alertmanager.yml" --log.level=warn '
            f'--storage.path="$CONFIG/alertmanager" --cluster.listen-address= '
            f"--web.listen-address={LOCAL}:{settings.alertmanager_port}"
        ),
    }
    made = [Child(name=name, line=line, env=where, cwd=folder) for name, line in lines.items()]
    line = f'"{REDIS_EXPORTER.path()}" -web.listen-address="$LISTEN_ADDRESS"'
    return made + [
        Child(name=f"{server}-exporter", line=line, env={**where, **env}, cwd=folder)
        for server, env in exporters.items()
    ]


def _check_ports(settings: Settings, exporters: Collection[str]) -> None:
    """Check that the programs have ports of their own, which are free; the service may run.

    Args:
        settings: with the ports.
        exporters: the addresses of those that are started.

    Raises:
        CannotStartError: they have not.
    """
    ports = [
        port
        for port in observing_ports(settings)
        if port.variable != "REDIS_EXPORTER_PORT" or f"{LOCAL}:{port.number}" in exporters
    ]
    check_distinct([*service_ports(settings), *ports], started=ports)
    for port in ports:
        check_free(port)


def _exporters(settings: Settings) -> dict[str, dict[str, str]]:
    """The environment of a Redis exporter for each server; none if it is not installed."""
    if REDIS_EXPORTER.path() is None:
        return {}
    found = with_server_urls(settings)
    exporters = {}
    for number, (server, url) in enumerate(
        (("broker", found.redis_url), ("cache", found.cache_url))
    ):
        if urlsplit(url).scheme not in EXPORTED_SCHEMES:
            continue
        # The address may hold a password, which the list of processes must not show.
        env = {
            "REDIS_ADDR": url.partition("?")[0],
            "LISTEN_ADDRESS": f"{LOCAL}:{settings.redis_exporter_port + number}",
        }
        if settings.redis_ca_file:
            env["REDIS_EXPORTER_TLS_CA_CERT_FILE"] = str(settings.redis_ca_file)
        exporters[server] = env
    return exporters


def _run(
    settings: Settings, children: list[Child], report: Callable[[dict[str, Any]], None]
) -> int:
    """Run the programs until a stop signal; return the exit code."""
    logs = settings.home / "observe" / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    output = Output(logs, [child.name for child in children])
    code, reason = 0, _("stopped")
    with Supervisor([children], output=output, watchdog=Watchdog()) as supervisor:
        try:
            supervisor.start_tier(0, ready=lambda: True)
            output.announce(_announcement(settings, {child.name for child in children}))
            report({"event": "ready", "addresses": _addresses(settings)})
            while not supervisor.stop_requests:
                supervisor.run_once()
        except CrashLoopError as error:
            reason, code = _("stopped: {reason}").format(reason=error), 1
        supervisor.stop([STOP_TIMEOUT_S])
    output.say(reason)
    report({"event": "stopped", "exit_code": code, "reason": reason})
    return code


def _addresses(settings: Settings) -> dict[str, str]:
    return {
        "prometheus": f"http://{LOCAL}:{settings.prometheus_port}",
        "alertmanager": f"http://{LOCAL}:{settings.alertmanager_port}",
    }


def _announcement(settings: Settings, names: Collection[str]) -> str:
    """Where the programs are, and what could be added."""
    rows = [f"{name.capitalize():<13} {where}" for name, where in _addresses(settings).items()]
    if "broker-exporter" not in names:
        text = _("Without figures of Redis. They need: apt install {package}")
        rows += ["", text.format(package=REDIS_EXPORTER.package)]
    rows += ["", _("Ctrl-C stops everything.")]
    return "\n".join(["", *(f"  {row}".rstrip() for row in rows), ""])

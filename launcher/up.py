"""`carprice up`: runs the whole service. `carprice run KIND`: one process, for containers."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from launcher.environment import (
    CODE_ROOT,
    SHARED_MEMORY,
    child_environment,
    embedded_urls,
    metrics_folder,
    process_counts,
    single_host_environment,
    with_absolute_paths,
)
from launcher.first_model import needs_default_model, train_default_model
from launcher.liveness.foreground import FOREGROUND_MODULE, FORWARDED_SIGNALS
from launcher.liveness.hangs import HangDetector, create_heartbeats
from launcher.liveness.probes import http_probe, redis_probe
from launcher.liveness.systemd import SystemdNotifier
from launcher.output import Output
from launcher.ports import check_ports
from launcher.preflight import (
    HEARTBEATS_FOLDER,
    CannotStartError,
    await_home,
    check_addresses,
    check_flower,
    check_keys,
    hold_metrics,
    lacks_space,
    lock_home,
    remove_metrics,
)
from launcher.procfile import make_tiers, read_procfile, tier_stop_timeouts_s
from launcher.readiness import (
    api_state,
    local_address,
    server_error,
)
from launcher.supervisor import CrashLoopError, Supervisor
from launcher.watchdog import Watchdog, die_with_parent
from shared.i18n.command import gettext as _
from shared.process_figures import NAME_VARIABLE
from shared.redis.addresses import server_location
from shared.redis.servers import embedded_url, external_url, refuse_cluster
from shared.settings import Settings, SettingsError

READY_WARNING_S = 45.0
"""After this time the failed checks of `/readyz` are shown."""

BROKER_TIMEOUT_S = 60.0
"""Longest wait for an external broker."""

EXAMPLE_CAR = (
    '{"company":"Toyota","model":"Corolla","year":2020,"fuel":"Petrol","seller_type":"Individual",'
    '"transmission":"Manual","km_driven":25000,"engine_cc":1600,"max_power_bhp":120}'
)
LISTENER_CHECKS = {"api": check_keys, "flower": check_flower}
"""Checks of the processes that listen on a port, by kind."""


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print events as JSON lines on standard output; all other output goes to standard error.",
)


def report_events() -> Callable[[dict[str, Any]], None]:
    """Send what this process and its children write to standard error.

    Returns:
        A function that writes an event as a JSON line on what was standard output.
    """
    sys.stdout.flush()
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def write(event: dict[str, Any]) -> None:
        print(json.dumps(event), file=events, flush=True)

    return write


def no_events(_: dict[str, Any]) -> None:
    """Without `--json` events are not written."""


@click.command()
@click.argument("kind", type=click.Choice(list(read_procfile(CODE_ROOT / "Procfile"))))
@json_option
def run(kind: str, *, as_json: bool) -> None:
    """Run one process of the service in the foreground; end with it, or if it hangs."""
    report = report_events() if as_json else no_events
    try:
        settings = with_absolute_paths(Settings.from_env())
        LISTENER_CHECKS.get(kind, lambda _: None)(settings)
        await_home(settings, _say)
    except (SettingsError, CannotStartError) as error:
        click.echo(f"carprice: {error}", err=True)
        sys.exit(2)
    metrics = metrics_folder(settings, os.environ)
    held = hold_metrics(metrics)
    if held is not None:
        os.set_inheritable(held, True)  # noqa: FBT003 - the call has no keyword
    report({"event": "starting", "kind": kind, "address": _probed_address(settings, kind) or None})
    os.chdir(CODE_ROOT)
    os.umask(0o077)
    line = read_procfile(CODE_ROOT / "Procfile")[kind]
    env = child_environment(settings, os.environ)
    if kind not in {"broker", "cache"}:  # they would end with the shell that started this one
        env.setdefault(NAME_VARIABLE, kind)
    if settings.restart_hung == "off":
        os.execve("/bin/sh", ["sh", "-c", f"exec {line}"], env)  # noqa: S606
    # This process has imported much; the one that stays should be small.
    arguments = [kind, _probed_address(settings, kind), str(metrics / HEARTBEATS_FOLDER), line]
    # What arrives before that one waits for it: as process 1 it would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)
    os.execve(sys.executable, [sys.executable, "-m", FOREGROUND_MODULE, *arguments], env)  # noqa: S606


def _probed_address(settings: Settings, kind: str) -> str:
    """Where a process is asked whether it is alive; "" if it is not."""
    if kind in {"broker", "cache"}:
        return embedded_url(settings, "broker" if kind == "broker" else "cache")
    if kind == "api":
        return local_address(settings.host, settings.port)
    if kind == "flower":
        return local_address(settings.flower_address, settings.flower_port)
    return ""


@click.command()
@click.option(
    "--with-parent", is_flag=True, help="Stop when the program that started this one ends."
)
@json_option
def up(*, with_parent: bool, as_json: bool) -> None:
    """Start the whole service here; Ctrl-C stops it."""
    report = report_events() if as_json else no_events
    if with_parent and not die_with_parent():
        sys.exit(1)
    try:
        settings = with_absolute_paths(Settings.from_env())
        check_keys(settings)
        check_flower(settings)
        check_addresses(settings)
        await_home(settings, _say)
        lock = lock_home(settings.home)
        check_ports(settings)
    except (SettingsError, CannotStartError) as error:
        click.echo(f"carprice: {error}", err=True)
        sys.exit(2)
    metrics = metrics_folder(settings, os.environ)
    held = hold_metrics(metrics)
    code = ServiceRun(settings, lock, report).run_until_stopped()
    if metrics.parent == SHARED_MEMORY:
        remove_metrics(metrics, held)
    sys.exit(code)


def _say(text: str) -> None:
    click.echo(f"carprice: {text}", err=True)


class ServiceRun:
    """One run of the service."""

    def __init__(
        self, settings: Settings, lock: int, report: Callable[[dict[str, Any]], None] = no_events
    ) -> None:
        """Prepare; nothing starts yet.

        Args:
            settings: with absolute paths.
            lock: descriptor of the lock of the home, held until the last process has exited.
            report: takes an event, when the service is ready and when it has stopped.
        """
        self._report = report
        self._settings = settings
        self._env = single_host_environment(settings, os.environ)
        self._embedded = embedded_urls(settings)
        self._heartbeats = metrics_folder(settings, os.environ) / HEARTBEATS_FOLDER
        self._systemd = SystemdNotifier()
        self._tiers = make_tiers(
            CODE_ROOT / "Procfile",
            process_counts(settings),
            self._env,
            self._heartbeats,
            keep_open=[lock],
        )
        names = [child.name for tier in self._tiers for child in tier]
        self._output = Output(settings.home / "logs", names)
        self._watchdog = Watchdog(keep_open=[lock])
        create_heartbeats(self._heartbeats, names)

    def run_until_stopped(self) -> int:
        """Start all processes, run until a stop signal, stop them.

        Returns:
            The exit code: 0 after a stop signal.
        """
        exit_code = 0
        with Supervisor(
            self._tiers,
            output=self._output,
            watchdog=self._watchdog,
            hangs=self._hang_detector(),
            is_disk_full=lambda: lacks_space(self._settings),
        ) as supervisor:
            final_message = _("stopped")
            try:
                self._start(supervisor)
                while not supervisor.stop_requests:
                    supervisor.run_once()
                    self._systemd.alive()
                self._output.say(_("stopping: work under way is finished first (again: at once)"))
            except (CrashLoopError, CannotStartError, SettingsError) as error:
                final_message, exit_code = _("stopped: {reason}").format(reason=error), 1
            self._systemd.stopping()
            supervisor.stop(tier_stop_timeouts_s(self._settings))
        self._output.say(final_message)
        self._report({"event": "stopped", "exit_code": exit_code, "reason": final_message})
        return exit_code

    def _hang_detector(self) -> HangDetector | None:
        if self._settings.restart_hung == "off":
            return None
        settings = self._settings
        probes = {"broker": redis_probe(self._env["REDIS_URL"])}
        if not settings.cache_url:
            probes["cache"] = redis_probe(self._env["CACHE_URL"])
        flower = local_address(settings.flower_address, settings.flower_port)
        probes["flower"] = http_probe(flower, "/healthcheck")
        wakers = {"api": http_probe(local_address(settings.host, settings.port), "/livez")}
        return HangDetector(self._heartbeats, probes, wakers, self._output.say)

    def _start(self, supervisor: Supervisor) -> None:
        """Train a model if needed, start the tiers, show the addresses when the API is ready."""
        settings = self._settings
        external = [
            external_url(settings, url) for url in (settings.redis_url, settings.cache_url) if url
        ]
        if settings.redis_url:
            self._await_broker(supervisor, external[0])
        refuse_cluster(*external)
        if needs_default_model(self._settings):
            self._output.say(
                _("no model to serve: training the default one (once, under a minute)")
            )
            train_default_model(self._env, self._watchdog, lambda: supervisor.stop_requests > 0)
        self._output.say(_("starting"))
        supervisor.start_tier(0, ready=lambda: not any(map(server_error, self._embedded)))
        for index in range(1, len(self._tiers)):
            supervisor.start_tier(index, ready=lambda: True)
        self._await_readiness(supervisor)

    def _await_broker(self, supervisor: Supervisor, url: str) -> None:
        """Wait until the external broker answers.

        Raises:
            CannotStartError: it did not within `BROKER_TIMEOUT_S`.
        """
        place = _("the broker at {address} (REDIS_URL)").format(address=server_location(url))
        deadline = time.monotonic() + BROKER_TIMEOUT_S
        is_reported = False
        while not supervisor.stop_requests and (trouble := server_error(url)):
            if not is_reported:
                self._output.say(_("waiting for {place}").format(place=place))
                is_reported = True
            if time.monotonic() > deadline:
                raise CannotStartError(
                    _("{place} did not answer for {seconds} s: {trouble}").format(
                        place=place, seconds=f"{BROKER_TIMEOUT_S:.0f}", trouble=trouble
                    )
                )
            supervisor.run_once()

    def _await_readiness(self, supervisor: Supervisor) -> None:
        """Run the supervisor until the API accepts work and workers carry it out."""
        address = local_address(self._settings.host, self._settings.port)
        warn_at = time.monotonic() + READY_WARNING_S
        ready, state = False, ""
        while not ready and not supervisor.stop_requests:
            supervisor.run_once()
            ready, state = api_state(address)
            if not ready and time.monotonic() > warn_at:
                self._output.say(_("not ready yet: {state}").format(state=state))
                warn_at = float("inf")
        if ready:
            self._systemd.ready()
            self._output.announce(welcome(self._settings, address))
            flower = local_address(self._settings.flower_address, self._settings.flower_port)
            addresses = {"api": f"http://{address}", "flower": f"http://{flower}"}
            self._report({"event": "ready", "addresses": addresses})


def welcome(settings: Settings, address: str) -> str:
    """The addresses of the service and an example call."""
    flower = local_address(settings.flower_address, settings.flower_port)
    rows = [
        (_("Page and API"), f"http://{address}"),
        ("Swagger", f"http://{address}/docs"),
        ("ReDoc", f"http://{address}/redoc"),
        (_("Metrics"), f"http://{address}/metrics"),
        ("Flower", f"http://{flower}"),
        (_("Logs"), str(settings.home / "logs")),
    ]
    width = max(len(name) for name, _address in rows) + 2
    lines = [f"  {name:<{width}} {where}" for name, where in rows]
    call = f"curl http://{address}/predict -H 'Content-Type: application/json' -d '{EXAMPLE_CAR}'"
    attempt, end = _("Try:"), _("Ctrl-C stops everything.")
    lines += ["", f"  {attempt}  {call}", "", f"  {end}"]
    return "\n".join(["", *lines, ""])

"""`carprice up`: the whole service in the foreground, from an empty folder to a green `/readyz`."""

import os
import sys
import time

import click

from api.launcher.environment import (
    CODE_ROOT,
    embedded_sockets,
    metrics_folder,
    one_host_environment,
    process_counts,
    with_absolute_paths,
)
from api.launcher.guardian import Guardian
from api.launcher.output import Output
from api.launcher.preflight import (
    CannotStartError,
    check_addresses,
    check_flower,
    check_keys,
    check_ports,
    prepare_home,
    take_home,
    wipe_metrics,
)
from api.launcher.processes import TIER_STOP_TIMEOUTS_S, make_tiers
from api.launcher.readiness import (
    api_state,
    broker_trouble,
    local_address,
    server_place,
    servers_answer,
)
from api.launcher.supervisor import GivenUpError, Supervisor
from api.launcher.training import needs_default_model, train_default_model
from shared.parent_death import end_with_parent
from shared.settings import Settings, SettingsError

PATIENCE_S = 45.0
"""After this time without a green `/readyz` the user is told what it says."""

BROKER_PATIENCE_S = 60.0
"""How long a broker of somebody else may take to answer before the start is given up."""

EXAMPLE_CAR = (
    '{"company":"Toyota","model":"Corolla","year":2020,"fuel":"Petrol","seller_type":"Individual",'
    '"transmission":"Manual","km_driven":25000,"engine_cc":1600,"max_power_bhp":120}'
)


@click.command()
@click.option(
    "--with-parent", is_flag=True, help="Stop when the program that started this one ends."
)
def up(*, with_parent: bool) -> None:
    """Start the whole service here; Ctrl-C stops it."""
    if with_parent and not end_with_parent():
        sys.exit(1)
    try:
        settings = with_absolute_paths(Settings.from_env())
        check_keys(settings)
        check_flower(settings)
        check_addresses(settings)
        prepare_home(settings)
        lock = take_home(settings.home)
        check_ports(settings)
    except (SettingsError, CannotStartError) as error:
        click.echo(f"carprice: {error}", err=True)
        sys.exit(2)
    wipe_metrics(metrics_folder(settings, os.environ))
    sys.exit(Run(settings, lock).to_the_end())


class Run:
    """One run of the service."""

    def __init__(self, settings: Settings, lock: int) -> None:
        """Prepare; nothing starts yet.

        Args:
            settings: with absolute paths.
            lock: descriptor of the home's lock, kept until the last process is gone.
        """
        self._settings = settings
        self._env = one_host_environment(settings, os.environ)
        self._embedded = embedded_sockets(settings)
        self._tiers = make_tiers(CODE_ROOT / "Procfile", process_counts(settings), self._env)
        names = [child.name for tier in self._tiers for child in tier]
        self._output = Output(settings.home / "logs", names)
        self._guardian = Guardian(keep_open=[lock])

    def to_the_end(self) -> int:
        """Start, serve, stop.

        Returns:
            The exit code: 0 after a stop that was asked for.
        """
        exit_code = 0
        with Supervisor(self._tiers, output=self._output, guardian=self._guardian) as supervisor:
            last_words = "stopped"
            try:
                self._start(supervisor)
                while not supervisor.stop_requests:
                    supervisor.round()
                self._output.say("stopping: work under way is finished first (again: at once)")
            except (GivenUpError, CannotStartError) as error:
                last_words, exit_code = f"stopped: {error}", 1
            supervisor.stop(TIER_STOP_TIMEOUTS_S)
        self._output.say(last_words)
        return exit_code

    def _start(self, supervisor: Supervisor) -> None:
        """Train if need be, start the tiers, tell the user once the service is ready."""
        if self._settings.redis_url:
            self._await_broker(supervisor, self._settings.redis_url)
        if needs_default_model(self._settings):
            self._output.say("no model to serve: training the default one (once, under a minute)")
            train_default_model(self._env, self._guardian, lambda: supervisor.stop_requests > 0)
        self._output.say("starting")
        supervisor.start_tier(0, ready=lambda: servers_answer(self._embedded))
        for index in range(1, len(self._tiers)):
            supervisor.start_tier(index, ready=lambda: True)
        self._await_readiness(supervisor)

    def _await_broker(self, supervisor: Supervisor, url: str) -> None:
        """Start nothing before the broker that was named answers.

        Raises:
            CannotStartError: it did not for `BROKER_PATIENCE_S`.
        """
        place = f"the broker at {server_place(url)} (REDIS_URL)"
        give_up_at = time.monotonic() + BROKER_PATIENCE_S
        is_told = False
        while not supervisor.stop_requests and (trouble := broker_trouble(url)):
            if not is_told:
                self._output.say(f"waiting for {place}")
                is_told = True
            if time.monotonic() > give_up_at:
                raise CannotStartError(
                    f"{place} did not answer for {BROKER_PATIENCE_S:.0f} s: {trouble}"
                )
            supervisor.round()

    def _await_readiness(self, supervisor: Supervisor) -> None:
        """Keep the processes going until `/readyz` is green."""
        address = local_address(self._settings.host, self._settings.port)
        impatient_at = time.monotonic() + PATIENCE_S
        ready, state = False, ""
        while not ready and not supervisor.stop_requests:
            supervisor.round()
            ready, state = api_state(address)
            if not ready and time.monotonic() > impatient_at:
                self._output.say(f"not ready yet: {state}")
                impatient_at = float("inf")
        if ready:
            self._output.announce(welcome(self._settings, address))


def welcome(settings: Settings, address: str) -> str:
    """The addresses, and a first call to try."""
    return f"""
  Page and API   http://{address}
  Swagger        http://{address}/docs
  ReDoc          http://{address}/redoc
  Metrics        http://{address}/metrics
  Flower         http://{local_address(settings.flower_address, settings.flower_port)}
  Logs           {settings.home / "logs"}

  Try:  curl http://{address}/predict -H 'Content-Type: application/json' -d '{EXAMPLE_CAR}'

  Ctrl-C stops everything.
"""

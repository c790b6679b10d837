"""Training of the default model on the first start."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import click

from launcher.environment import CODE_ROOT, SINGLE_THREAD_ENV
from launcher.preflight import CannotStartError
from launcher.watchdog import Watchdog, kill_groups
from model_store.registry.manifest import REFERENCE_MARKET
from model_store.registry.registry import ModelRegistry
from model_store.registry.shared_models import SharedModels
from shared.domain.errors import ActivePointerLost, ModelRefused, ModelVersionNotFound
from shared.i18n.command import gettext as _
from shared.i18n.command import language
from shared.settings import Settings

POLL_S = 0.1
TRAIN = (sys.executable, "-m", "cli.main", "train", "--activate")


def needs_default_model(settings: Settings) -> bool:
    """Whether the default model must be trained before the service can start.

    It must if no model is active, or if the active one is a default model that this version of the
    program cannot read, or that was active last before the pointer was lost. A model trained on the
    user's own listings is never replaced.

    Raises:
        CannotStartError: the active model was trained on other listings and cannot be served, or
            which one is active is not known.
    """
    registry = ModelRegistry(settings.versions_path)
    _take_shared_model(settings, registry)
    try:
        active = registry.known_active_version()
    except ActivePointerLost as error:
        if _is_default(registry, last := error.params["version"]):
            return True
        raise CannotStartError(
            _(
                "the file ACTIVE in {versions_path} is missing or unreadable; {last} was "
                "activated last (`carprice models activate VERSION` restores it)"
            ).format(versions_path=settings.versions_path, last=last)
        ) from error
    if active is None:
        return True
    try:
        registry.check(active)
    except (ModelRefused, ModelVersionNotFound) as error:
        if _is_default(registry, active):
            return True
        reason = error.params.get("reason", _("it is gone"))
        raise CannotStartError(
            _(
                "the active model {active} cannot be served: {reason} (`carprice models "
                "activate VERSION` takes another one, `carprice train --activate` makes a new "
                "one)"
            ).format(active=active, reason=reason)
        ) from error
    return False


def _take_shared_model(settings: Settings, registry: ModelRegistry) -> None:
    """Fetch the model of the other hosts; the first host shares its own.

    Raises:
        CannotStartError: it cannot be fetched, and this host has no model either.
    """
    shared = SharedModels.of(settings)
    if shared is None:
        return
    try:
        if shared.pull() is None and registry.active_version() is not None:
            shared.share_own()
    except (OSError, ModelRefused, ModelVersionNotFound) as error:
        if registry.active_version() is None:
            raise CannotStartError(
                _("the shared model cannot be fetched: {error}").format(error=error)
            ) from error
        text = _("the shared models are not up to date: {error}").format(error=error)
        click.echo(f"carprice: {text}", err=True)


def _is_default(registry: ModelRegistry, version: str) -> bool:
    try:
        return registry.get(version).training.get("name") == REFERENCE_MARKET
    except (ModelRefused, ModelVersionNotFound):
        return False


def train_default_model(
    env: Mapping[str, str], watchdog: Watchdog, should_stop: Callable[[], bool]
) -> None:
    """Run `carprice train --activate`; its progress appears on this terminal.

    Args:
        env: the environment of the run; its limits of threads do not apply to training.
        watchdog: kills the training if this process is killed.
        should_stop: called every `POLL_S`; True ends the training.

    Raises:
        CannotStartError: the training failed.
    """
    training = subprocess.Popen(
        [*TRAIN, f"--lang={language()}"],
        env={name: text for name, text in env.items() if name not in SINGLE_THREAD_ENV},
        cwd=CODE_ROOT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    watchdog.watch(training.pid)
    while training.poll() is None and not should_stop():
        time.sleep(POLL_S)
    was_stopped = training.poll() is None
    if was_stopped:
        # Safe at any time: a version becomes visible in one step when it is complete.
        kill_groups([training.pid])
    code = training.wait()
    watchdog.unwatch(training.pid)
    if code != 0 and not was_stopped:
        raise CannotStartError(_("training the default model failed: see its message above"))


@click.command(name="first-model")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON on standard output, and nothing else there.",
)
def first_model(*, as_json: bool) -> None:
    """Train and activate the default model, unless one is active."""
    try:
        is_needed = needs_default_model(Settings.from_env())
    except CannotStartError as error:
        raise click.ClickException(str(error)) from error
    if not is_needed:
        active = ModelRegistry(Settings.from_env().versions_path).known_active_version()
        found = {"version": active, "active": True, "trained": False}
        click.echo(json.dumps(found) if as_json else _("a model is active"))
        return
    more = ["--json"] if as_json else []
    os.execv(sys.executable, [*TRAIN, f"--lang={language()}", *more])  # noqa: S606

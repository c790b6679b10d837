"""`carprice run KIND`: one process of the Procfile in place of this one, as containers want it."""

import os
import sys

import click

from launcher.environment import CODE_ROOT, child_environment, metrics_folder, with_absolute_paths
from launcher.preflight import (
    CannotStartError,
    check_flower,
    check_keys,
    prepare_home,
    wipe_metrics,
)
from launcher.procfile import read_procfile
from shared.settings import Settings, SettingsError

GUARDS = {"api": check_keys, "flower": check_flower}
"""What must protect the processes that listen."""


@click.command()
@click.argument("kind", type=click.Choice(list(read_procfile(CODE_ROOT / "Procfile"))))
def run(kind: str) -> None:
    """Become one process of the service, in the foreground, without a supervisor."""
    try:
        settings = with_absolute_paths(Settings.from_env())
        GUARDS.get(kind, lambda _: None)(settings)
        prepare_home(settings)
    except (SettingsError, CannotStartError) as error:
        click.echo(f"carprice: {error}", err=True)
        sys.exit(2)
    wipe_metrics(metrics_folder(settings, os.environ))
    os.chdir(CODE_ROOT)
    os.umask(0o077)
    command = f"exec {read_procfile(CODE_ROOT / 'Procfile')[kind]}"
    os.execve("/bin/sh", ["sh", "-c", command], child_environment(settings, os.environ))  # noqa: S606

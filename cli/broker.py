"""`carprice repair-broker`: repair the append-only files of the embedded broker."""

import datetime as dt
import os
import sys
from pathlib import Path

import click

from launcher.append_only.repair import (
    Damage,
    ManifestMissingError,
    RepairError,
    check_manifest,
    find_damage,
    repair,
    write_manifest,
)
from launcher.embedded import EmbeddedServerError, lock_data
from shared.settings import Settings, SettingsError


@click.command()
@click.option("--check", is_flag=True, help="Only report the damage; exit code 1 if there is any.")
@click.option(
    "--drop-base",
    is_flag=True,
    help="Also drop a damaged base file: the state up to the last rewrite of the files.",
)
def repair_broker(*, check: bool, drop_base: bool) -> None:
    """Remove what is damaged in the broker's append-only files; stop the service first.

    Commands before and after a damaged place are kept. The damaged files are kept beside the
    repaired ones.
    """
    try:
        folder = _data_folder(Settings.from_env())
        lock = _lock(folder)
        try:
            if is_repaired := _repair_manifest(folder, check=check):
                click.echo("the list of the files was written anew")
            damaged = find_damage(folder)
            if damaged or not is_repaired:
                _report(damaged)
            if check or not damaged:
                sys.exit(1 if damaged else 0)
            _check_base(damaged, drop_base=drop_base)
            backup = repair(folder, damaged, dt.datetime.now(tz=dt.UTC))
        finally:
            os.close(lock)
    except (SettingsError, RepairError) as error:
        click.echo(f"carprice: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"carprice: the files are as they were: {error}", err=True)
        sys.exit(2)
    click.echo(f"repaired; the damaged files are in {backup}. Start the service again.")


def _data_folder(settings: Settings) -> Path:
    if settings.redis_url:
        raise RepairError("REDIS_URL names a server of yours: repair its files there")
    folder = settings.home.resolve() / "broker"
    if not folder.is_dir():
        raise RepairError(f"{folder} does not exist")
    return folder


def _lock(folder: Path) -> int:
    """Lock the files; raises `RepairError` if the broker is running."""
    try:
        return lock_data(folder)
    except EmbeddedServerError:
        raise RepairError(f"{folder} is in use: stop the service first") from None


def _repair_manifest(folder: Path, *, check: bool) -> bool:
    """Write a missing list of the files anew; return whether it was missing."""
    try:
        check_manifest(folder)
    except ManifestMissingError as error:
        click.echo(str(error))
        if check:
            sys.exit(1)
        write_manifest(folder)
        return True
    return False


def _report(damaged: list[Damage]) -> None:
    for each in damaged:
        click.echo(each.description)
    if not damaged:
        click.echo("no damage found")


def _check_base(damaged: list[Damage], *, drop_base: bool) -> None:
    """Refuse to drop a base file unasked."""
    if not drop_base and any(each.analysis is None for each in damaged):
        raise RepairError(
            "restore the base file from a backup, or drop it with --drop-base: jobs accepted "
            "before the last rewrite are lost then, batches continue from their stored files"
        )

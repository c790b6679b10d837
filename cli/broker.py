"""`carprice repair-broker`: repair the append-only files of the embedded broker."""

import dataclasses
import datetime as dt
import os
import sys
from pathlib import Path
from typing import Any

import click

from cli.shell.exit_codes import DONE, REFUSED, UNUSABLE
from cli.shell.options import json_option
from cli.streams import echo_json
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
from shared.i18n.command import gettext as _
from shared.settings import Settings, SettingsError


@click.command()
@click.option("--check", is_flag=True, help="Only report the damage; exit code 1 if there is any.")
@click.option(
    "--drop-base",
    is_flag=True,
    help="Also drop a damaged base file: the state up to the last rewrite of the files.",
)
@json_option
def repair_broker(*, check: bool, drop_base: bool, as_json: bool) -> None:
    """Remove what is damaged in the broker's append-only files; stop the service first.

    Commands before and after a damaged place are kept. The damaged files are kept beside the
    repaired ones.
    """
    found = Repair()
    try:
        folder = _data_folder(Settings.from_env())
        lock = _lock(folder)
        try:
            _repair(folder, found, check=check, drop_base=drop_base)
        finally:
            os.close(lock)
    except (SettingsError, RepairError) as error:
        click.echo(f"carprice: {error}", err=True)
        sys.exit(UNUSABLE)
    except BrokenPipeError:
        raise
    except OSError as error:
        text = _("the files are as they were: {error}").format(error=error)
        click.echo(f"carprice: {text}", err=True)
        sys.exit(UNUSABLE)
    finally:
        # What was found is told even if it is not repaired.
        _tell(found, as_json=as_json)
    is_damaged = bool(found.damaged) or found.missing_list is not None
    sys.exit(REFUSED if check and is_damaged else DONE)


@dataclasses.dataclass
class Repair:
    """What was found and done."""

    missing_list: str | None = None
    """What is said of the list of the files, if it is missing."""
    is_list_written: bool = False
    is_searched: bool = False
    damaged: list[Damage] = dataclasses.field(default_factory=list)
    backup: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "list_missing": self.missing_list is not None,
            "list_written": self.is_list_written,
            "damage": [each.description for each in self.damaged],
            "repaired": self.backup is not None,
            "damaged_files": None if self.backup is None else str(self.backup),
        }


def _repair(folder: Path, found: Repair, *, check: bool, drop_base: bool) -> None:
    try:
        check_manifest(folder)
    except ManifestMissingError as error:
        found.missing_list = str(error)
        if check:
            return
        write_manifest(folder)
        found.is_list_written = True
    found.damaged = find_damage(folder)
    found.is_searched = True
    if check or not found.damaged:
        return
    _check_base(found.damaged, drop_base=drop_base)
    found.backup = repair(folder, found.damaged, dt.datetime.now(tz=dt.UTC))


def _tell(found: Repair, *, as_json: bool) -> None:
    if not found.is_searched and found.missing_list is None:
        return
    if as_json:
        echo_json(found.to_json())
        return
    if found.missing_list is not None:
        click.echo(found.missing_list)
    if found.is_list_written:
        click.echo(_("the list of the files was written anew"))
    for each in found.damaged:
        click.echo(each.description)
    if found.is_searched and not found.damaged and not found.is_list_written:
        click.echo(_("no damage found"))
    if found.backup is not None:
        text = _("repaired; the damaged files are in {folder}. Start the service again.")
        click.echo(text.format(folder=found.backup))


def _data_folder(settings: Settings) -> Path:
    if settings.redis_url:
        raise RepairError(_("REDIS_URL names a server of yours: repair its files there"))
    folder = settings.home.resolve() / "broker"
    if not folder.is_dir():
        raise RepairError(_("{folder} does not exist").format(folder=folder))
    return folder


def _lock(folder: Path) -> int:
    """Lock the files; raises `RepairError` if the broker is running."""
    try:
        return lock_data(folder)
    except EmbeddedServerError:
        text = _("{folder} is in use: stop the service first")
        raise RepairError(text.format(folder=folder)) from None


def _check_base(damaged: list[Damage], *, drop_base: bool) -> None:
    """Refuse to drop a base file unasked."""
    if not drop_base and any(each.analysis is None for each in damaged):
        raise RepairError(
            _(
                "restore the base file from a backup, or drop it with --drop-base: jobs accepted "
                "before the last rewrite are lost then, batches continue from their stored files"
            )
        )

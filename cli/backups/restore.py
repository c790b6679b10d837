"""`carprice restore`: puts the data of a backup in place, and verifies them."""

import os
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import redis

from cli.audit.commands import verify
from cli.backups.archive import extract
from cli.backups.create import broker_folder_option, check_broker_folder
from cli.backups.layout import BATCHES, BackupError, Part, parts_of
from cli.backups.prepare import OpenWork, prepare
from cli.shell.exit_codes import REFUSED, UNUSABLE
from cli.shell.options import json_option
from cli.streams import echo_json
from launcher.embedded import EmbeddedServerError, lock_data
from launcher.environment import with_absolute_paths
from launcher.preflight import CannotStartError, lock_home
from shared.i18n.command import gettext as _
from shared.keys.store import close_folder, make_private_folder
from shared.redis.connections import connect
from shared.redis.servers import external_url
from shared.settings import Settings, SettingsError

STAGING = ".restore"
"""Folder in the home where a backup is unpacked, checked and prepared."""


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path), metavar="FILE|FOLDER")
@click.option(
    "--force", is_flag=True, help="Move existing data aside, to names with `.replaced-TIME`."
)
@broker_folder_option
@json_option
@click.pass_context
def restore(
    ctx: click.Context, *, path: Path, force: bool, broker_folder: Path | None, as_json: bool
) -> None:
    """Put the data of a backup in place; the service must not be running.

    The backup is checked before anything is changed. Open jobs and batches go on when the service
    is started.
    """
    os.umask(0o077)
    try:
        settings = with_absolute_paths(Settings.from_env())
        check_broker_folder(settings, broker_folder)
        info, work = _restore(path, settings, broker_folder, force=force)
    except (BackupError, SettingsError, CannotStartError, EmbeddedServerError, OSError) as error:
        click.echo(f"carprice: {error}", err=True)
        raise SystemExit(UNUSABLE) from None
    when = datetime.fromtimestamp(info["at"], UTC).isoformat(timespec="seconds")
    files = len(info["files"])
    if as_json:
        found = {"files": files, "at": when, "open_jobs": work.jobs, "open_batches": work.batches}
        echo_json(found)
    else:
        text = _(
            "restored {files} files, state of {time}; {jobs} jobs and {batches} batches go on when"
            " the service is started"
        )
        click.echo(text.format(files=files, time=when, jobs=work.jobs, batches=work.batches))
    _verify(ctx, as_json=as_json)


def _verify(ctx: click.Context, *, as_json: bool) -> None:
    """Run `carprice audit verify`; exit with 1 if it finds faults."""
    try:
        ctx.invoke(verify, as_json=as_json)
    except SystemExit as ended:
        if ended.code == REFUSED:
            raise


def _restore(
    path: Path, settings: Settings, broker_folder: Path | None, *, force: bool
) -> tuple[dict[str, Any], OpenWork]:
    home = settings.home
    for folder in (home, home / "run", home / "broker"):
        make_private_folder(folder)
    close_folder(home)
    _check_stopped(settings)
    parts = parts_of(settings, broker_folder)
    _check_targets(parts, force=force)
    # Both locks are held until this process ends.
    lock_home(home)
    lock_data(home / "broker")
    staging = home / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    make_private_folder(staging)
    try:
        info = extract(path, staging)
        work = prepare(staging, has_payloads=BATCHES in info["parts"])
        _move(staging, [part for part in parts if part.name in info["parts"]])
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    os.sync()
    return info, work


def _check_stopped(settings: Settings) -> None:
    """Raise `BackupError` if an external broker answers; locks show the other processes."""
    if not settings.redis_url:
        return
    try:
        connect(external_url(settings, settings.redis_url)).ping()
    except redis.RedisError:
        return
    raise BackupError(_("the broker of REDIS_URL is running: stop it and all processes first"))


def _check_targets(parts: Sequence[Part], *, force: bool) -> None:
    """Raise `BackupError` if existing data would have to give way, and cannot or must not."""
    for part in parts:
        if not _has_content(part.path):
            continue
        if not force:
            text = _(
                "{path} exists: name another folder with CARPRICE_HOME (and MODELS_PATH), "
                "or move what exists aside with --force"
            )
            raise BackupError(text.format(path=part.path))
        if part.path.is_mount():
            text = _("{path} is a mount that is not empty: move its content aside")
            raise BackupError(text.format(path=part.path))


def _has_content(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _move(staging: Path, parts: Sequence[Part]) -> None:
    """Move the restored parts into place, and what is there aside."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    for part in parts:
        if _has_content(part.path):
            part.path.replace(part.path.with_name(f"{part.path.name}.replaced-{stamp}"))
        restored = staging / part.name
        if restored.is_dir() and part.path.is_dir():  # it may be a mount
            for entry in restored.iterdir():
                shutil.move(entry, part.path / entry.name)
        elif restored.exists():
            part.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.move(restored, part.path)

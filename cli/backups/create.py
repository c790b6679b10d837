"""`carprice backup`: copies all durable data of a service, which may be running."""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from cli.backups.archive import open_writer
from cli.backups.collect import Collector
from cli.backups.layout import BATCHES, BROKER, MODELS, BackupError, Part, parts_of
from cli.shell.exit_codes import UNUSABLE
from cli.shell.options import json_option
from cli.streams import echo_json
from launcher.environment import with_absolute_paths
from shared.i18n.command import gettext as _
from shared.settings import Settings, SettingsError

broker_folder_option = click.option(
    "--broker-folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder of the broker, if REDIS_URL names one: that with `appendonlydir`.",
)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|FOLDER")
@broker_folder_option
@json_option
def backup(path: Path, broker_folder: Path | None, *, as_json: bool) -> None:
    """Copy all durable data into FILE (.tar, .tar.gz, .tgz) or FOLDER; the service may be running.

    Broker, batches, jobs, audit log, API keys and models are copied; the cache, logs and metrics
    are not. Everything that was accepted when the command began is in the copy.
    """
    started = time.monotonic()
    os.umask(0o077)
    try:
        settings = with_absolute_paths(Settings.from_env())
        check_broker_folder(settings, broker_folder)
        parts = parts_of(settings, broker_folder)
        _check_existing(settings, parts)
        if settings.blob_url:
            parts = [part for part in parts if part.name != BATCHES]
            text = _("batches stay in their bucket; protect it by itself")
            click.echo(f"carprice: {text}", err=True)
        with open_writer(path) as writer:
            at = Collector(writer, parts).run()
            info = writer.finish(at, {"parts": [part.name for part in parts]})
    except (BackupError, SettingsError, OSError) as error:
        click.echo(f"carprice: {error}", err=True)
        raise SystemExit(UNUSABLE) from None
    size = sum(file["size"] for file in info["files"].values())
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    took_s = time.monotonic() - started
    if as_json:
        members = {"path": str(path), "files": len(info["files"]), "bytes": size, "at": when}
        echo_json({**members, "parts": info["parts"], "took_s": round(took_s, 3)})
        return
    text = _("{path}: {files} files, {megabytes} MB, state of {time}, {seconds} s")
    click.echo(
        text.format(
            path=path, files=len(info["files"]), megabytes=f"{size / 1e6:.1f}", time=when,
            seconds=f"{took_s:.1f}",
        )
    )  # fmt: skip


def _check_existing(settings: Settings, parts: Sequence[Part]) -> None:
    if not any(part.path.exists() for part in parts if part.name != MODELS):
        text = _("{folder}: nothing to copy: is CARPRICE_HOME right?")
        raise BackupError(text.format(folder=settings.home))


def check_broker_folder(settings: Settings, broker_folder: Path | None) -> None:
    """Check that the files of the broker can be found.

    Raises:
        BackupError: they cannot.
    """
    if settings.redis_url and broker_folder is None:
        text = _(
            "REDIS_URL names a broker whose files are elsewhere: name its data folder with "
            "--broker-folder (that with `{name}`)"
        )
        raise BackupError(text.format(name=BROKER.rpartition("/")[2]))

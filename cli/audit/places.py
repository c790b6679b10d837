"""Where the log of a command and what proves it are: options, and what they mean together."""

from pathlib import Path

import click

from cli.shell.exit_codes import UNUSABLE
from shared.audit.columns.places import LogPlace
from shared.i18n.command import gettext as _
from shared.settings import Settings

folder_option = click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The audit log; that of CARPRICE_HOME if not given.",
)
key_file_option = click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Key of the checkpoints; beside them if not given.",
)


def log_place(
    settings: Settings,
    folder: Path | None,
    checkpoints: Path | None = None,
    key_file: Path | None = None,
) -> LogPlace:
    """The log of the settings with its checkpoints, or another with those beside it.

    Exits with a message if there is no log.
    """
    log = folder or settings.audit_folder
    if not log.is_dir():
        text = _("no audit log at {folder}: is CARPRICE_HOME right?").format(folder=log)
        click.echo(f"carprice: {text}", err=True)
        raise SystemExit(UNUSABLE)
    if log.resolve() == settings.audit_folder.resolve():
        default, default_key = settings.checkpoints_folder, settings.checkpoint_key_file
    else:
        default = log.parent / "audit-checkpoints"
        default_key = (checkpoints or default).parent / "audit-checkpoints.key"
    return LogPlace(log, checkpoints or default, key_file or default_key)

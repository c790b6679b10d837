"""`carprice audit`: verifies the audit log, deletes records of it."""

import time
from datetime import UTC, date, datetime
from pathlib import Path

import click

from shared.audit.checkpoints import Checkpoints, is_log_file
from shared.audit.erasure import erase_caller
from shared.audit.file_state import CheckpointError
from shared.audit.inventory import Kind
from shared.audit.retention import remove_before
from shared.audit.verification import Report, verify_log
from shared.logging import log_errors_only
from shared.settings import Settings

INCOMPLETE = 3
"""Exit code: the chains hold, but there are no checkpoints that show that nothing is missing."""


@click.group()
def audit() -> None:
    """Verify the audit log, or delete records from it."""
    log_errors_only()


@audit.command()
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The audit log; that of CARPRICE_HOME if not given.",
)
@click.option(
    "--checkpoints",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of its checkpoints; beside it if not given.",
)
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Key of the checkpoints; beside them if not given.",
)
def verify(folder: Path | None, checkpoints: Path | None, key_file: Path | None) -> None:
    """Find changed, missing, added and reordered records and files.

    Exit code 1 if there are any, 2: no log, 3: nothing was found, but without checkpoints it is
    unknown whether files or the last records of files are missing.
    """
    settings = Settings.from_env()
    log = folder or settings.audit_folder
    if not log.is_dir():
        click.echo(f"carprice: no audit log at {log}: is CARPRICE_HOME right?", err=True)
        raise SystemExit(2)
    checkpoints, key_file = _checkpoint_paths(settings, log, checkpoints, key_file)
    report = verify_log(log, checkpoints, key_file)
    for fault in report.faults:
        click.echo(fault, err=True)
    click.echo(
        f"{report.records} records in {report.files} files are whole, {report.broken} files are not"
    )
    for remark in report.torn:
        click.echo(f"{remark}; nothing that was recorded is missing")
    if report.uncovered:
        click.echo(
            f"{report.uncovered} records are after the last checkpoint of their file: its process"
            " runs, was killed within that second, or somebody added them"
        )
    _describe_inventory(report, checkpoints)
    if report.broken:
        raise SystemExit(1)
    if report.since is None:
        raise SystemExit(INCOMPLETE)


@audit.command()
def adopt() -> None:
    """List the files of processes of an earlier release in the inventory, after an update.

    Each file is then protected as it is now.
    """
    settings = Settings.from_env()
    checkpoints = Checkpoints.of(settings, time.time)
    with _failures_reported(), checkpoints.locked() as inventory:
        listed = {entry.file.name for entry in inventory.read() if entry.file}
    paths = [
        path
        for path in sorted(settings.audit_folder.glob("*.jsonl"))
        if is_log_file(path) and path.name not in listed
    ]
    with _failures_reported():
        checkpoints.list_files(paths, Kind.ADOPTED)
    for path in paths:
        click.echo(path.name)
    click.echo(f"{len(paths)} files were added to the inventory")


@audit.command()
@click.option("--before", metavar="YYYY-MM-DD", help="Delete all records of earlier days.")
@click.option("--caller", help="Delete the records of one caller, of all days before today.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(before: str | None, caller: str | None, yes: bool) -> None:  # noqa: FBT001 - click
    """Delete records; the inventory notes it, so that the rest stays verifiable."""
    if (before is None) == (caller is None):
        raise click.UsageError("give either --before or --caller")
    settings = Settings.from_env()
    today = datetime.now(UTC).date().isoformat()
    if not yes:
        click.confirm(f"Delete records from {settings.audit_folder}?", abort=True)
    checkpoints = Checkpoints.of(settings, time.time)
    with _failures_reported():
        if before is not None:
            day = min(_day(before), today)
            count = remove_before(settings.audit_folder, day, checkpoints)
            click.echo(f"{count} files of days before {day} were deleted")
        elif caller is not None:
            count = erase_caller(
                settings.audit_folder, caller, today, Checkpoints.of(settings, time.time)
            )
            click.echo(f"{count} records of {caller} before {today} were deleted")


def _checkpoint_paths(
    settings: Settings, log: Path, checkpoints: Path | None, key_file: Path | None
) -> tuple[Path, Path]:
    """The checkpoints of a log: those of the settings for their own log, else beside it."""
    if log.resolve() == settings.audit_folder.resolve():
        default, default_key = settings.checkpoints_folder, settings.checkpoint_key_file
    else:
        default = log.parent / "audit-checkpoints"
        default_key = (checkpoints or default).parent / "audit-checkpoints.key"
    return checkpoints or default, key_file or default_key


def _describe_inventory(report: Report, checkpoints: Path) -> None:
    if report.since is None:
        click.echo(
            f"no inventory at {checkpoints}: it is unknown whether files, or the last records of"
            " files, are missing",
            err=True,
        )
        return
    since = datetime.fromtimestamp(report.since, UTC).isoformat(timespec="seconds")
    click.echo(f"inventory since {since}; {report.adopted} files were listed as they were found")
    if report.open_segments:
        click.echo(f"{report.open_segments} files belong to batches that have not ended")


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise click.UsageError(f"--before {text}: expected YYYY-MM-DD") from None


class _failures_reported:  # noqa: N801 - used as a statement
    """Ends the command with the reason if the disk or the key refuses."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError | CheckpointError):
            raise click.ClickException(str(error)) from error

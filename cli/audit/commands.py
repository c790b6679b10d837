"""`carprice audit`: verifies the audit log, deletes records of it; the other commands on it."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cli.audit.export import export
from cli.audit.failures import failures_reported
from cli.audit.places import folder_option, key_file_option, log_place
from cli.audit.query import as_day, query
from cli.shell.exit_codes import INCOMPLETE, REFUSED
from cli.shell.options import json_option
from cli.streams import echo_json
from shared.audit.bundles.bundle import opened
from shared.audit.checkpoints import Checkpoints, is_log_file
from shared.audit.erasure import erase_caller
from shared.audit.hosts.verification import CopiesReport, verify_copies
from shared.audit.inventory import Kind
from shared.audit.retention import remove_before
from shared.audit.verification import Report, verify_log
from shared.i18n.command import gettext as _
from shared.i18n.command import ngettext
from shared.logging import log_errors_only
from shared.settings import Settings
from shared.state.objects import StateObjects


@click.group()
def audit() -> None:
    """Verify, search and export the audit log, or delete records from it."""
    log_errors_only()


audit.add_command(export)
audit.add_command(query)


@audit.command()
@click.argument(
    "bundle", required=False, type=click.Path(exists=True, path_type=Path), metavar="[BUNDLE]"
)
@folder_option
@click.option(
    "--checkpoints",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of its checkpoints; beside it if not given.",
)
@key_file_option
@json_option
def verify(
    bundle: Path | None,
    folder: Path | None,
    checkpoints: Path | None,
    key_file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Find changed, missing, added and reordered records and files.

    BUNDLE is what `audit export` has written.
    """
    settings = Settings.from_env()
    if bundle is not None and (folder or checkpoints):
        raise click.UsageError(_("a bundle has its own log and checkpoints"))
    if bundle is not None:
        _verify_bundle(bundle, key_file, as_json=as_json)
        return
    place = log_place(settings, folder, checkpoints, key_file)
    report = verify_log(*place)
    copies = None if folder else _verify_copies(settings)
    for fault in report.faults + (copies.faults if copies else []):
        click.echo(fault, err=True)
    if as_json:
        echo_json(_members(report) | ({"copies": _copies_members(copies)} if copies else {}))
    else:
        _describe_records(report)
        _describe_inventory(report, place.checkpoints)
        if copies:
            text = _("{hosts} hosts share their logs: {records} records in {files} files of others")
            members = {"hosts": copies.hosts, "records": copies.records, "files": copies.files}
            click.echo(text.format(**members))
    _exit(report, has_other_faults=bool(copies and copies.faults))


def _verify_bundle(bundle: Path, key_file: Path | None, *, as_json: bool) -> None:
    with failures_reported(), opened(bundle) as place:
        report = verify_log(place.folder, place.checkpoints if key_file else None, key_file)
        for fault in report.faults:
            click.echo(fault, err=True)
        if as_json:
            echo_json(_members(report))
        else:
            _describe_records(report)
            if key_file is None:
                click.echo(_("without --key-file only the chains were verified"), err=True)
            else:
                _describe_inventory(report, place.checkpoints)
    _exit(report)


def _exit(report: Report, *, has_other_faults: bool = False) -> None:
    """End the command with its code, unless all is well."""
    if report.broken or has_other_faults:
        raise SystemExit(REFUSED)
    if report.since is None:
        raise SystemExit(INCOMPLETE)


@audit.command()
@json_option
def adopt(*, as_json: bool) -> None:
    """List the files of processes of an earlier release in the inventory, after an update.

    Each file is then protected as it is now.
    """
    settings = Settings.from_env()
    checkpoints = Checkpoints.of(settings, time.time)
    with failures_reported(), checkpoints.locked() as inventory:
        listed = {entry.file.name for entry in inventory.read() if entry.file}
    paths = [
        path
        for path in sorted(settings.audit_folder.glob("*.jsonl"))
        if is_log_file(path) and path.name not in listed
    ]
    with failures_reported():
        checkpoints.list_files(paths, Kind.ADOPTED)
    if as_json:
        echo_json({"adopted": [path.name for path in paths]})
        return
    for path in paths:
        click.echo(path.name)
    click.echo(
        ngettext(
            "{number} file was added to the inventory",
            "{number} files were added to the inventory",
            len(paths),
        ).format(number=len(paths))
    )


@audit.command()
@click.option("--before", metavar="YYYY-MM-DD", help="Delete all records of earlier days.")
@click.option("--caller", help="Delete the records of one caller, of all days before today.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(*, before: str | None, caller: str | None, yes: bool, as_json: bool) -> None:
    """Delete records; the inventory notes it, so that the rest stays verifiable."""
    if (before is None) == (caller is None):
        raise click.UsageError(_("give either --before or --caller"))
    settings = Settings.from_env()
    today = datetime.now(UTC).date().isoformat()
    if not yes:
        question = _("Delete records from {folder}?").format(folder=settings.audit_folder)
        click.confirm(question, abort=True, err=True)
    checkpoints = Checkpoints.of(settings, time.time)
    with failures_reported():
        if before is not None:
            day = min(as_day("--before", before).isoformat(), today)
            count = remove_before(settings.audit_folder, day, checkpoints)
            result: dict[str, Any] = {"before": day, "files": count}
            text = ngettext(
                "{number} file of days before {day} was deleted",
                "{number} files of days before {day} were deleted",
                count,
            ).format(number=count, day=day)
        else:
            erased = str(caller)
            count = erase_caller(
                settings.audit_folder, erased, today, Checkpoints.of(settings, time.time)
            )
            result = {"caller": erased, "before": today, "records": count}
            text = ngettext(
                "{number} record of {caller} before {day} was deleted",
                "{number} records of {caller} before {day} were deleted",
                count,
            ).format(number=count, caller=erased, day=today)
    if as_json:
        echo_json(result)
    else:
        click.echo(text)


def _verify_copies(settings: Settings) -> CopiesReport | None:
    """Verify the logs of other hosts; None: no other host shares its state."""
    objects = StateObjects.of(settings)
    if objects is None:
        return None
    with failures_reported():
        return verify_copies(objects, settings.audit_folder)


def _copies_members(copies: CopiesReport) -> dict[str, Any]:
    """What other hosts have copied, in the JSON document of a verification."""
    return {
        "hosts": copies.hosts,
        "records": copies.records,
        "files": copies.files,
        "faults": list(map(str, copies.faults)),
    }


def _members(report: Report) -> dict[str, Any]:
    """The JSON document of a verification."""
    return {
        "whole": not report.broken,
        "records": report.records,
        "files": report.files,
        "broken_files": report.broken,
        "faults": list(map(str, report.faults)),
        "torn": list(map(str, report.torn)),
        "uncovered_records": report.uncovered,
        "inventory_since": None if report.since is None else _time(report.since),
        "adopted_files": report.adopted,
        "open_segments": report.open_segments,
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _describe_records(report: Report) -> None:
    text = _("{records} records in {files} files are whole, {broken} files are not")
    click.echo(text.format(records=report.records, files=report.files, broken=report.broken))
    for remark in report.torn:
        click.echo(_("{remark}; nothing that was recorded is missing").format(remark=remark))
    if report.uncovered:
        text = _(
            "{number} records are after the last checkpoint of their file: its process runs, was"
            " killed within that second, or somebody added them"
        )
        click.echo(text.format(number=report.uncovered))


def _describe_inventory(report: Report, checkpoints: Path) -> None:
    if report.since is None:
        text = _(
            "no inventory at {folder}: it is unknown whether files, or the last records of files,"
            " are missing"
        )
        click.echo(text.format(folder=checkpoints), err=True)
        return
    text = _("inventory since {time}; {number} files were listed as they were found")
    click.echo(text.format(time=_time(report.since), number=report.adopted))
    if report.open_segments:
        text = _("{number} files belong to batches that have not ended")
        click.echo(text.format(number=report.open_segments))

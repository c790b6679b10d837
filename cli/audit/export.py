"""`carprice audit export`: a part of the audit log that can be verified elsewhere."""

from datetime import UTC, datetime
from pathlib import Path

import click

from cli.audit.failures import failures_reported
from cli.audit.places import log_place
from cli.audit.query import as_day
from cli.shell.options import json_option
from cli.streams import echo_json
from shared.audit.bundles.bundle import export as write_bundle
from shared.i18n.command import gettext as _
from shared.settings import Settings


@click.command()
@click.option("--from", "first", metavar="YYYY-MM-DD", help="First UTC day; all if not given.")
@click.option("--to", "last", metavar="YYYY-MM-DD", help="Last UTC day; today if not given.")
@click.option(
    "--out",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH",
    help="A new folder, or a new file: .tar, .tar.gz or .tar.zst.",
)
@json_option
def export(first: str | None, last: str | None, target: Path, *, as_json: bool) -> None:
    """Write the log of some days as a bundle that `audit verify` verifies on any machine.

    A log with a fault in these days is not exported.
    """
    first_day = as_day("--from", first).isoformat() if first else "0001-01-01"
    last_day = as_day("--to", last) if last else datetime.now(UTC).date()
    place = log_place(Settings.from_env(), None)
    with failures_reported():
        done = write_bundle(place, first_day, last_day.isoformat(), target)
    if as_json:
        echo_json({"path": str(target), "files": done.files, "records": done.records})
        return
    text = _("{records} records in {files} files were written to {path}")
    click.echo(text.format(records=done.records, files=done.files, path=target))

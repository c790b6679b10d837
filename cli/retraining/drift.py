"""`carprice drift`: how far the valued cars differ from the training data."""

import datetime as dt
import os
import tempfile
from pathlib import Path

import click

from cli.console import BadInputError, click_errors, print_json
from cli.shell.options import json_option
from shared.i18n.command import gettext as _
from shared.i18n.command import os_reason
from shared.settings import Settings

DEFAULT_DAYS = 28
MAX_DAYS = 36_500
_DAY = click.DateTime(formats=["%Y-%m-%d"])
_DAY_NAME = "YYYY-MM-DD"


@click.command()
@click.option(
    "--days",
    type=click.IntRange(1, MAX_DAYS),
    help=f"The last so many days, today (UTC) included; {DEFAULT_DAYS} if no day is given.",
)
@click.option("--from", "first", type=_DAY, metavar=_DAY_NAME, help="First day (UTC).")
@click.option(
    "--to",
    "last",
    type=_DAY,
    metavar=_DAY_NAME,
    help="Last day (UTC), included; today if not given.",
)
@click.option(
    "--by",
    type=click.Choice(["day", "week"]),
    default="week",
    show_default=True,
    help="Length of the periods that are compared one by one, besides the whole time.",
)
@click.option("--version", help="Model version to compare with; the active one if not given.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The audit log; that of CARPRICE_HOME if not given.",
)
@click.option(
    "--max-records",
    type=click.IntRange(0),
    default=50_000,
    show_default=True,
    help="Records of a day that are read; a busier day is sampled. 0: all.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a report with plots: one HTML file.",
)
@json_option
def drift(
    *,
    days: int | None,
    first: dt.datetime | None,
    last: dt.datetime | None,
    by: str,
    version: str | None,
    folder: Path | None,
    max_records: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Compare the cars that callers had valued with the cars that the model was trained on.

    Reads the audit log: single cars, jobs and batches. Prints the population stability index
    (PSI) of each field and of the estimated price.
    """
    settings = Settings.from_env()
    start, end = _range(days, first, last)
    if output is not None:
        _check_writable(output)
    # numpy and pandas take a second to import: a wrong option is reported before.
    from model_store.drift.pages import html_report, text_report  # noqa: PLC0415
    from model_store.drift.report import By, DriftUnavailable, drift_report  # noqa: PLC0415

    with click_errors():
        try:
            report = drift_report(
                settings.versions_path,
                folder or settings.audit_folder,
                first=start,
                last=end,
                by=By(by),
                version=version,
                max_records_per_day=max_records,
            )
        except DriftUnavailable as error:
            if as_json:
                print_json({"error": error.code, "message": str(error)})
            raise BadInputError(str(error)) from None
        if output is not None:
            os.environ.setdefault("MPLCONFIGDIR", str(settings.home.resolve() / "matplotlib"))
            _write(output, html_report(report))
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(text_report(report))
    if output is not None:
        click.echo(_("Report: {path}").format(path=output), err=True)


def _range(
    days: int | None, first: dt.datetime | None, last: dt.datetime | None
) -> tuple[dt.date, dt.date]:
    """First and last day of the report."""
    if days is not None and first is not None:
        raise click.UsageError(_("give either --days or --from"))
    end = last.date() if last else dt.datetime.now(dt.UTC).date()
    before = min((days or DEFAULT_DAYS) - 1, (end - dt.date.min).days)
    start = first.date() if first else end - dt.timedelta(before)
    if start > end:
        text = _("--from {first} is after the last day, {last}")
        raise click.UsageError(text.format(first=start, last=end))
    return start, end


def _check_writable(path: Path) -> None:
    """Check before the log is read that the report can be stored.

    Raises:
        BadInputError: it cannot; the message names the path.
    """
    folder = path.parent
    if not folder.is_dir():
        text = _("{path} cannot be written: {folder} is no folder")
        raise BadInputError(text.format(path=path, folder=folder))
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = _("{path} cannot be written: {reason}").format(path=path, reason=os_reason(error))
        raise BadInputError(text) from None


def _write(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:200]}-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        text = _("{path} cannot be written: {reason}").format(path=path, reason=os_reason(error))
        raise BadInputError(text) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)

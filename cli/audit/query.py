"""`carprice audit query`: searches the audit log, and finds figures of many records."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from cli.audit.failures import failures_reported
from cli.audit.places import folder_option, key_file_option
from cli.shell.options import json_option
from shared.audit.columns.names import FIGURE_NAMES, GROUPS, KINDS, NUMBERS, STATUSES
from shared.domain.clock import DAY_S
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _

TABLE_RECORDS = 100
"""Records of a table, if nothing else is asked."""
_FIGURE_HELP = {
    "median": mark("Median of a column, of each group."),
    "mean": mark("Mean of a column, of each group."),
    "min": mark("Least value of a column, of each group."),
    "max": mark("Greatest value of a column, of each group."),
    "sum": mark("Sum of a column, of each group."),
}


def figure_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each figure."""
    for name in reversed(FIGURE_NAMES):
        add = click.option(
            f"--{name}",
            f"{name}_of",
            type=click.Choice(NUMBERS),
            metavar="COLUMN",
            multiple=True,
            help=_FIGURE_HELP[name],
        )
        command = add(command)
    return command


@click.command()
@click.option(
    "--id", "valuation_id", help="The records of a car, or of all cars of a list or batch."
)
@click.option("--caller", help="The records of one caller.")
@click.option("--day", metavar="YYYY-MM-DD", help="The records of one UTC day.")
@click.option(
    "--from",
    "start",
    metavar="TIME",
    help="Records from this UTC time on, like 2026-11-30T14:00.",
)
@click.option("--to", "end", metavar="TIME", help="Records before this time.")
@click.option("--brand", help="The records of one brand.")
@click.option("--model", help="The records of one model.")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    multiple=True,
    help="Kind of records; all but reported sales if not given.",
)
@click.option("--version", help="The records of one model version.")
@click.option("--status", type=click.Choice(STATUSES), help="Answers, or valuations that failed.")
@click.option(
    "--group-by",
    "groups",
    type=click.Choice(GROUPS),
    multiple=True,
    help="Count records by this; may be repeated.",
)
@figure_options
@click.option(
    "--limit",
    type=click.IntRange(1),
    help="Only the newest records, or the largest groups.",
)
@click.option("--lines", "as_lines", is_flag=True, help="Print the lines as they are in the log.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option(
    "--parquet",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a Parquet file.",
)
@folder_option
@key_file_option
@json_option
def query(**options: Any) -> None:
    """Search the audit log, and find figures of many records, while the service runs.

    Records that inventory and checkpoints do not prove are not counted.
    """
    from cli.audit.query_run import run_query  # noqa: PLC0415 - Arrow takes a third of a second

    outputs = [name for name in ("as_json", "as_csv", "as_lines", "parquet") if options[name]]
    if len(outputs) > 1:
        raise click.UsageError(_("choose one of --json, --csv, --lines and --parquet"))
    figures = [(name, column) for name in FIGURE_NAMES for column in options[f"{name}_of"]]
    if options["as_lines"] and (figures or options["groups"]):
        raise click.UsageError(_("--lines shows records, not groups"))
    span = time_span(options["day"], options["start"], options["end"])
    with failures_reported():
        run_query(options, figures, span)


def time_span(day: str | None, start: str | None, end: str | None) -> tuple[float, float]:
    """The Unix times from which on and before which records are meant.

    Raises:
        click.UsageError: a time cannot be read.
    """
    if day is not None:
        if start or end:
            raise click.UsageError(_("give either --day or --from and --to"))
        first = datetime.combine(as_day("--day", day), datetime.min.time(), UTC)
        return first.timestamp(), first.timestamp() + DAY_S
    first_at = _as_time("--from", start).timestamp() if start else 0.0
    return first_at, _as_time("--to", end).timestamp() if end else float("inf")


def as_day(option: str, text: str) -> date:
    """A day that was given; raises `click.UsageError`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = _("{option} {text}: expected YYYY-MM-DD").format(option=option, text=text)
        raise click.UsageError(message) from None


def _as_time(option: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = _("{option} {text}: expected YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS")
        raise click.UsageError(message.format(option=option, text=text)) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

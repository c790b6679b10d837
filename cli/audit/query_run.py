"""Carries out `carprice audit query`."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
import pyarrow as pa

from cli.audit import query_output
from cli.audit.places import log_place
from cli.audit.query import TABLE_RECORDS
from cli.shell.exit_codes import INCOMPLETE
from shared.audit.columns.groups import Figure, group, needed_columns
from shared.audit.columns.hosts import HostColumns
from shared.audit.columns.log import LogColumns
from shared.audit.columns.names import ANSWERS, COLUMNS, KINDS
from shared.audit.columns.opening import open_log
from shared.audit.columns.selection import Selection
from shared.i18n.command import gettext as _
from shared.i18n.command import ngettext
from shared.settings import Settings
from shared.state.objects import StateObjects

SHOWN = ("at", "id", "kind", "caller", "brand", "model", "year", "km_driven", "price_mad", "status")
"""Columns of a table of records."""


def run_query(
    options: dict[str, Any], figures: Sequence[tuple[str, str]], span: tuple[float, float]
) -> None:
    """Find the records and print what was asked; exits with a code if it is not all of it.

    Args:
        options: of the command.
        figures: names and columns.
        span: Unix times.
    """
    settings = Settings.from_env()
    selection = _selection(options, span)
    place = log_place(settings, options["folder"], key_file=options["key_file"])
    log = open_log(place, selection, _show_progress)
    is_shared = options["folder"] is None and not options["as_lines"]
    objects = StateObjects.of(settings) if is_shared else None
    hosts = HostColumns(objects, place.folder, log.names) if objects else None
    if options["groups"] or figures:
        wanted = [Figure(*each) for each in figures]
        names = needed_columns(options["groups"], wanted)
        table = group(_tables(log, hosts, selection, names), options["groups"], wanted)
        query_output.write(iter([table.slice(0, options["limit"])]), options)
        count = len(table)
    else:
        count = _write_records(options, log, _tables(log, hosts, selection, COLUMNS))
    _report(log, hosts)
    if not count and selection.valuation_id is not None:
        text = _("no record of {id} was found").format(id=selection.valuation_id)
        raise click.ClickException(text)


def _selection(options: dict[str, Any], span: tuple[float, float]) -> Selection:
    texts = {name: options[name] for name in ("caller", "brand", "model", "version", "status")}
    kinds = KINDS if options["valuation_id"] else ANSWERS
    return Selection(
        valuation_id=options["valuation_id"],
        start=span[0],
        end=span[1],
        texts={name: text for name, text in texts.items() if text is not None},
        kinds=options["kind"] or kinds,
    )


def _tables(
    log: LogColumns, hosts: HostColumns | None, selection: Selection, names: Sequence[str]
) -> Iterator[pa.Table]:
    yield from log.read(selection, names)
    if hosts is not None:
        try:
            yield from hosts.read(selection, names)
        except OSError as error:
            hosts.faults.append(_("other hosts: {reason}").format(reason=error))


def _write_records(options: dict[str, Any], log: LogColumns, tables: Iterator[pa.Table]) -> int:
    """Write records; return how many were found."""
    counted = query_output.Counted(tables)
    is_table = not any(options[name] for name in ("as_json", "as_csv", "as_lines", "parquet"))
    limit = options["limit"] or (TABLE_RECORDS if is_table else None)
    found = iter([query_output.newest(counted, limit)]) if limit else iter(counted)
    if options["as_lines"]:
        query_output.write_lines(found, log)
    else:
        query_output.write(found, options, SHOWN)
    if is_table and not options["limit"] and counted.records > TABLE_RECORDS:
        text = _("the newest {shown} of {number} records; --limit shows more")
        click.echo(text.format(shown=TABLE_RECORDS, number=counted.records), err=True)
    return counted.records


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        text = _("reading the log once: {percent} %").format(percent=round(100 * done / total))
        click.echo(f"\r{text}", nl=done >= total, err=True)


def _report(log: LogColumns, hosts: HostColumns | None) -> None:
    """Say what was left out; exits if anything was, or if nothing says that all is there."""
    if log.uncovered:
        text = ngettext(
            "{number} record is after the last checkpoint of its file",
            "{number} records are after the last checkpoint of their file",
            log.uncovered,
        )
        click.echo(text.format(number=log.uncovered), err=True)
    faults = log.report.faults + (hosts.faults if hosts else [])
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        click.echo(_("records that are not proven were left out"), err=True)
    elif log.expected is None:
        click.echo(_("no checkpoints: it is unknown whether records are missing"), err=True)
    else:
        return
    raise SystemExit(INCOMPLETE)

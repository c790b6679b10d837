"""`carprice outcomes`: accuracy of the estimates, from reported sales."""

import time
from pathlib import Path

import click

from api.sales.log import SaleReportLog
from api.sales.schemas import dump_figures
from cli.shell.options import json_option
from cli.streams import echo_json
from shared.domain.errors import AuditUnavailable
from shared.domain.sale import SaleAccuracy
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.settings import Settings

HEADER = (
    mark("VERSION"), mark("SALES"), mark("CORRECTED"), mark("MEDIAN ERROR"),
    mark("SALE / ESTIMATE"), mark("IN 90 % INTERVAL"),
)  # fmt: skip


@click.command()
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The audit log; that of CARPRICE_HOME if not given.",
)
@json_option
def outcomes(folder: Path | None, *, as_json: bool) -> None:
    """How right each model version was on the sales reported to it."""
    log = SaleReportLog(folder or Settings.from_env().audit_folder, "", time.time)
    try:
        found = log.figures()
    except AuditUnavailable as error:
        text = _("the outcomes cannot be read: {reason}").format(reason=error.params["reason"])
        raise click.ClickException(text) from error
    if as_json:
        echo_json([dump_figures(each) for each in found], indent=2)
    elif not found:
        click.echo(_("No sale was reported yet: POST /valuations/{id}/outcome takes them."))
    else:
        rows = [tuple(map(_, HEADER)), *map(_row, found)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            click.echo("  ".join(cells).rstrip())


def _row(figures: SaleAccuracy) -> tuple[str, ...]:
    return (
        figures.model_version,
        f"{figures.outcomes:,}",
        f"{figures.corrections:,}",
        f"{figures.median_ape:.1%}",
        f"{figures.mean_ratio:.3f}",
        f"{figures.coverage_90:.1%}",
    )

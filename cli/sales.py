"""`carprice outcomes`: accuracy of the estimates, from reported sales."""

import json
import time
from pathlib import Path

import click

from api.sales.log import SaleReportLog
from api.sales.schemas import dump_figures
from shared.domain.errors import AuditUnavailable
from shared.domain.sale import SaleAccuracy
from shared.settings import Settings

HEADER = ("VERSION", "SALES", "CORRECTED", "MEDIAN ERROR", "SALE / ESTIMATE", "IN 90 % INTERVAL")


@click.command()
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The audit log; that of CARPRICE_HOME if not given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def outcomes(folder: Path | None, *, as_json: bool) -> None:
    """How right each model version was on the sales reported to it."""
    log = SaleReportLog(folder or Settings.from_env().audit_folder, "", time.time)
    try:
        found = log.figures()
    except AuditUnavailable as error:
        raise click.ClickException(
            f"the outcomes cannot be read: {error.params['reason']}"
        ) from error
    if as_json:
        click.echo(json.dumps([dump_figures(each) for each in found], indent=2))
    elif not found:
        click.echo("No sale was reported yet: POST /valuations/{id}/outcome takes them.")
    else:
        rows = [HEADER, *map(_row, found)]
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

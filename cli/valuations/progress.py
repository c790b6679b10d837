"""What `carprice batch` shows while a batch runs, and when it has ended."""

import sys
from itertools import islice
from pathlib import Path
from typing import Any, Self

import click
from tqdm import tqdm

from cli.streams import echo_json
from cli.valuations.printing import TEXTS
from cli.valuations.texts import (
    failed_rows,
    message,
    outcome,
    rejected_rows,
    rows_of,
    state,
    valued_rows,
)
from client.sync import CarPriceClient
from client.work import Batch
from shared.i18n.catalogue import translate
from shared.i18n.languages import Language

ERRORS_SHOWN = 5


class Bar:
    """A progress bar on a terminal: first of sent bytes, then of valued rows.

    Args:
        language: of its texts.
        quiet: whether to show nothing.
    """

    def __init__(self, language: Language, *, quiet: bool) -> None:
        self._language = language
        self._options: dict[str, Any] = {"disable": quiet or None, "file": sys.stderr}
        self._bar: tqdm[Any] | None = None
        self._unit = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar from the terminal."""
        self._close()

    def sending(self, sent: int, size: int) -> None:
        """Show the progress of the upload, bytes."""
        self._show("B", message("sending", self._language), sent, size)

    def valuing(self, batch: Batch) -> None:
        """Show the progress of the batch."""
        unit = message("row", self._language)
        self._show(unit, state(batch.state, self._language), batch.done, batch.total)

    def _show(self, unit: str, what: str, done: int, total: int | None) -> None:
        if self._unit != unit or self._bar is None:
            self._close()
            self._unit = unit
            self._bar = tqdm(unit=unit, unit_scale=True, **self._options)
        self._bar.total = total
        self._bar.set_description_str(what, refresh=False)
        self._bar.n = done
        self._bar.refresh()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def summarise(
    client: CarPriceClient, ended: Batch, output: Path | str, language: Language, *, as_json: bool
) -> None:
    """Print the summary of the batch, its notices and its first errors."""
    if as_json:
        echo_json({**ended.raw, "output": str(output)})
    summary = message(
        "summary",
        language,
        outcome=outcome(ended.outcome, language),
        rows=rows_of(ended.done, ended.total or ended.done, language),
        valid=valued_rows(ended.valid, language, is_checked=ended.outcome == "dry_run"),
        invalid=rejected_rows(ended.invalid, language),
        failed=failed_rows(ended.failed, language),
        output=output,
    )
    click.echo(summary, err=True)
    for notice in ended.notices:
        click.echo(translate(TEXTS["note"], language).format(text=notice.detail), err=True)
    if ended.error:
        click.echo(str(ended.error), err=True)
    if not ended.invalid and not ended.failed:
        return
    shown = list(islice(client.batch_errors(ended.id), ERRORS_SHOWN + 1))
    for error in shown[:ERRORS_SHOWN]:
        code = "cell" if error.column else "line"
        place = message(code, language, line=str(error.line), column=error.column)
        click.echo(message("entry", language, place=place, message=error.message), err=True)
    if len(shown) > ERRORS_SHOWN:
        click.echo(message("more", language), err=True)

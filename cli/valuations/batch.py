"""The command `batch`: uploads a file, waits and downloads the results."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cli.shell.exit_codes import INTERRUPTED, REFUSED
from cli.shell.options import json_option
from cli.streams import echo_json
from cli.valuations.batch_run import BatchRun
from cli.valuations.files import (
    HeaderRow,
    check_outputs,
    chosen_format,
    rejected_format,
    replayable_input,
)
from cli.valuations.predict import connection_options, exit_on_error, fail
from cli.valuations.progress import Bar, summarise
from cli.valuations.texts import message
from client.protocol.downloads import Form
from client.sync import CarPriceClient
from client.work import Batch
from shared.i18n.languages import Language

if TYPE_CHECKING:
    from cli.valuations.batch_run import RunOptions

EXIT_ROWS = REFUSED
"""Exit code if not every row was valued."""
EXIT_INTERRUPTED = INTERRUPTED
FORMATS: tuple[Form, ...] = ("csv", "ndjson", "parquet", "xlsx")


class BatchCommand(click.Command):
    """The command `batch`; `batch correct …` and `batch delete …` are commands of their own."""

    others: Mapping[str, click.Command] = {}
    """Those commands by name."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read the arguments; a file called `correct` is given as `./correct`."""
        if args and args[0] in self.others:
            return self.others[args[0]].make_context(
                f"{info_name} {args[0]}", args[1:], parent, **extra
            )
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command whose arguments were read."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


excel_fr_option = click.option(
    "--excel-fr",
    is_flag=True,
    help="Write CSV as a French Excel opens it: semicolons, decimal commas.",
)
"""The results as a French Excel opens them."""

callback_option = click.option(
    "--callback-url",
    metavar="URL",
    help="Where the service also reports the end, by a signed webhook.",
)
"""An address for the end of the batch; the command waits for it all the same."""


@click.command(
    cls=BatchCommand,
    epilog="carprice batch correct ID FILE sends corrected rows back to a batch; carprice batch "
    "delete ID deletes one that has ended.",
)
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the results go; the suffix chooses the format: .csv, .ndjson, .jsonl, "
    ".parquet, .xlsx.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Format of the results; overrides the suffix.",
)
@excel_fr_option
@click.option(
    "--rejected",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where rejected rows go, with the reasons.",
)
@click.option("--dry-run", is_flag=True, help="Validate and report, value nothing.")
@click.option(
    "--on-error",
    type=click.Choice(["continue", "abort"]),
    default="continue",
    show_default=True,
    help="What to do at the first rejected row.",
)
@click.option("--key-column", help="Column that identifies rows in the error report.")
@click.option("--encoding", help="Encoding of FILE; detected if not given.")
@click.option("--delimiter", help="Delimiter of FILE; detected if not given.")
@click.option("--decimal", help="Decimal sign of FILE: comma or point; detected if not given.")
@click.option(
    "--columns",
    metavar="FIELD:HEADER,…",
    help="Which column is which field, like km_driven:Compteur,year:#5; detected if not given.",
)
@click.option(
    "--units",
    metavar="FIELD:UNIT,…",
    help="Units of columns, like km_driven:mi,asking_price_mad:EUR; detected if not given.",
)
@click.option(
    "--header",
    type=HeaderRow(),
    metavar="[yes|no|ROW]",
    help="Whether the first row of FILE names the columns, or the number of the row that does, "
    "from 1; detected if not given.",
)
@click.option(
    "--constants",
    metavar="FIELD:VALUE,…",
    help="Values that hold for all rows, like company:BMW,fuel:Diesel.",
)
@click.option(
    "--sheet",
    help="Sheet of a workbook, by name or number; if not given, the first visible one with columns "
    "of cars, else the first.",
)
@callback_option
@click.option("--quiet", is_flag=True, help="No progress bar.")
@json_option
@connection_options
def batch(
    *,
    file: Path,
    output: Path,
    form: Form | None,
    excel_fr: bool,
    rejected: Path | None,
    callback_url: str | None,
    quiet: bool,
    as_json: bool,
    url: str,
    api_key: str | None,
    lang: Language,
    **options: Any,
) -> None:
    """Value every car of FILE, a table with a header and one car a row; - is standard input.

    Uploads, waits and downloads. Interrupted, the same command goes on where it stopped.
    """
    wanted = chosen_format(output, form, excel_fr=excel_fr, language=lang)
    check_outputs(file, {"-o": output, "--rejected": rejected}, lang)
    with (
        exit_on_error(lang, url),
        replayable_input(file, output) as source,
        CarPriceClient(url, api_key=api_key, language=lang) as client,
    ):
        run = BatchRun(
            client=client,
            file=source,
            output=output,
            url=url,
            options=cast("RunOptions", options | _callback(callback_url)),
            form=wanted,
            name=None if source == file else "stdin.csv",
        )
        try:
            with Bar(lang, quiet=quiet) as bar:
                ended = run.run(bar)
            if rejected is not None:
                client.download_rejected(ended.id, rejected, form=rejected_format(rejected, wanted))
            run.clear_state()
        except KeyboardInterrupt:
            click.echo(f"\n{message('interrupted', lang)}", err=True)
            sys.exit(EXIT_INTERRUPTED)
        summarise(client, ended, output, lang, as_json=as_json)
    sys.exit(exit_code(ended))


def _callback(url: str | None) -> dict[str, Any]:
    """The option of an upload that names a callback address; empty if there is none."""
    return {} if url is None else {"callback_url": url}


def exit_code(ended: Batch) -> int:
    """Exit code of a command whose batch has ended."""
    is_clean = ended.state == "SUCCEEDED" and not ended.invalid and not ended.failed
    return 0 if is_clean else EXIT_ROWS


@click.command()
@click.argument("batch_id", metavar="ID")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the results of the whole batch go, with the corrected rows; the suffix chooses "
    "the format.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="Overrides the suffix.")
@excel_fr_option
@click.option(
    "--rejected",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the rows go that are still rejected, with the reasons.",
)
@callback_option
@click.option("--quiet", is_flag=True, help="No progress bar.")
@json_option
@connection_options
def correct(
    *,
    batch_id: str,
    file: Path,
    output: Path | None,
    form: Form | None,
    excel_fr: bool,
    rejected: Path | None,
    callback_url: str | None,
    quiet: bool,
    as_json: bool,
    url: str,
    api_key: str | None,
    lang: Language,
) -> None:
    """Send corrected rows of FILE back to the batch ID, whose rejected rows they are.

    FILE is what --rejected wrote, with corrected cells, in any format that is read; its column
    row_line says which row each one replaces.
    """
    wanted = chosen_format(output, form, excel_fr=excel_fr, language=lang) if output else "csv"
    check_outputs(file, {"-o": output, "--rejected": rejected}, lang)
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256")
    digest.update((callback_url or "").encode())  # a key stands for one address
    key = f"{digest.hexdigest()[:32]}-{batch_id[:26]}"
    with (
        exit_on_error(lang, url),
        CarPriceClient(url, api_key=api_key, language=lang) as client,
        Bar(lang, quiet=quiet) as bar,
    ):
        sent = client.correct_rows(batch_id, file, callback_url=callback_url, idempotency_key=key)
        ended = sent.wait(on_progress=bar.valuing)
        corrected = ended.corrects or batch_id
        if output is not None:
            client.download_results(corrected, output, form=wanted)
        if rejected is not None:
            client.download_rejected(corrected, rejected, form=rejected_format(rejected, wanted))
        summarise(client, ended, output or corrected, lang, as_json=as_json)
    sys.exit(exit_code(ended))


@click.command()
@click.argument("batch_id", metavar="ID")
@json_option
@connection_options
def delete(*, batch_id: str, as_json: bool, url: str, api_key: str | None, lang: Language) -> None:
    """Delete the file and the results of the batch ID, which has ended, from the service."""
    with exit_on_error(lang, url), CarPriceClient(url, api_key=api_key, language=lang) as client:
        if not client.batch(batch_id).has_ended:
            fail(message("not-ended", lang, id=batch_id))
        client.delete_batch(batch_id)
        if as_json:
            echo_json({"deleted": batch_id})
        click.echo(message("deleted", lang, id=batch_id), err=True)


BatchCommand.others = {"correct": correct, "delete": delete}

"""The commands `predict` and `batch`."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from tqdm import tqdm

from client.batch_run import BatchRun
from client.carprice import CarPriceClient
from client.errors import CarPriceError, ProblemError, ServiceUnreachableError
from client.models import Batch
from client.printing import valuation_lines, warning_lines

EXIT_ROWS = 1
"""The file was handled, and not every row was valued."""
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
ERRORS_SHOWN = 5

CAR_OPTIONS = {
    "company": "Brand, like Toyota.",
    "model": "Model, like Corolla.",
    "year": "Year of first registration.",
    "fuel": "Petrol, Diesel, Hybrid, Electric, LPG or CNG; French words too.",
    "transmission": "Manual or Automatic; French words too.",
    "km_driven": "Odometer, km.",
    "edition": "Trim or version.",
    "owner": "First, Second, …",
    "seller_type": "Individual or Dealer.",
    "mileage_mpg": "Fuel economy, mpg.",
    "engine_cc": "Displacement, cc.",
    "max_power_bhp": "Power, bhp.",
    "torque_nm": "Torque, Nm.",
    "fiscal_power_cv": "Fiscal power, CV.",
    "city": "City of sale.",
    "condition": "Excellent, Very good, Good, …",
    "origin": "WW Morocco, Imported new, Customs cleared, …",
    "doors": "Number of doors.",
    "asking_price_mad": "Price asked for it, MAD: gives a verdict.",
}

Command = TypeVar("Command", bound=Callable[..., Any])


def connection_options(command: Command) -> Command:
    """Options that say where the service is."""
    for option in (
        click.option("--lang", type=click.Choice(["en", "fr"]), default="en", show_default=True,
                     help="Language of messages."),
        click.option("--api-key", envvar="CARPRICE_API_KEY", help="[env: CARPRICE_API_KEY]"),
        click.option("--url", envvar="CARPRICE_URL", default="http://127.0.0.1:8000",
                     show_default=True, help="Address of the service. [env: CARPRICE_URL]"),
    ):  # fmt: skip
        command = option(command)
    return command


def car_options(command: Command) -> Command:
    """One option for each field of a car."""
    for name, text in reversed(CAR_OPTIONS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, help=text)(command)
    return command


@contextmanager
def failures() -> Iterator[None]:
    """Say what failed in one line, without a stack trace."""
    try:
        yield
    except ServiceUnreachableError as error:
        fail(f"{error}: is the service running? (make up)")
    except ProblemError as error:
        fail("\n".join(problem_lines(error)))
    except CarPriceError as error:
        fail(str(error))
    except OSError as error:
        reason = error.strerror or str(error)
        fail(f"{error.filename}: {reason}" if error.filename else reason)


def problem_lines(problem: ProblemError) -> Iterator[str]:
    """What the service refused: each place that is wrong under the name of its option."""
    if not problem.errors:
        yield f"{problem.title}: {problem.detail}"
    for error in problem.errors:
        place = _option_of(error)
        yield f"{place}: {error['detail']}" if place else str(error["detail"])


def _option_of(error: Mapping[str, Any]) -> str:
    """The option that gives the member or parameter of an error; its pointer if none does."""
    if "parameter" in error:
        return f"--{error['parameter'].replace('_', '-')}"
    pointer = str(error.get("pointer") or error.get("header") or "")
    name = pointer.removeprefix("/")
    return f"--{name.replace('_', '-')}" if name in CAR_OPTIONS else pointer


def fail(message: str) -> NoReturn:
    """End with an error."""
    click.echo(message, err=True)
    sys.exit(EXIT_ERROR)


@click.command()
@click.argument(
    "file", required=False, metavar="[FILE]", type=click.Path(allow_dash=True, path_type=str)
)
@car_options
@click.option("--coverage", type=float, help="Of the interval: 0.5, 0.8, 0.9 or 0.95.")
@click.option(
    "--include",
    multiple=True,
    type=click.Choice(["contributions", "depreciation", "comparables"]),
    help="Also show what each field adds to the price, the prices of the next years, or typical "
    "cars near it; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
@connection_options
def predict(
    *,
    file: str | None,
    coverage: float | None,
    include: tuple[str, ...],
    as_json: bool,
    url: str,
    api_key: str | None,
    lang: str,
    **fields: str | None,
) -> None:
    """Value one car.

    The car is given by the options, or as a JSON object in FILE, like {"company": "Toyota", …}
    (- is standard input); an option overrides what stands there.
    """
    with failures():
        car = _load_car(file) | {name: value for name, value in fields.items() if value is not None}
        with CarPriceClient(url, api_key=api_key, language=lang) as client:
            valuation = client.predict(car, include=include, coverage=coverage)
    if as_json:
        click.echo(json.dumps(valuation.raw, ensure_ascii=False, indent=2))
    else:
        for line in valuation_lines(valuation, lang):
            click.echo(line)
        for line in warning_lines(valuation, lang):
            click.echo(line, err=True)


def _load_car(file: str | None) -> dict[str, Any]:
    if file is None:
        return {}
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    try:
        car = json.loads(text)
    except ValueError as error:
        fail(f"{file}: not JSON: {error}")
    if not isinstance(car, dict):
        fail(f'{file}: expected a JSON object, like {{"company": "Toyota", …}}')
    return car


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the results go; .ndjson gives JSON lines.",
)
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
    help="What the first rejected row does.",
)
@click.option("--key-column", help="Column that names rows in the error report.")
@click.option("--encoding", help="Of FILE; detected if not given.")
@click.option("--delimiter", help="Of FILE; detected if not given.")
@click.option("--decimal", help="Of FILE: comma or point; detected if not given.")
@click.option(
    "--dialect",
    type=click.Choice(["default", "excel-fr"]),
    default="default",
    show_default=True,
    help="Of the results.",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
@connection_options
def batch(
    *,
    file: Path,
    output: Path,
    rejected: Path | None,
    dialect: str,
    quiet: bool,
    url: str,
    api_key: str | None,
    lang: str,
    **options: Any,
) -> None:
    """Value every car of FILE: CSV with a header, plain or gzip, one car a row.

    Uploads, waits and downloads. Interrupted, the same command goes on where it stopped. Ends
    with 0 if every row was valued, 1 if not, 2 on errors.
    """  # fmt: skip
    check_outputs(file, {"-o": output, "--rejected": rejected})
    with failures(), CarPriceClient(url, api_key=api_key, language=lang) as client:
        run = BatchRun(
            client=client,
            file=file,
            output=output,
            url=url,
            options=options,
            dialect=dialect,
            ndjson=output.suffix in (".ndjson", ".jsonl"),
        )
        try:
            ended = _run_with_bar(run, quiet=quiet)
        except KeyboardInterrupt:
            click.echo("\nInterrupted. The same command goes on from here.", err=True)
            sys.exit(EXIT_INTERRUPTED)
        if rejected is not None:
            client.download_rejected(ended.id, rejected, dialect=dialect)
        _summarise(client, ended, output)
    is_clean = ended.state == "SUCCEEDED" and not ended.invalid and not ended.failed
    sys.exit(0 if is_clean else EXIT_ROWS)


def check_outputs(file: Path, outputs: Mapping[str, Path | None]) -> None:
    """End with one line if what is written would replace the input or go nowhere.

    Args:
        file: what is read.
        outputs: what is written, by option; None where nothing is.
    """
    taken = {"FILE": file}
    for option, path in outputs.items():
        if path is None:
            continue
        for name, other in taken.items():
            if _is_same_file(path, other):
                fail(f"{option} {path} and {name} are the same file: choose another for {option}")
        folder = path.resolve().parent
        if not folder.is_dir():
            fail(f"{option} {path}: there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            fail(f"{option} {path}: the folder {folder} cannot be written")
        taken[option] = path


def _is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths lead to one file, also through links."""
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()


def _run_with_bar(run: BatchRun, *, quiet: bool) -> Batch:
    with tqdm(unit="row", unit_scale=True, disable=quiet or None, file=sys.stderr) as bar:

        def show(batch: Batch) -> None:
            bar.total = batch.total
            bar.set_description_str(batch.state.lower(), refresh=False)
            bar.n = batch.done
            bar.refresh()

        return run.run(show)


def _summarise(client: CarPriceClient, ended: Batch, output: Path) -> None:
    """What came out, and the first things that are wrong."""
    verb = "valid" if ended.outcome == "dry_run" else "valued"
    click.echo(
        f"{ended.outcome}: {ended.done:,} of {ended.total or ended.done:,} rows: "
        f"{ended.valid:,} {verb}, {ended.invalid:,} rejected, {ended.failed:,} failed -> {output}",
        err=True,
    )
    if ended.error:
        click.echo(ended.error, err=True)
    if ended.invalid:
        for error in islice(client.batch_errors(ended.id), ERRORS_SHOWN):
            place = f"line {error.line}" + (f", {error.column}" if error.column else "")
            click.echo(f"  {place}: {error.message}", err=True)

"""`carprice train`, `carprice evaluate` and `carprice market`."""

import contextlib
import getpass
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from data.calibrate import calibrate as calibrate_market
from data.generator import generate as generate_listings
from data.loading import ListingsError, LoadReport, load_listings
from data.market import REFERENCE_MARKET, ReferenceMarket
from model_store.bundle import load_model, save_bundle
from model_store.evaluation import evaluate_model
from model_store.registry import ModelRegistry
from shared.domain.errors import DomainError
from shared.schemas.messages import describe_problem
from shared.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_ROWS = 30_000
"""Listings that the default model is drawn from the reference market."""
DEFAULT_SEED = 42
_FILE = click.Path(path_type=Path)


class BadInputError(click.ClickException):
    """What was asked for cannot be done with this input; the message says why."""

    exit_code = 2


@click.command()
@click.option("--data", "path", type=_FILE, help="Listings to train on (csv, csv.gz).")
@click.option(
    "--activate/--no-activate",
    default=False,
    help="Serve the new version at once. The very first version always is.",
)
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="Same seed, same model.")
def train(path: Path | None, *, activate: bool, seed: int) -> None:
    """Train a model version: on the reference market, or on listings of your own."""
    from model_store.training.train import steps, train_bundle  # noqa: PLC0415 - scikit-learn

    with _clear_errors():
        listings, name = _training_data(path, seed)
        with tqdm(
            total=steps(listings) + 1, desc="Training", unit="step", disable=None
        ) as progress:

            def advance(step: str) -> None:
                progress.set_postfix_str(step)
                progress.update()

            trained = train_bundle(
                listings, seed=seed, name=name, jobs=_processors(), advance=advance
            )
            registry = ModelRegistry(Settings.from_env().versions_path)
            first = registry.active_version() is None
            version = save_bundle(trained, Settings.from_env().versions_path)
            advance("saved")
        if activate or first:
            registry.activate(version.id, by=getpass.getuser())
    state = "active" if activate or first else "not active: `carprice models activate`"
    click.echo(f"{version.id} ({state})")


@click.command()
@click.option("--data", "path", type=_FILE, required=True, help="Real listings (csv, csv.gz).")
@click.option("--version", help="Model version; the active one if not given.")
def evaluate(path: Path, version: str | None) -> None:
    """Measure a model on real listings; prints one JSON object.

    `mape` and `median_ape` are percentages, `coverage_90` is the share of prices inside the 90 %
    interval.
    """
    with _clear_errors():
        listings, report = load_listings(path)
        _tell(report)
        versions_path = Settings.from_env().versions_path
        wanted = version or ModelRegistry(versions_path).active_version()
        if wanted is None:
            raise BadInputError("no model is active: `carprice train --activate` makes one")
        found = evaluate_model(load_model(versions_path, wanted), listings)
    click.echo(json.dumps(found))


@click.group()
def market() -> None:
    """The statistics that the default model is trained from."""


@market.command()
@click.argument("path", metavar="LISTINGS", type=_FILE)
@click.option(
    "-o",
    "--output",
    type=_FILE,
    default=REFERENCE_MARKET,
    help="Where the statistics go; the file in `data/` if not given.",
)
def calibrate(path: Path, output: Path) -> None:
    """Rebuild the reference market from a listings file."""
    with _clear_errors():
        listings, report = load_listings(path)
        _tell(report)
        found = calibrate_market(listings)
        found.save(output)
    click.echo(
        f"{output}: {len(found.hedonic.vehicle_years)} models from {found.listings} listings,"
        f" prices of {found.data_as_of}"
    )


@market.command()
@click.option("--rows", type=click.IntRange(1, 10_000_000), required=True, help="How many.")
@click.option("-o", "--output", type=_FILE, required=True, help="CSV file to write.")
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="Same seed, same file.")
@click.option("--gaps", is_flag=True, help="Leave out required fields too, as often as sellers do.")
def generate(rows: int, output: Path, seed: int, *, gaps: bool) -> None:
    """Draw listings from the reference market: a file that `carprice batch` prices."""
    with _clear_errors():
        table = generate_listings(ReferenceMarket.load(), rows, seed=seed, gaps=gaps)
        table.to_csv(output, index=False)
    click.echo(f"{output}: {rows} listings")


def _training_data(path: Path | None, seed: int) -> "tuple[pd.DataFrame, str]":
    """Listings to train on and their name."""
    if path is None:
        drawn = generate_listings(ReferenceMarket.load(), DEFAULT_ROWS, seed=seed, mirrored=True)
        return drawn, "reference market"
    listings, report = load_listings(path)
    _tell(report)
    return listings, path.name


def _processors() -> int:
    return len(os.sched_getaffinity(0))


def _tell(report: LoadReport) -> None:
    click.echo(report.summary(), err=True)


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """Expected failures as one line and exit code 2."""
    try:
        yield
    except DomainError as error:
        raise BadInputError(describe_problem(error.code, error.params, "en")[1]) from None
    except (ListingsError, OSError) as error:
        raise BadInputError(str(error)) from None

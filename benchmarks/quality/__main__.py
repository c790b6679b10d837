"""`python -m benchmarks.quality`: measures prices and intervals, and compares them with targets."""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import click
import numpy as np
import pandas as pd

from benchmarks.quality import experiments
from benchmarks.quality.figures import figures
from benchmarks.quality.reference_split import reference_split
from benchmarks.quality.targets import Results, markdown
from data.listings.loading import load_listings
from data.listings.table import CORE_FIELDS
from data.market.calibrate import assign_folds
from data.market.new_car_levels import load_new_prices
from data.market.reference import ReferenceMarket
from model_store.training.train import train_bundle

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_RESULTS = Path(__file__).parent.parent / "results"
_REPEATS = (0, 1, 2)
"""Seeds of the folds for tables where a few expensive cars dominate; their mean is reported."""
_REQUIRED_BY_REFERENCE = (
    "company", "model", "year", "fuel", "seller_type", "transmission", "km_driven", "engine_cc",
    "max_power_bhp",
)  # fmt: skip
_MONTHS_AHEAD = 6
Step = tuple[str, Callable[[], dict[str, float]]]


@click.command()
@click.option("--listings", type=_FILE, multiple=True, help="Real listings; may be repeated.")
@click.option("--new-prices", type=_FILE, help="Prices of new cars by version, for the market.")
@click.option("--reference", type=_FILE, help="The reference project's own file.")
@click.option("--output", type=click.Path(path_type=Path), default=_RESULTS, show_default=True)
@click.option("--only", multiple=True, help="An experiment; the others' results stay as they are.")
def main(
    listings: tuple[Path, ...],
    new_prices: Path | None,
    reference: Path | None,
    output: Path,
    only: tuple[str, ...],
) -> None:
    """Measure the prices; writes quality.json and quality.md after each experiment.

    Without a file its experiments are left out.
    """
    if not listings and reference is None:
        raise click.UsageError("--listings, --reference or both are needed")
    results: Results = _earlier_results(output) if only else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in _steps(listings, new_prices, reference, Path(folder)):
            if only and name not in only:
                continue
            results[name] = measure()
            click.echo(f"{name}: {json.dumps(results[name])}", err=True)
            _write(results, output)
    click.echo(markdown(results))


def _steps(
    listings: Sequence[Path], new_prices: Path | None, reference: Path | None, folder: Path
) -> Iterator[Step]:
    if reference is not None:
        yield from _of_reference(reference, folder)
    if listings:
        tables = [load_listings(path)[0] for path in listings]
        versions = None if new_prices is None else load_new_prices(new_prices)
        yield from _of_listings(pd.concat(tables, ignore_index=True), versions)


def _of_reference(path: Path, folder: Path) -> Iterator[Step]:
    train, test = reference_split(path, folder)
    trained = cache(lambda: train_bundle(train, seed=experiments.SEED))
    whole, _ = load_listings(path)
    yield "reference split", lambda: figures(experiments.priced(trained(), test))
    yield (
        "reference split, required fields",
        lambda: figures(experiments.priced(trained(), test, _REQUIRED_BY_REFERENCE)),
    )
    yield (
        "reference split, our required fields",
        lambda: figures(experiments.priced(trained(), test, CORE_FIELDS)),
    )
    yield "reference split, peer", lambda: experiments.winkler_against_peer(train, test)
    yield "reference unfiltered", lambda: _repeated(whole)


def _of_listings(table: pd.DataFrame, new_prices: pd.DataFrame | None) -> Iterator[Step]:
    market = ReferenceMarket.load()
    held_out = assign_folds(table, experiments.FOLDS, experiments.SEED) == 0
    train, test = table[~held_out].reset_index(drop=True), table[held_out]
    yield "default model", lambda: experiments.default_model(market, table)
    yield "latest month by quarters", lambda: experiments.latest_month_by_quarters(table)
    yield "months ahead", lambda: experiments.months_ahead(table, _MONTHS_AHEAD)
    yield (
        "default model, held out",
        lambda: experiments.default_model_held_out(table, new_prices),
    )
    yield (
        "default model, a quarter of the latest month",
        lambda: experiments.default_model_of_a_quarter(table, new_prices),
    )
    yield (
        "default model, months ahead",
        lambda: experiments.default_model_months_ahead(table, _MONTHS_AHEAD, new_prices),
    )
    if new_prices is not None:
        yield (
            "default model, months ahead, without prices of new cars",
            lambda: experiments.default_model_months_ahead(table, _MONTHS_AHEAD, None),
        )
    yield "listings, 2025 from before", lambda: experiments.time_split(table, "2025-01")
    yield "listings, peer", lambda: experiments.winkler_against_peer(train, test)
    yield "listings", lambda: experiments.cross_validated(table)


def _repeated(table: pd.DataFrame) -> dict[str, float]:
    """Return the mean of the figures over several assignments to folds."""
    runs = [experiments.cross_validated(table, seed=seed) for seed in _REPEATS]
    return {name: round(float(np.mean([run[name] for run in runs])), 4) for name in runs[0]}


def _earlier_results(output: Path) -> Results:
    """Read the results of an earlier run; empty if there are none."""
    path = output / "quality.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write(results: Results, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=2)
    (output / "quality.json").write_text(text + "\n", encoding="utf-8")
    (output / "quality.md").write_text(markdown(results), encoding="utf-8")


if __name__ == "__main__":
    main()

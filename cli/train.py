"""`carprice train` and `carprice evaluate`."""

import dataclasses
import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from cli.console import (
    DEFAULT_SEED,
    FILE,
    BadInputError,
    as_json_option,
    click_errors,
    interval_note,
    print_json,
)
from data.listings.loading import load_listings
from data.listings.report import LoadReport
from data.listings.table import LISTING_DATE, PRICE, latest_month
from data.market.price_index import market_index, splice_index
from data.market.reference import ReferenceMarket
from model_store.registry.manifest import REFERENCE_MARKET, ModelVersion
from model_store.registry.registry import ModelRegistry
from shared.domain.clock import month_number
from shared.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from data.market.kind_trend import KindTrend
    from model_store.training.train import TrainedModel

DEFAULT_ROWS = 30_000
"""Number of listings drawn from the reference market to train the default model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _TrainingData:
    """Listings to train on, and the price level to quote."""

    listings: "pd.DataFrame"
    name: str
    report: LoadReport | None
    price_level: str | None
    """Month (YYYY-MM) whose price level is quoted; None: the month of the latest listing."""
    kind_trend: "KindTrend | None" = None
    """The trend of fuels and gearboxes that generated listings lack."""


@click.command()
@click.option("--data", "path", type=FILE, help="Listings to train on (csv, csv.gz).")
@click.option(
    "--activate/--no-activate",
    default=False,
    help="Serve the new version at once. The very first version always is.",
)
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="Same seed, same model.")
@click.option(
    "--price-level",
    metavar="YYYY-MM",
    help="Quote the prices of this month, by the reference market's index, instead of those of the"
    " latest listing.",
)
@as_json_option
def train(
    path: Path | None, *, activate: bool, seed: int, price_level: str | None, as_json: bool
) -> None:
    """Train a model version: on the reference market, or on listings of your own."""
    with click_errors():
        data = _training_data(path, seed, price_level)
        version = _trained_version(data, seed)
        registry = _registry()
        is_active = activate or registry.active_version() is None
        if is_active:
            registry.activate(version.id, by=getpass.getuser())
    click.echo(interval_note(version.training), err=True)
    if as_json:
        result = {"version": version.id, "active": is_active, "metrics": dict(version.metrics)}
        print_json({**result, "data": data.report and data.report.to_json()})
        return
    state = "active" if is_active else "not active: `carprice models activate`"
    click.echo(f"{version.id} ({state})")


@click.command()
@click.option("--data", "path", type=FILE, required=True, help="Real listings (csv, csv.gz).")
@click.option("--version", help="Model version; the active one if not given.")
@click.option(
    "--price-level",
    type=click.Choice(["listing", "model"]),
    default="listing",
    show_default=True,
    help="Compare each listing with the price at its own month's level, or with what the model"
    " quotes whatever the listing's date.",
)
@click.option(
    "--missing",
    is_flag=True,
    help="Also price the listings without fuel, gearbox and kilometres, and compare how often the"
    " intervals contain the asking price.",
)
@as_json_option
def evaluate(
    path: Path, version: str | None, price_level: str, *, missing: bool, as_json: bool
) -> None:
    """Measure a model on real listings; prints one JSON object.

    `mape` and `median_ape` are percentages, `coverage_90` is the share of prices inside the 90 %
    interval.
    """
    # Importing these loads the compiled kernels, which `--help` does not need.
    from model_store.registry.bundle import load_model  # noqa: PLC0415
    from model_store.training.evaluation import evaluate_model  # noqa: PLC0415
    from model_store.training.missing_fields import evaluate_missing_fields  # noqa: PLC0415

    with click_errors():
        listings, report = load_listings(path)
        click.echo(report.summary(), err=True)
        wanted = version or _registry().active_version()
        if wanted is None:
            raise BadInputError("no model is active: `carprice train --activate` makes one")
        model = load_model(Settings.from_env().versions_path, wanted)
        at_listing_level = price_level == "listing"
        found = evaluate_model(model, listings, at_listing_level=at_listing_level)
        if missing:
            found["missing_fields"] = evaluate_missing_fields(
                model, listings, at_listing_level=at_listing_level
            )
    print_json({**found, "data": report.to_json()} if as_json else found)


def _training_data(path: Path | None, seed: int, price_level: str | None) -> _TrainingData:
    if path is None:
        if price_level is not None:
            raise BadInputError("--price-level needs --data: the reference market has its own")
        from data.market.generator import generate  # noqa: PLC0415 - loads compiled kernels

        market = ReferenceMarket.load()
        return _TrainingData(
            listings=generate(market, DEFAULT_ROWS, seed=seed, antithetic=True),
            name=REFERENCE_MARKET,
            report=None,
            price_level=None,
            kind_trend=market.kind_trend,
        )
    listings, report = load_listings(path)
    click.echo(report.summary(), err=True)
    if listings[LISTING_DATE].isna().all():
        _report_missing_dates(path, latest_month(listings), price_level)
    return _TrainingData(listings=listings, name=path.name, report=report, price_level=price_level)


def _report_missing_dates(path: Path, assumed: str, price_level: str | None) -> None:
    """Report the month assumed for listings without dates.

    Raises:
        BadInputError: another price level was requested.
    """
    if price_level is not None:
        raise BadInputError(
            f"--price-level needs to know when prices were asked, and {path.name} has no dates of"
            " listing: add a column listing_date (YYYY-MM)"
        )
    click.echo(
        f"  no dates  prices are taken for those of {assumed}, from the newest year of"
        " registration; a column listing_date (YYYY-MM) says better",
        err=True,
    )


def _trained_version(data: _TrainingData, seed: int) -> ModelVersion:
    """Train a model and store it as a version with its card."""
    settings = Settings.from_env()
    # matplotlib caches the list of fonts here instead of in the user's home.
    os.environ.setdefault("MPLCONFIGDIR", str(settings.home.resolve() / "matplotlib"))
    # scikit-learn and matplotlib take seconds to import: an unusable file is reported before.
    from model_store.cards.card import write_card  # noqa: PLC0415
    from model_store.registry.bundle import save_bundle  # noqa: PLC0415
    from model_store.training.train import count_steps, train_bundle  # noqa: PLC0415

    with tqdm(
        total=count_steps(data.listings) + 1, desc="Training", unit="step", disable=None
    ) as progress:

        def on_progress(step: str) -> None:
            progress.set_postfix_str(step)
            progress.update()

        def fit(listings: "pd.DataFrame") -> "TrainedModel":
            return train_bundle(
                listings,
                seed=seed,
                name=data.name,
                kind_trend=data.kind_trend,
                jobs=len(os.sched_getaffinity(0)),
                on_progress=on_progress,
            )

        trained = _fit_at_price_level(data, fit)
        predictions = trained.predictions
        version = save_bundle(
            trained,
            settings.versions_path,
            lambda made: {} if predictions is None else write_card(made, predictions),
        )
        on_progress("card, saved")
    return version


def _fit_at_price_level(
    data: _TrainingData, fit: "Callable[[pd.DataFrame], TrainedModel]"
) -> "TrainedModel":
    """Fit a model that quotes the wanted price level and has an index of the other months."""
    published = market_index(ReferenceMarket.load())
    if data.name == REFERENCE_MARKET:
        trained = fit(data.listings)
        return _with_training(trained, price_index=published)
    if data.price_level is None:
        return fit(data.listings)
    dated = {latest_month(data.listings): 1.0}
    _, factor = splice_index(dated, published, data.price_level)
    trained = fit(data.listings.assign(**{PRICE: data.listings[PRICE] * factor}))
    index, _ = splice_index(trained.training["price_index"] or dated, published, data.price_level)
    months = month_number(data.price_level) - month_number(latest_month(data.listings))
    trained = dataclasses.replace(trained, calibration=trained.calibration.delayed(months))
    return _with_training(trained, price_index=index, data_as_of=data.price_level)


def _with_training(trained: "TrainedModel", **changes: object) -> "TrainedModel":
    return dataclasses.replace(trained, training={**trained.training, **changes})


def _registry() -> ModelRegistry:
    return ModelRegistry(Settings.from_env().versions_path)

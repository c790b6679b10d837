"""`carprice train`."""

import contextlib
import dataclasses
import getpass
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from cli.console import (
    DEFAULT_SEED,
    as_json_option,
    click_errors,
    data_option,
    interval_note,
    print_json,
    say,
)
from cli.training.compare import cars_note, verdict_line
from cli.training.data import TrainingData, load_training_data
from data.listings.table import PRICE, quoted_month
from data.market.price_index import market_index, splice_index
from data.market.reference import ReferenceMarket
from model_store.comparison.fit import require_fit
from model_store.registry.hosts import open_registry, publish_version, pull_models
from model_store.registry.manifest import ModelVersion
from model_store.registry.registry import ModelRegistry
from shared.domain.clock import month_number
from shared.domain.errors import DomainError
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.i18n.command import language
from shared.messages.texts import describe_problem
from shared.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from model_store.comparison.trial import Trial
    from model_store.pricing.inference import LoadedModel
    from model_store.training.train import TrainedModel


@click.command()
@data_option(help="Listings to train on: any file that `carprice batch` reads, or a folder.")
@click.option(
    "--activate/--no-activate",
    default=False,
    help="Serve the new version at once. The very first version always is.",
)
@click.option(
    "--compare/--no-compare",
    "is_compared",
    default=True,
    help="Also train without the last months of --data, and compare with the active version on"
    " them.",
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
    paths: tuple[Path, ...],
    *,
    activate: bool,
    is_compared: bool,
    seed: int,
    price_level: str | None,
    as_json: bool,
) -> None:
    """Train a model version: on the reference market, or on listings of your own.

    Listings of your own: a trial without the last months is compared with the active version on
    the listings of those months that neither has seen. The version itself is trained on all.
    """
    with click_errors():
        registry = _registry()
        pull_models(Settings.from_env())
        _check_writable(Settings.from_env().versions_path)
        is_first = not activate and registry.known_active_version() is None
        data = load_training_data(paths, seed, price_level)
        from model_store.training.train import count_steps  # noqa: PLC0415 - takes seconds

        active = _active_model(registry) if is_compared and data.report is not None else None
        steps = count_steps(data.listings, is_generated=data.market is not None)
        steps = steps * (1 if active is None else 2) + 1
        with _progress(steps) as on_progress:
            trained = _fit(data, data.listings, seed, on_progress)
            require_fit(trained.metrics)
            trial = None if active is None else _trial(data, active, seed, on_progress)
            version = _stored(trained, on_progress)
        is_active = activate or is_first
        publish_version(Settings.from_env(), version.id)
        if is_active:
            registry.activate(version.id, by=getpass.getuser())
    click.echo(interval_note(version.training), err=True)
    if as_json:
        result = {"version": version.id, "active": is_active, "metrics": dict(version.metrics)}
        report = data.report and data.report.to_json()
        print_json({**result, "trial": trial and trial.to_json(), "data": report})
        return
    if trial is not None:
        click.echo("\n".join(_trial_lines(trial)))
    state = _("active") if is_active else _("not active: `carprice models activate`")
    click.echo(f"{version.id} ({state})")


def _check_writable(folder: Path) -> None:
    """Raise `OSError` if versions cannot be stored, which would be noticed after minutes only."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-"):
        pass


def _trial(
    data: TrainingData,
    active: "LoadedModel",
    seed: int,
    on_progress: "Callable[[str], None]",
) -> "Trial":
    from model_store.comparison.trial import compare_trial  # noqa: PLC0415 - loads scipy

    return compare_trial(
        active,
        data.listings,
        seed=seed,
        fit=lambda listings: _fit(data, listings, seed, on_progress),
    )


def _trial_lines(trial: "Trial") -> "Iterator[str]":
    """What a trial has shown, as text."""
    yield _("Trial, {basis}:").format(basis=trial.basis)
    if trial.relisted:
        text = _("{number} of them left out: their cars are also listed earlier")
        yield f"  {text.format(number=f'{trial.relisted:,}')}"
    found = trial.comparison
    if found is None:
        text = _("not compared with the active version: {reason}").format(reason=trial.reason)
        yield f"  {text}"
        return
    text = _("{number} listings that neither has seen").format(number=f"{found.rows:,}")
    yield f"  {text}{cars_note(found)}"
    for name, figures in ((_("A, active"), found.a), (_("B, trial"), found.b)):
        text = _("median error {error} %, coverage {coverage}").format(
            error=f"{figures.median_ape:.2f}", coverage=f"{figures.coverage_90:.1%}"
        )
        yield f"  {name:<10} {text}"
    for note in found.notes:
        yield "  " + _("note: {text}").format(text=note)
    yield f"  {verdict_line(found)}"


@contextlib.contextmanager
def _progress(steps: int) -> "Iterator[Callable[[str], None]]":
    """A progress bar; the function given takes the name of each step that is done."""
    with tqdm(total=steps, desc=_("Training"), unit=_("step"), disable=None) as progress:

        def on_progress(step: str) -> None:
            progress.set_postfix_str(step)
            progress.update()

        yield on_progress


def _active_model(registry: ModelRegistry) -> "LoadedModel | None":
    """The active version; None if there is none, or it cannot be loaded, which is reported."""
    from model_store.registry.bundle import load_model  # noqa: PLC0415 - loads compiled kernels

    try:
        active = registry.known_active_version()
        if active is None:
            return None
        return load_model(Settings.from_env().versions_path, active)
    except DomainError as error:
        detail = describe_problem(error.code, error.params, language())[1]
        say(mark("note"), _("not compared with the active version: {reason}").format(reason=detail))
        return None


def _stored(trained: "TrainedModel", on_progress: "Callable[[str], None]") -> ModelVersion:
    """Store a trained model as a version with its card."""
    settings = Settings.from_env()
    # matplotlib caches the list of fonts here instead of in the user's home.
    os.environ.setdefault("MPLCONFIGDIR", str(settings.home.resolve() / "matplotlib"))
    from model_store.cards.card import write_card  # noqa: PLC0415 - takes seconds to import
    from model_store.registry.bundle import save_bundle  # noqa: PLC0415

    predictions = trained.predictions
    version = save_bundle(
        trained,
        settings.versions_path,
        lambda made: {} if predictions is None else write_card(made, predictions),
    )
    on_progress("card, saved")
    return version


def _fit(
    data: TrainingData,
    listings: "pd.DataFrame",
    seed: int,
    on_progress: "Callable[[str], None]",
) -> "TrainedModel":
    """Train a model on listings of the data, at its price level."""
    from model_store.training.train import train_bundle  # noqa: PLC0415 - takes seconds to import

    def fit(table: "pd.DataFrame") -> "TrainedModel":
        return train_bundle(
            table,
            seed=seed,
            name=data.name,
            market=data.market,
            jobs=len(os.sched_getaffinity(0)),
            on_progress=on_progress,
        )

    return _fit_at_price_level(dataclasses.replace(data, listings=listings), fit)


def _fit_at_price_level(
    data: TrainingData, fit: "Callable[[pd.DataFrame], TrainedModel]"
) -> "TrainedModel":
    """Fit a model that quotes the wanted price level and has an index of the other months."""
    from model_store.training.train import training_rows  # noqa: PLC0415 - takes seconds to import

    if data.price_level is None:
        return fit(data.listings)
    published = market_index(ReferenceMarket.load())
    dated = {quoted_month(data.listings): 1.0}
    _, factor = splice_index(dated, published, data.price_level)
    trained = fit(data.listings.assign(**{PRICE: data.listings[PRICE] * factor}))
    index, _ = splice_index(trained.training["price_index"] or dated, published, data.price_level)
    months = month_number(data.price_level) - month_number(quoted_month(data.listings))
    trained = dataclasses.replace(trained, calibration=trained.calibration.delayed(months))
    restated = _with_training(trained, price_index=index, data_as_of=data.price_level)
    # A listing is recognised by the price that was asked.
    rows = training_rows(data.listings, str(trained.training["digest"]))
    return dataclasses.replace(restated, training_rows=rows)


def _with_training(trained: "TrainedModel", **changes: object) -> "TrainedModel":
    return dataclasses.replace(trained, training={**trained.training, **changes})


def _registry() -> ModelRegistry:
    return open_registry(Settings.from_env())

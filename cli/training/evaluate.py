"""`carprice evaluate`: measures a model version on real listings."""

from pathlib import Path
from typing import Any

import click

from cli.console import (
    BadInputError,
    as_json_option,
    click_errors,
    data_option,
    print_json,
    say,
    warn_of_suspects,
)
from data.listings.loading import load_listings_of
from model_store.registry.hosts import ensure_version, pull_models
from model_store.registry.registry import ModelRegistry
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.settings import Settings


@click.command()
@data_option(
    required=True, help="Real listings: any file that `carprice batch` reads, or a folder."
)
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
    paths: tuple[Path, ...],
    version: str | None,
    price_level: str,
    *,
    missing: bool,
    as_json: bool,
) -> None:
    """Measure a model on real listings; prints one JSON object.

    `mape` and `median_ape` are percentages, `coverage_90` is the share of prices inside the 90 %
    interval. `seen_in_training` counts the listings that the model was trained on, whose figures
    say nothing about other cars; `unseen` are the figures without them.
    """
    # Importing these loads the compiled kernels, which `--help` does not need.
    from model_store.comparison.unseen import evaluate_with_training_rows  # noqa: PLC0415
    from model_store.registry.bundle import load_model  # noqa: PLC0415
    from model_store.training.missing_fields import evaluate_missing_fields  # noqa: PLC0415

    with click_errors():
        listings, report = load_listings_of(paths)
        click.echo(report.summary(), err=True)
        warn_of_suspects(report, mark("they are kept"))
        settings = Settings.from_env()
        versions_path = settings.versions_path
        pull_models(settings)
        wanted = version or ModelRegistry(versions_path).known_active_version()
        if wanted is None:
            raise BadInputError(_("no model is active: `carprice train --activate` makes one"))
        ensure_version(settings, wanted)
        model = load_model(versions_path, wanted)
        at_listing_level = price_level == "listing"
        found = evaluate_with_training_rows(model, listings, at_listing_level=at_listing_level)
        if missing:
            found["missing_fields"] = evaluate_missing_fields(
                model, listings, at_listing_level=at_listing_level
            )
    _warn_of_training_rows(found, is_recalibrated=model.version.calibrated_on is not None)
    print_json({**found, "data": report.to_json()} if as_json else found)


def _warn_of_training_rows(found: dict[str, Any], *, is_recalibrated: bool) -> None:
    """Say on standard error that figures are of listings that the version was trained on."""
    for note in found.get("notes", ()):
        say(mark("note"), note)
    seen = found["seen_in_training"]
    if seen is None:
        text = _(
            "whether this version was trained on these listings is not known: it was trained by a"
            " release that did not record its rows"
        )
        say(mark("note"), text)
    elif seen["rows"]:
        done = _("trained or recalibrated") if is_recalibrated else _("trained")
        rest = _("see `unseen`") if "unseen" in found else _("evaluate it on others")
        text = _(
            "this version was {done} on {seen} of these {number} listings ({share}): their figures"
            " say nothing about other cars; {rest}"
        )
        share = f"{seen['share']:.0%}{_at_other_prices(seen)}"
        numbers = {"seen": f"{seen['rows']:,}", "number": f"{found['rows']:,}"}
        say(mark("warning"), text.format(done=done, rest=rest, share=share, **numbers))


def _at_other_prices(seen: dict[str, Any]) -> str:
    count = seen["other_price"]
    text = _("{number} of them are of a car that it knows at another price")
    return f"; {text.format(number=f'{count:,}')}" if count else ""

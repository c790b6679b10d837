"""`carprice recalibrate`: new intervals and price level for a version, without training."""

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from api.sales.log import SaleReportLog
from cli.console import FILE, BadInputError, as_json_option, click_errors, print_json
from data.listings.loading import load_listings
from data.listings.report import LoadReport
from model_store.registry.hosts import open_registry, publish_version, pull_models
from model_store.registry.manifest import ModelVersion
from model_store.registry.registry import ModelRegistry
from shared.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from shared.domain.sale import SaleReport


LARGE_CHANGE = 1.1
"""Change of the price level of which the command warns; the sources of the listings may differ."""
LARGE_WIDENING = 1.4
"""Factor of the width of intervals of which the command warns: eight months widen them by less."""


@click.command()
@click.option("--data", "path", type=FILE, help="Listings later than the version's data.")
@click.option("--sales", "with_sales", is_flag=True, help="Use the reported sales as well.")
@click.option("--version", help="Model version; the active one if not given.")
@click.option(
    "--activate/--no-activate", default=False, help="Serve the new version if it is made."
)
@as_json_option
def recalibrate(
    path: Path | None, *, with_sales: bool, version: str | None, activate: bool, as_json: bool
) -> None:
    """Recalibrate the intervals and the price level of a version on later data.

    Makes a new version with the same forest: it takes seconds, and `carprice models rollback`
    returns to the former. Reported sales change the width of the intervals only: the prices are
    asking prices, and sales are usually below them.
    """
    if path is None and not with_sales:
        raise BadInputError("nothing to recalibrate on: give --data FILE, --sales, or both")
    with click_errors():
        listings, report = (None, None) if path is None else load_listings(path)
        if report is not None:
            click.echo(report.summary(), err=True)
        made = _recalibrated(listings, report, with_sales=with_sales, version=version)
        publish_version(Settings.from_env(), made.id)
        if activate:
            _registry().activate(made.id, by=getpass.getuser())
    facts = dict(made.calibrated_on or {})
    if as_json:
        result: dict[str, Any] = {"version": made.id, "active": activate, "calibrated_on": facts}
        result |= {"data_as_of": made.data_as_of, "data": report and report.to_json()}
        print_json(result)
        return
    for line in _lines(made, facts):
        click.echo(line, err=True)
    state = "active" if activate else "not active: `carprice models activate`"
    click.echo(f"{made.id} ({state})")


def _recalibrated(
    listings: "pd.DataFrame | None",
    report: LoadReport | None,
    *,
    with_sales: bool,
    version: str | None,
) -> ModelVersion:
    # Importing these loads the compiled kernels, which `--help` does not need.
    from model_store.cards.growth import recalibrated_card  # noqa: PLC0415
    from model_store.registry.bundle import load_model, save_recalibrated  # noqa: PLC0415
    from model_store.training.recalibration import recalibrate as calibrate  # noqa: PLC0415

    settings, registry = Settings.from_env(), _registry()
    pull_models(settings)
    wanted = version or registry.known_active_version()
    if wanted is None:
        raise BadInputError("no model is active: `carprice train --activate` makes one")
    registry.check(wanted)  # fetches what only another host has
    model = load_model(settings.versions_path, wanted)
    sales = _sales(settings, model.version) if with_sales else []
    name = "sales" if report is None else report.file
    changed = calibrate(model, listings, sales, name=name)
    folder = registry.folder(model.version.id)
    return save_recalibrated(
        model, changed, settings.versions_path, lambda made: recalibrated_card(folder, made)
    )


def _sales(settings: Settings, version: ModelVersion) -> "list[SaleReport]":
    """The reported sales of this version; after a recalibration its own only."""
    log = SaleReportLog(settings.audit_folder, "", time.time)
    return log.of_version(version.id)


def _by_brand(facts: dict[str, Any]) -> str:
    """The brands whose level moved otherwise than that of all."""
    from shared.vehicles.names import display_names  # noqa: PLC0415 - reads the catalogue

    levels = sorted(facts["levels_by_brand"].items(), key=lambda item: item[1])
    shown = [f"{display_names(brand, '')[0]} {100 * (level - 1):+.1f} %" for brand, level in levels]
    return f"not at this level: {', '.join(shown)}; train on these listings to follow them"


def _registry() -> ModelRegistry:
    return open_registry(Settings.from_env(), self_test=_self_test)


def _self_test(version: str) -> object:
    from model_store.registry.bundle import load_model  # noqa: PLC0415

    return load_model(Settings.from_env().versions_path, version)


def _lines(made: ModelVersion, facts: dict[str, Any]) -> list[str]:
    """What changed, for people."""
    months = " to ".join(facts["months"]) if facts["months"] else "no listings"
    shares = [100 * facts[name] for name in ("coverage_before", "coverage_after")]
    lines = [
        f"  calibrated on  {facts['rows']:,} listings ({months}), {facts['sales']:,} sales",
        f"  price level    {100 * (facts['price_level'] - 1):+.1f} %, as of {made.data_as_of}",
        f"  intervals      {facts['width_factor']:.2f} times as wide (median)",
        f"  inside 90 %    {shares[0]:.1f} % of the prices before, {shares[1]:.1f} % now (unseen)",
    ]
    if not 1 / LARGE_CHANGE <= facts["price_level"] <= LARGE_CHANGE:
        change = 100 * (facts["price_level"] - 1)
        lines.append(
            f"  warning        prices of all brands change by {change:+.1f} %: from 2021 to 2026"
            " the level of Moroccan listings moved by 3 %"
        )
    if facts["width_factor"] > LARGE_WIDENING:
        lines.append(
            "  warning        intervals become much wider: are a part of the prices in another"
            " currency, or of other cars?"
        )
    if facts["left_out"]:
        lines.append(
            f"  left out       {facts['left_out']:,} suspicious prices, also of these figures"
        )
    if facts["levels_by_brand"]:
        lines.append(f"  by brand       {_by_brand(facts)}")
    if not facts["rows"]:
        lines.append("  sales do not change the price level: the prices are asking prices")
    return lines

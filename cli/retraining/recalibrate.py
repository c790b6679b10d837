"""`carprice recalibrate`: new intervals and price level for a version, without training."""

import getpass
import time
from collections.abc import Iterator
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
from shared.i18n.command import gettext as _
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
        raise BadInputError(_("nothing to recalibrate on: give --data FILE, --sales, or both"))
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
    state = _("active") if activate else _("not active: `carprice models activate`")
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
        raise BadInputError(_("no model is active: `carprice train --activate` makes one"))
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
    text = _("not at this level: {brands}; train on these listings to follow them")
    return text.format(brands=", ".join(shown))


def _registry() -> ModelRegistry:
    return open_registry(Settings.from_env(), self_test=_self_test)


def _self_test(version: str) -> object:
    from model_store.registry.bundle import load_model  # noqa: PLC0415

    return load_model(Settings.from_env().versions_path, version)


def _lines(made: ModelVersion, facts: dict[str, Any]) -> list[str]:
    """What changed, for people."""
    before, now = (f"{100 * facts[name]:.1f}" for name in ("coverage_before", "coverage_after"))
    change = f"{100 * (facts['price_level'] - 1):+.1f}"
    rows = [
        (
            _("calibrated on"),
            _("{number} listings ({months}), {sales} sales").format(
                number=f"{facts['rows']:,}", months=_months(facts), sales=f"{facts['sales']:,}"
            ),
        ),
        (
            _("price level"),
            _("{change} %, as of {month}").format(change=change, month=made.data_as_of),
        ),
        (
            _("intervals"),
            _("{factor} times as wide (median)").format(factor=f"{facts['width_factor']:.2f}"),
        ),
        (
            _("inside 90 %"),
            _("{before} % of the prices before, {now} % now (unseen)").format(
                before=before, now=now
            ),
        ),
        *_remarks(facts, change),
    ]
    lines = [f"  {name:<13}  {text}" for name, text in rows]
    if not facts["rows"]:
        text = _("sales do not change the price level: the prices are asking prices")
        lines.append(f"  {text}")
    return lines


def _months(facts: dict[str, Any]) -> str:
    if not facts["months"]:
        return _("no listings")
    return _("{first} to {last}").format(first=facts["months"][0], last=facts["months"][-1])


def _remarks(facts: dict[str, Any], change: str) -> Iterator[tuple[str, str]]:
    """What an operator should look at."""
    if not 1 / LARGE_CHANGE <= facts["price_level"] <= LARGE_CHANGE:
        text = _(
            "prices of all brands change by {change} %: from 2021 to 2026 the level of Moroccan"
            " listings moved by 3 %"
        )
        yield _("warning"), text.format(change=change)
    if facts["width_factor"] > LARGE_WIDENING:
        text = _(
            "intervals become much wider: are a part of the prices in another currency, or of"
            " other cars?"
        )
        yield _("warning"), text
    if facts["left_out"]:
        text = _("{number} suspicious prices, also of these figures")
        yield _("left out"), text.format(number=f"{facts['left_out']:,}")
    if facts["levels_by_brand"]:
        yield _("by brand"), _by_brand(facts)

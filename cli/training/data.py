"""The listings that `carprice train` trains on, and what is to be said about them."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.console import BadInputError, say, warn_of_suspects
from data.listings.loading import load_listings_of
from data.listings.report import LoadReport
from data.listings.table import LISTING_DATE, quoted_month
from data.market.reference import ReferenceMarket
from model_store.registry.manifest import REFERENCE_MARKET
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_ROWS = 30_000
"""Number of listings drawn from the reference market to train the default model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Listings to train on, and the price level to quote."""

    listings: "pd.DataFrame"
    name: str
    report: LoadReport | None
    price_level: str | None
    """Month (YYYY-MM) whose price level is quoted; None: `quoted_month`."""
    market: ReferenceMarket | None = None
    """What the listings were drawn from; None for listings of files."""


def load_training_data(paths: tuple[Path, ...], seed: int, price_level: str | None) -> TrainingData:
    """Load files of listings; without any, draw the listings of the default model.

    Raises:
        BadInputError: another price level is requested, and the months of the prices are not known.
        ListingsError: a file cannot be used.
    """
    if not paths:
        if price_level is not None:
            raise BadInputError(_("--price-level needs --data: the reference market has its own"))
        from data.market.generator import generate  # noqa: PLC0415 - loads compiled kernels

        market = ReferenceMarket.load()
        return TrainingData(
            listings=generate(market, DEFAULT_ROWS, seed=seed, antithetic=True),
            name=REFERENCE_MARKET,
            report=None,
            price_level=None,
            market=market,
        )
    listings, report = load_listings_of(paths)
    click.echo(report.summary(), err=True)
    report_dates(listings, report.file, price_level)
    warn_of_suspects(report, mark("they count little in training"))
    return TrainingData(listings=listings, name=report.file, report=report, price_level=price_level)


def report_dates(
    listings: "pd.DataFrame", name: str, price_level: str | None = None, *, what: str = "the model"
) -> None:
    """Report what missing dates, or those of a single month, mean for `what`.

    Raises:
        BadInputError: the listings have no dates, and another price level was requested.
    """
    dates = listings[LISTING_DATE].dropna()
    if not len(dates):
        _report_missing_dates(name, quoted_month(listings), price_level)
        return
    undated = len(listings) - len(dates)
    if undated:
        text = _("{number} listings without a date are taken for ones of {month}")
        say(mark("no dates"), text.format(number=f"{undated:,}", month=quoted_month(listings)))
    last = quoted_month(listings)
    if later := int((dates > last).sum()):
        text = _(
            "{number} listings dated after {month} (until {last}) are too few for a price level:"
            " they count as ones of {month}, which the model quotes"
        )
        say(mark("later"), text.format(number=f"{later:,}", month=last, last=dates.max()))
    if len(dates.unique()) == 1:
        text = _(
            "all dated listings are of {month}: {what} quotes prices of that month and knows no"
            " trend from month to month"
        )
        say(mark("one month"), text.format(month=dates.iloc[0], what=_(what)))


def _report_missing_dates(name: str, assumed: str, price_level: str | None) -> None:
    """Report the month assumed for listings without dates.

    Raises:
        BadInputError: another price level was requested.
    """
    if price_level is not None:
        text = _(
            "--price-level needs to know when prices were asked, and {name} has no dates of"
            " listing: add a column listing_date (YYYY-MM)"
        )
        raise BadInputError(text.format(name=name))
    text = _(
        "prices are taken for those of {month}, from the newest year of registration that ten cars"
        " have; a column listing_date (YYYY-MM) says better"
    )
    say(mark("no dates"), text.format(month=assumed))

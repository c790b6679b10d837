"""`carprice market`: the statistics that the default model is trained from."""

import collections
from pathlib import Path

import click

from cli.console import (
    DEFAULT_SEED,
    FILE,
    as_json_option,
    click_errors,
    print_json,
)
from cli.shell.options import json_option
from cli.training.data import report_dates
from data.hedonic.model import SEPARATOR
from data.listings.loading import load_listings_of
from data.market.price_index import market_index
from data.market.reference import REFERENCE_MARKET, ReferenceMarket
from shared.i18n.command import gettext as _

_MAX_BRANDS_SHOWN = 15
_MAX_MODELS_SHOWN = 8
_TRIAL_ROWS = 100
"""Listings drawn from new statistics before they replace the old ones."""


@click.group()
def market() -> None:
    """The statistics that the default model is trained from."""


@market.command()
@click.argument("paths", metavar="LISTINGS...", type=FILE, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=FILE,
    required=True,
    help="Where the statistics go. The default model is trained from"
    " data/market/reference_market.json.",
)
@click.option(
    "--new-prices",
    type=FILE,
    help="CSV file of new cars by version (company, model, version, net_price_mad, date): prices"
    " the youngest used cars, and models that are hardly listed.",
)
@as_json_option
def calibrate(
    paths: tuple[Path, ...], output: Path, new_prices: Path | None, *, as_json: bool
) -> None:
    """Rebuild the reference market from listings: files that `carprice batch` reads, or folders."""
    # Importing these loads the compiled kernels, which the other commands do not need.
    from data.market.calibrate import calibrate as calibrate_market  # noqa: PLC0415
    from data.market.generator import generate as generate_listings  # noqa: PLC0415
    from data.market.new_car_levels import load_new_prices  # noqa: PLC0415

    with click_errors():
        listings, report = load_listings_of(paths)
        click.echo(report.summary(), err=True)
        report_dates(listings, report.file, what="the market")
        versions = None if new_prices is None else load_new_prices(new_prices)
        found = calibrate_market(listings, versions)
        generate_listings(found, _TRIAL_ROWS, seed=DEFAULT_SEED)
        found.save(output)
    models = len(found.hedonic.vehicle_years)
    new_models = len(found.new_cars.levels)
    if as_json:
        print_json(
            {
                "file": str(output),
                "models": models,
                "listings": found.listings,
                "data_as_of": found.data_as_of,
                "models_with_new_price": new_models,
                "data": report.to_json(),
            }
        )
        return
    text = _("{file}: {models} models from {listings} listings, prices of {month}")
    click.echo(
        text.format(file=output, models=models, listings=found.listings, month=found.data_as_of)
    )
    if new_prices is not None:
        text = _("{models} models with a price when new, of {month}")
        click.echo(f"  {text.format(models=new_models, month=found.new_cars.as_of)}")


@market.command()
@click.option(
    "--from", "path", type=FILE, default=REFERENCE_MARKET, help="Statistics file to show."
)
@json_option
def show(path: Path, *, as_json: bool) -> None:
    """What the statistics cover: brands, models, months and the price level."""
    with click_errors():
        found = ReferenceMarket.load(path)
    brands = _models_by_brand(found)
    index = market_index(found)
    if as_json:
        print_json(
            {
                "data_as_of": found.data_as_of,
                "basis": found.basis,
                "listings": found.listings,
                "models": sum(map(len, brands.values())),
                "brands": brands,
                "price_index": index,
            }
        )
        return
    click.echo("\n".join(_summary(found, brands, index)))


@market.command()
@click.option("--rows", type=click.IntRange(1, 10_000_000), required=True, help="How many.")
@click.option("-o", "--output", type=FILE, required=True, help="CSV file to write.")
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="Same seed, same file.")
@click.option("--gaps", is_flag=True, help="Also omit required fields, as real listings do.")
@json_option
def generate(rows: int, output: Path, seed: int, *, gaps: bool, as_json: bool) -> None:
    """Draw listings from the reference market: a file that `carprice batch` prices."""
    from data.market.generator import generate as generate_listings  # noqa: PLC0415 - as above

    with click_errors():
        table = generate_listings(ReferenceMarket.load(), rows, seed=seed, gaps=gaps)
        table.to_csv(output, index=False)
    if as_json:
        print_json({"file": str(output), "listings": rows, "seed": seed})
    else:
        text = _("{file}: {number} listings").format(file=output, number=rows)
        click.echo(text)


def _models_by_brand(found: ReferenceMarket) -> dict[str, list[str]]:
    """Models with their own statistics, by brand; the brand with the most models first."""
    brands: dict[str, list[str]] = collections.defaultdict(list)
    for vehicle in sorted(found.hedonic.vehicle_years):
        company, model = vehicle.split(SEPARATOR)
        brands[company].append(model)
    return dict(sorted(brands.items(), key=lambda item: (-len(item[1]), item[0])))


def _summary(
    found: ReferenceMarket, brands: dict[str, list[str]], index: dict[str, float]
) -> list[str]:
    first = min(index, default="-")
    lines = [
        _("{number} listings, {first} to {last}; {basis}").format(
            number=f"{found.listings:,}", first=first, last=found.data_as_of, basis=found.basis
        ),
        _("{models} models of {brands} brands").format(
            models=sum(map(len, brands.values())), brands=len(brands)
        ),
        "",
    ]
    for brand, models in list(brands.items())[:_MAX_BRANDS_SHOWN]:
        more = f", … ({len(models)})" if len(models) > _MAX_MODELS_SHOWN else ""
        lines.append(f"  {brand:<16} {', '.join(models[:_MAX_MODELS_SHOWN])}{more}")
    if len(brands) > _MAX_BRANDS_SHOWN:
        text = _("… and {number} more brands").format(number=len(brands) - _MAX_BRANDS_SHOWN)
        lines.append(f"  {text}")
    lines += ["", _("Price level by month (cars of the same year of registration):")]
    january = [month for month in index if month.endswith("-01")]
    lines += [f"  {month}  {index[month]:.3f}" for month in dict.fromkeys([first, *january])]
    if found.data_as_of in index and found.data_as_of not in january:
        lines.append(f"  {found.data_as_of}  {index[found.data_as_of]:.3f}")
    return lines

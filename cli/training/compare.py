"""`carprice models compare`: two versions on listings that neither was trained on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.console import (
    DEFAULT_SEED,
    BadInputError,
    aligned,
    as_json_option,
    click_errors,
    data_option,
    print_json,
    warn_of_suspects,
)
from model_store.registry.hosts import ensure_version, pull_models
from model_store.registry.registry import ModelRegistry
from shared.i18n.catalogue import mark
from shared.i18n.command import gettext as _
from shared.settings import Settings

if TYPE_CHECKING:
    from model_store.comparison.compare import BandFigures, Comparison, Figures

_COLUMNS = (mark("ROWS"), mark("MEDIAN ERROR A"), "B", mark("BIAS A"), "B", mark("COVERAGE A"), "B")
_ACTIVE = "active"


@click.command()
@click.argument("version_a", metavar="A")
@click.argument("version_b", metavar="B")
@data_option(
    required=True, help="Real listings: any file that `carprice batch` reads, or a folder."
)
@click.option(
    "--include-seen",
    is_flag=True,
    help="Also compare on listings that A or B was trained on, which flatters that version.",
)
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="Of the bootstrap.")
@as_json_option
def compare(
    version_a: str,
    version_b: str,
    paths: tuple[Path, ...],
    *,
    include_seen: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Compare version B with version A ("active" for the active one) on listings.

    Listings that either was trained on are left out. The verdict is by the median error: better or
    worse if the 95 % bootstrap interval of the difference excludes 0.
    """
    # Importing these loads pandas and the compiled kernels, which `--help` does not need.
    from data.listings.loading import load_listings_of  # noqa: PLC0415
    from model_store.comparison.compare import compare_models  # noqa: PLC0415
    from model_store.registry.bundle import load_model  # noqa: PLC0415

    with click_errors():
        settings = Settings.from_env()
        path = settings.versions_path
        pull_models(settings)
        wanted = [_resolved(path, each) for each in (version_a, version_b)]
        for each in wanted:
            ensure_version(settings, each)
        a, b = (load_model(path, each) for each in wanted)
        listings, report = load_listings_of(paths)
        click.echo(report.summary(), err=True)
        warn_of_suspects(report, mark("they are kept"))
        found = compare_models(a, b, listings, seed=seed, include_seen=include_seen)
    if as_json:
        print_json({**found.to_json(), "data": report.to_json()})
        return
    click.echo("\n".join(comparison_lines(found)))


def _resolved(versions_path: Path, version: str) -> str:
    if version != _ACTIVE:
        return version
    active = ModelRegistry(versions_path).known_active_version()
    if active is None:
        raise BadInputError(_("no model is active: `carprice models list` shows the versions"))
    return active


def comparison_lines(found: "Comparison") -> Iterator[str]:
    """A comparison as text for a terminal."""
    yield f"A  {found.version_a}"
    yield f"B  {found.version_b}"
    listings = _("{number} listings").format(number=f"{found.rows:,}")
    months = ""
    if found.months:
        first, last = found.months
        months = ", " + _("{first} to {last}").format(first=first, last=last)
    yield f"{listings}{cars_note(found)}{months}{_left_out(found)}"
    yield from (_("Note: {text}").format(text=note) for note in found.notes)
    yield ""
    columns = tuple(map(_, _COLUMNS))
    yield aligned([("", *columns), _row(_("all"), found.rows, found.a, found.b)])
    for title, bands in (
        (_("by asking price"), found.by_price),
        (_("by age"), found.by_age),
        (_("by brand"), found.by_brand),
        (_("by source"), found.by_source),
    ):
        yield ""
        yield aligned([(title, *columns), *map(_band_row, bands)])
    if found.differing:
        yield ""
        yield aligned([(_("most different"), _("ASKED"), "A", "B"), *_car_rows(found)])
    yield ""
    yield verdict_line(found)


def cars_note(found: "Comparison") -> str:
    """How many cars the listings are of, if some are of the same one."""
    text = _("of {number} cars").format(number=f"{found.cars:,}")
    return f" {text}" if found.cars < found.rows else ""


def verdict_line(found: "Comparison") -> str:
    """The verdict in one sentence."""
    words = {
        "better": _("B is better than A"),
        "worse": _("B is worse than A"),
        "equal": _("no difference can be told"),
    }
    text = _(
        "Verdict: {verdict}: median error {a} % (A), {b} % (B), difference {difference} points"
        " (95 % interval {low} to {high})."
    )
    return text.format(
        verdict=words[found.verdict],
        a=f"{found.a.median_ape:.2f}",
        b=f"{found.b.median_ape:.2f}",
        difference=f"{found.difference:+.2f}",
        low=f"{found.difference_low:+.2f}",
        high=f"{found.difference_high:+.2f}",
    )


def _left_out(found: "Comparison") -> str:
    """How many listings are left out, or cannot be told to be training rows."""
    parts = []
    if found.excluded:
        seen = [
            _("{name} has seen {number}").format(name=name, number=f"{count:,}")
            for name, count in (("A", found.seen_a), ("B", found.seen_b))
            if count
        ]
        if found.other_price:
            text = _("{number} at another price")
            seen.append(text.format(number=f"{found.other_price:,}"))
        text = _("{number} more left out ({reasons})")
        parts.append(text.format(number=f"{found.excluded:,}", reasons=", ".join(seen)))
    elif found.seen_a or found.seen_b:
        parts.append(_("training rows included"))
    unknown = [name for name, count in (("A", found.seen_a), ("B", found.seen_b)) if count is None]
    if unknown:
        names = (
            _("{one} and {other}").format(one="A", other="B") if len(unknown) > 1 else unknown[0]
        )
        parts.append(_("training rows of {names} not known").format(names=names))
    return "".join(f"; {part}" for part in parts)


def _row(name: str, rows: int, a: "Figures", b: "Figures") -> Sequence[str]:
    return (
        name,
        f"{rows:,}",
        f"{a.median_ape:.2f} %",
        f"{b.median_ape:.2f} %",
        _signed_percent(a.bias),
        _signed_percent(b.bias),
        f"{a.coverage_90:.1%}",
        f"{b.coverage_90:.1%}",
    )


def _signed_percent(figure: float) -> str:
    return f"{round(figure, 1) + 0.0:+.1f} %"  # no negative zero


def _band_row(band: "BandFigures") -> Sequence[str]:
    return _row(band.name, band.rows, band.a, band.b)


def _car_rows(found: "Comparison") -> Iterator[Sequence[str]]:
    from shared.vehicles.names import display_names  # noqa: PLC0415 - reads the catalogue

    for car in found.differing:
        name = " ".join(display_names(car.company, car.model))
        prices = (car.asking_price_mad, car.price_a_mad, car.price_b_mad)
        yield (f"{name} {car.year}", *(f"{price:,.0f}" for price in prices))

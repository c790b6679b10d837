"""`carprice models`: list, inspect, activate, roll back and prune model versions."""

import getpass
from typing import Any

import click

from cli.console import describe_os_error
from cli.streams import echo_json
from cli.training.compare import compare
from model_store.registry.hosts import Activations, open_registry, publish_version, pull_models
from model_store.registry.manifest import ModelVersion, card_markdown_file
from model_store.registry.registry import ModelRegistry, ShadowPointer
from model_store.registry.shared_models import SharedModels
from shared.blobs.batch_files import BatchFiles
from shared.blobs.stores import open_blob_store
from shared.domain.errors import ActivePointerLost, DomainError
from shared.messages.texts import describe_problem
from shared.redis.servers import with_server_urls
from shared.settings import Settings


class _RegistryGroup(click.Group):
    """Commands whose expected errors are one line on standard error, with exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a folder or store that cannot be read is an expected error."""
        try:
            return super().invoke(ctx)
        except DomainError as error:
            title, detail = describe_problem(error.code, error.params, "en")
            raise click.ClickException(f"{title}: {detail}") from error
        except BrokenPipeError:
            raise
        except OSError as error:
            raise click.ClickException(describe_os_error(error)) from error


@click.command()
@click.argument("version", required=False)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Of the valued cars that VERSION values too.",
)
@click.option("--off", is_flag=True, help="No shadow any more.")
def shadow(version: str | None, share: float, *, off: bool) -> None:
    """Let VERSION value a share of the cars in the background; without VERSION, tell which does.

    Its prices reach nobody: they are compared with the active version's in the metrics.
    """
    if off and version is not None:
        raise click.UsageError("give either VERSION or --off")
    settings = Settings.from_env()
    pull_models(settings)
    pointer = ShadowPointer(settings.versions_path, SharedModels.of(settings))
    if off:
        pointer.clear()
    elif version is not None:
        pointer.point_to(version, share)
    found = pointer.read()
    click.echo(
        f"Shadow: {found.version} on {found.share:.0%} of the cars" if found else "No shadow"
    )


MAX_DIFFERENCE = 1e-6
"""Largest difference accepted between the packed and scikit-learn's forest, log scale."""


@click.group(name="models", cls=_RegistryGroup)
def models() -> None:
    """List, inspect, activate and roll back model versions."""


@models.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_versions(*, as_json: bool) -> None:
    """All versions, the newest first; the active one has a star.

    The figures are those of training, on listings that the trees had not seen, or of the later
    listings of a recalibration: `models compare` compares versions on the same listings.
    """
    registry = _registry()
    versions, active = registry.list(), registry.active_version()
    if as_json:
        _print_json([{**each.to_json(), "active": each.id == active} for each in versions])
    elif not versions:
        click.echo("No version yet: `carprice train --activate` makes one.")
    else:
        click.echo(_table([_HEADER, *(_row(each, active) for each in versions)]))
    try:
        registry.known_active_version()
    except ActivePointerLost as error:
        detail = describe_problem(error.code, error.params, "en")[1]
        click.echo(f"warning: {detail}", err=True)


@models.command()
@click.argument("version")
def show(version: str) -> None:
    """The whole manifest of VERSION ("active" for the active one), as JSON."""
    registry = _registry()
    _print_json(registry.get(_resolve_version(registry, version)).to_json())


@models.command()
@click.argument("version")
def activate(version: str) -> None:
    """Make VERSION the active one; running workers take it within two seconds.

    With `STATE_URL`, the command waits until all processes of all hosts serve it.
    """
    _echo_active(_checked_registry().activate(version, by=_user()))


@models.command()
@click.argument("version")
def publish(version: str) -> None:
    """Let the other hosts list and activate VERSION (needs `STATE_URL`)."""
    settings = Settings.from_env()
    if not settings.state_url:
        raise click.UsageError("STATE_URL names no store that hosts share")
    publish_version(settings, _resolve_version(_registry(), version))
    click.echo(f"Published: {version}")


@models.command()
def rollback() -> None:
    """Return to the version that was active before this one."""
    _echo_active(_checked_registry().rollback(by=_user()))


@models.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def history(*, as_json: bool) -> None:
    """Who activated what and when, the oldest first."""
    changes = _registry().history()
    if as_json:
        _print_json([change.to_json() for change in changes])
        return
    header = ("AT", "ACTION", "VERSION", "BEFORE", "BY")
    rows = [
        (change.at, str(change.action), change.version, change.previous or "-", change.by)
        for change in changes
    ]
    click.echo(_table([header, *rows]))


@models.command()
@click.argument("version")
@click.option("--lang", type=click.Choice(["en", "fr"]), default="en", show_default=True)
def card(version: str, lang: str) -> None:
    """The model card of VERSION ("active" for the active one), as Markdown."""
    registry = _registry()
    version = _resolve_version(registry, version)
    name = card_markdown_file(lang)
    if name not in registry.get(version).files and lang != "en":
        click.echo("This version's card is in English only", err=True)
        name = card_markdown_file("en")
    text = registry.card_file(version, name).decode()
    folder = registry.folder(version)
    click.echo(text, nl=False)
    click.echo(f"Its plots lie in {folder}", err=True)


@models.command()
@click.option("--keep", type=click.IntRange(1), required=True, help="So many of the newest stay.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def prune(keep: int, *, as_json: bool) -> None:
    """Remove old versions for good.

    Whatever is in use stays, however old: the active version, the one before it, and those that
    batches under way were accepted with.
    """
    settings = Settings.from_env()
    removed = _registry().prune(keep, pinned=_versions_in_use(settings))
    if as_json:
        _print_json(list(removed))
    else:
        click.echo("\n".join(f"Removed: {version}" for version in removed) or "Nothing to remove.")


@models.command()
@click.argument("version")
def verify(version: str) -> None:
    """Check the digests of VERSION, its self-test, and its forest against scikit-learn's."""
    # Only this command needs a forest; importing it loads the compiled kernels.
    from model_store.registry.bundle import load_estimator, load_model, max_abs_difference  # noqa: PLC0415

    registry, settings = _registry(), Settings.from_env()
    version = _resolve_version(registry, version)
    registry.check(version)
    click.echo("digests, schema, libraries: right")
    model = load_model(settings.versions_path, version)
    click.echo(f"self-test: {len(model.version.self_test)} prices found again")
    estimator = load_estimator(settings.versions_path, version)
    difference = max_abs_difference(model.forest, estimator)
    if difference > MAX_DIFFERENCE:
        raise click.ClickException(f"the packed forest is off by {difference:.2g} on the log scale")
    click.echo(f"packed forest: equals {model.version.estimator} within {difference:.1g}")


models.add_command(shadow)
models.add_command(compare)

_HEADER = (
    "", "VERSION", "CREATED", "DATA", "LISTED", "AS OF", "ROWS", "MEDIAN ERROR", "COVERAGE 90",
    "FOREST", "TREES", "NODES",
)  # fmt: skip


def _row(version: ModelVersion, active: str | None) -> tuple[str, ...]:
    return (
        "*" if version.id == active else "",
        version.id,
        f"{version.created_at:%Y-%m-%d %H:%M}",
        _data(version),
        _period(version),
        version.data_as_of,
        str(version.training.get("rows", "-")),
        *_figures(version),
        version.estimator,
        str(version.tree_count),
        str(version.node_count),
    )


def _data(version: ModelVersion) -> str:
    """Name of the training data, and of what the version was recalibrated on."""
    name = str(version.training.get("name", "-"))
    facts = version.calibrated_on
    return name if facts is None else f"{name}, recalibrated: {facts.get('name', '-')}"


def _figures(version: ModelVersion) -> tuple[str, str]:
    """Median error and coverage; of a recalibrated version on the listings of its recalibration."""
    facts = version.calibrated_on
    median, coverage = (version.metrics.get(name) for name in ("median_ape", "coverage_90"))
    if facts is not None:
        median, coverage = facts.get("median_ape"), facts.get("coverage_after")
    return _percent(median, "{:.2f} %"), _percent(coverage, "{:.1%}")


def _period(version: ModelVersion) -> str:
    """First and last month of the training listings."""
    months = version.training.get("months")
    return f"{months[0]} to {months[1]}" if months else "-"


def _percent(figure: float | None, form: str) -> str:
    return "-" if figure is None else form.format(figure)


def _table(rows: list[tuple[str, ...]]) -> str:
    """Rows as text, in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _registry() -> ModelRegistry:
    pull_models(Settings.from_env())
    return open_registry(Settings.from_env())


def _checked_registry() -> ModelRegistry:
    """The registry; runs the self-test before it activates a version."""
    # Importing the bundle loads the compiled kernels; reading the registry needs none.
    from model_store.registry.bundle import load_model  # noqa: PLC0415

    settings = Settings.from_env()
    path = settings.versions_path
    return open_registry(settings, self_test=lambda version: load_model(path, version))


def _echo_active(version: ModelVersion) -> None:
    """Print the active version, and the processes of all hosts that do not serve it yet."""
    click.echo(f"Active: {version.id}")
    settings = with_server_urls(Settings.from_env())
    for name in Activations.of(settings).not_serving(version.id):
        click.echo(f"does not serve it yet: {name}", err=True)


def _versions_in_use(settings: Settings) -> set[str]:
    """The versions of all batches that have been accepted and have not ended.

    Raises:
        OSError: the blob store cannot be read.
    """
    files = BatchFiles(open_blob_store(settings))
    found = set()
    for batch_id in files.blobs.batches():
        manifest = files.manifest(batch_id)
        if manifest is not None and files.final(batch_id) is None:
            found.add(manifest.model_version)
    return found


def _resolve_version(registry: ModelRegistry, version: str) -> str:
    if version != "active":
        return version
    active = registry.known_active_version()
    if active is None:
        raise click.ClickException("no version is active; `carprice models list` shows what is")
    return active


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, in a container
        return "unknown"


def _print_json(value: Any) -> None:
    echo_json(value, indent=2)

"""`carprice models`: list, inspect, activate, roll back and prune model versions."""

import getpass
import json
from typing import Any

import click

from cli.console import describe_os_error
from cli.shell.options import FiniteRange, json_option
from cli.streams import echo_json
from cli.training.compare import compare
from cli.training.versions_table import left_aligned, versions_table
from model_store.cards.written import written_language
from model_store.registry.hosts import Activations, open_registry, publish_version, pull_models
from model_store.registry.manifest import card_data_file, card_markdown_file
from model_store.registry.registry import ModelRegistry, ShadowPointer
from model_store.registry.shared_models import SharedModels
from shared.blobs.batch_files import BatchFiles
from shared.blobs.stores import open_blob_store
from shared.domain.errors import ActivePointerLost, DomainError
from shared.i18n.command import gettext as _
from shared.i18n.command import language
from shared.i18n.languages import LANGUAGES, Language
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
            title, detail = describe_problem(error.code, error.params, language())
            raise click.ClickException(f"{title}: {detail}") from error
        except BrokenPipeError:
            raise
        except OSError as error:
            raise click.ClickException(describe_os_error(error)) from error


@click.command()
@click.argument("version", required=False)
@click.option(
    "--share",
    type=FiniteRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Of the valued cars that VERSION values too.",
)
@click.option("--off", is_flag=True, help="No shadow any more.")
@json_option
def shadow(version: str | None, share: float, *, off: bool, as_json: bool) -> None:
    """Let VERSION value a share of the cars in the background; without VERSION, tell which does.

    Its prices reach nobody: they are compared with the active version's in the metrics.
    """
    if off and version is not None:
        raise click.UsageError(_("give either VERSION or --off"))
    settings = Settings.from_env()
    pull_models(settings)
    pointer = ShadowPointer(settings.versions_path, SharedModels.of(settings))
    if off:
        pointer.clear()
    elif version is not None:
        pointer.point_to(version, share)
    found = pointer.read()
    if as_json:
        _print_json({"shadow": {"version": found.version, "share": found.share} if found else None})
        return
    text = _("Shadow: {version} on {share} of the cars") if found else _("No shadow")
    click.echo(text.format(version=found.version, share=f"{found.share:.0%}") if found else text)


MAX_DIFFERENCE = 1e-6
"""Largest difference accepted between the packed and scikit-learn's forest, log scale."""


@click.group(name="models", cls=_RegistryGroup)
def models() -> None:
    """List, inspect, activate and roll back model versions."""


@models.command(name="list")
@json_option
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
        click.echo(_("No version yet: `carprice train --activate` makes one."))
    else:
        click.echo(versions_table(versions, active))
    try:
        registry.known_active_version()
    except ActivePointerLost as error:
        detail = describe_problem(error.code, error.params, language())[1]
        click.echo(_("warning: {text}").format(text=detail), err=True)


@models.command()
@click.argument("version")
@json_option
def show(version: str, *, as_json: bool) -> None:  # noqa: ARG001 - JSON either way
    """The whole manifest of VERSION ("active" for the active one), as JSON."""
    registry = _registry()
    _print_json(registry.get(_resolve_version(registry, version)).to_json())


@models.command()
@click.argument("version")
@json_option
def activate(version: str, *, as_json: bool) -> None:
    """Make VERSION the active one; running workers take it within two seconds."""
    _tell_active(_checked_registry().activate(version, by=_user()).id, as_json=as_json)


@models.command()
@click.argument("version")
@json_option
def publish(version: str, *, as_json: bool) -> None:
    """Let other hosts list and activate VERSION, if STATE_URL names a store that hosts share."""
    settings = Settings.from_env()
    if not settings.state_url:
        raise click.UsageError(_("STATE_URL names no store that hosts share"))
    version = _resolve_version(_registry(), version)
    publish_version(settings, version)
    if as_json:
        _print_json({"published": version})
    else:
        click.echo(_("Published: {version}").format(version=version))


@models.command()
@json_option
def rollback(*, as_json: bool) -> None:
    """Return to the version that was active before this one."""
    _tell_active(_checked_registry().rollback(by=_user()).id, as_json=as_json)


def _tell_active(version: str, *, as_json: bool) -> None:
    """Print the active version, and the processes of all hosts that do not serve it yet."""
    activations = Activations.of(with_server_urls(Settings.from_env()))
    missing = list(activations.not_serving(version))
    if as_json:
        more = {"not_serving": missing} if activations.are_shared else {}
        _print_json({"active": version} | more)
        return
    click.echo(_("Active: {version}").format(version=version))
    for name in missing:
        click.echo(_("does not serve it yet: {name}").format(name=name), err=True)


@models.command()
@json_option
def history(*, as_json: bool) -> None:
    """Who activated what and when, the oldest first."""
    changes = _registry().history()
    if as_json:
        _print_json([change.to_json() for change in changes])
        return
    header = (_("AT"), _("ACTION"), _("VERSION"), _("BEFORE"), _("BY"))
    rows = [
        (change.at, str(change.action), change.version, change.previous or "-", change.by)
        for change in changes
    ]
    click.echo(left_aligned([header, *rows]))


@models.command()
@click.argument("version")
@click.option(
    "--lang", type=click.Choice(LANGUAGES), default=language, help="Language of the card."
)
@json_option
def card(version: str, lang: Language, *, as_json: bool) -> None:
    """The model card of VERSION ("active" for the active one), as Markdown."""
    registry = _registry()
    version = _resolve_version(registry, version)
    written = written_language(registry.get(version), lang)
    if written != lang:
        click.echo(_("This version's card does not exist in this language"), err=True)
    if as_json:
        content = json.loads(registry.card_file(version, card_data_file(written)))
        _print_json({"version": version, "language": written, **content})
    else:
        name = card_markdown_file(written)
        click.echo(registry.card_file(version, name).decode(), nl=False)
    folder = registry.folder(version)
    click.echo(_("Its plots lie in {folder}").format(folder=folder), err=True)


@models.command()
@click.option("--keep", type=click.IntRange(1), required=True, help="So many of the newest stay.")
@json_option
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
        lines = [_("Removed: {version}").format(version=version) for version in removed]
        click.echo("\n".join(lines) or _("Nothing to remove."))


@models.command()
@click.argument("version")
@json_option
def verify(version: str, *, as_json: bool) -> None:
    """Check the digests of VERSION, its self-test, and its forest against scikit-learn's."""
    # Only this command needs a forest; importing it loads the compiled kernels.
    from model_store.registry.bundle import load_estimator, load_model, max_abs_difference  # noqa: PLC0415

    registry, settings = _registry(), Settings.from_env()
    version = _resolve_version(registry, version)
    registry.check(version)
    tell = (lambda _text: None) if as_json else click.echo
    tell(_("digests, schema, libraries: right"))
    model = load_model(settings.versions_path, version)
    prices = len(model.version.self_test)
    tell(_("self-test: {number} prices found again").format(number=prices))
    estimator = load_estimator(settings.versions_path, version)
    difference = max_abs_difference(model.forest, estimator)
    if difference > MAX_DIFFERENCE:
        text = _("the packed forest is off by {difference} on the log scale")
        raise click.ClickException(text.format(difference=f"{difference:.2g}"))
    text = _("packed forest: equals {estimator} within {difference}")
    tell(text.format(estimator=model.version.estimator, difference=f"{difference:.1g}"))
    if as_json:
        found = {"version": version, "self_test_prices": prices}
        _print_json({**found, "max_abs_difference": float(difference)})


models.add_command(shadow)
models.add_command(compare)


def _registry() -> ModelRegistry:
    pull_models(Settings.from_env())
    return open_registry(Settings.from_env())


def _checked_registry() -> ModelRegistry:
    """The registry; runs the self-test before it activates a version."""
    settings = Settings.from_env()
    path = settings.versions_path

    def self_test(version: str) -> object:
        # Importing the bundle loads the compiled kernels; to refuse a version needs none.
        from model_store.registry.bundle import load_model  # noqa: PLC0415

        return load_model(path, version)

    return open_registry(settings, self_test=self_test)


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
        raise click.ClickException(_("no version is active; `carprice models list` shows what is"))
    return active


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, in a container
        return "unknown"


def _print_json(value: Any) -> None:
    echo_json(value, indent=2)

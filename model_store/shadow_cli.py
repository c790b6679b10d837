"""`carprice models shadow`: try a version out on real cars before it answers anybody."""

import click

from model_store.shadow import ShadowPointer
from shared.domain.errors import DomainError
from shared.schemas.messages import describe_problem
from shared.settings import Settings


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
    pointer = ShadowPointer(Settings.from_env().versions_path)
    if off:
        pointer.clear()
    elif version is not None:
        try:
            pointer.point_to(version, share)
        except DomainError as error:
            title, detail = describe_problem(error.code, error.params, "en")
            raise click.ClickException(f"{title}: {detail}") from error
    found = pointer.read()
    click.echo(
        f"Shadow: {found.version} on {found.share:.0%} of the cars" if found else "No shadow"
    )

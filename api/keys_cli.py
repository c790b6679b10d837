"""`carprice key`: make an API key."""

import json
import os
from pathlib import Path

import click

from api.auth import Scope, new_key
from shared.settings import Settings


@click.command()
@click.argument("caller")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=(str(Scope.PREDICT), str(Scope.BULK)),
    show_default=True,
    type=click.Choice([str(scope) for scope in Scope]),
    help="What the key allows; repeat for several.",
)
def key(caller: str, scopes: tuple[str, ...]) -> None:
    """Make a key for CALLER and print it once; only its hash is stored."""
    path = Settings.from_env().keys_file
    secret, entry = new_key(caller, frozenset(Scope(scope) for scope in scopes))
    entries = json.loads(path.read_text("utf-8")) if path.exists() else []
    _write(path, [*entries, entry])
    click.echo(secret)
    click.echo(f"stored (hashed) in {path}; restart the API to use it", err=True)


def _write(path: Path, entries: list[dict[str, object]]) -> None:
    """Replace the file in one step, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(entries, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)

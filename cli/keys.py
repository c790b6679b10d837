"""`carprice key`: create, list and revoke API keys."""

import json
import os
from pathlib import Path
from typing import Any

import click

from api.middleware.authentication import Scope, load_keys, new_key, validate_caller
from shared.settings import Settings, SettingsError


def _checked(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    try:
        return None if name is None else validate_caller(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("caller", required=False, callback=_checked)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=(str(Scope.PREDICT), str(Scope.BULK)),
    show_default=True,
    type=click.Choice([str(scope) for scope in Scope]),
    help="What the key allows; repeat for several.",
)
@click.option("--list", "is_list", is_flag=True, help="List the callers and their scopes.")
@click.option("--revoke", is_flag=True, help="Revoke every key of CALLER.")
def key(caller: str | None, scopes: tuple[str, ...], *, is_list: bool, revoke: bool) -> None:
    """Make a key for CALLER and print it once; only its hash is stored.

    A running API takes notice within a second.
    """
    path = Settings.from_env().keys_file
    entries = _read(path)
    if is_list:
        for entry in entries:
            click.echo(f"{entry['caller']}\t{' '.join(entry['scopes'])}\t{entry['hash'][:12]}")
        return
    if caller is None:
        raise click.UsageError("name the CALLER that the key is for, or use --list")
    if revoke:
        _revoke(path, entries, caller)
        return
    secret, entry = new_key(caller, frozenset(Scope(scope) for scope in scopes))
    _write(path, [*entries, entry])
    click.echo(secret)
    click.echo(f"stored (hashed) in {path}", err=True)


def _revoke(path: Path, entries: list[dict[str, Any]], caller: str) -> None:
    kept = [entry for entry in entries if entry["caller"] != caller]
    if len(kept) == len(entries):
        raise click.ClickException(f"{caller} has no key in {path}")
    _write(path, kept)
    click.echo(f"revoked: {len(entries) - len(kept)} key(s) of {caller}", err=True)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        load_keys(path)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    entries: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return entries


def _write(path: Path, entries: list[dict[str, Any]]) -> None:
    """Replace the file atomically; only its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(entries, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)

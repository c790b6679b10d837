"""Runs the self-test of a version: `python -m model_store.registry.trial FOLDER VERSION`.

The API, which loads no forest, starts this process before it activates a version. Prints one line
and exits with 1 if the version is refused.
"""

import sys
from pathlib import Path

import click

from model_store.registry.bundle import load_model
from shared.domain.errors import ModelRefused, ModelVersionNotFound


def main(versions_path: str, version: str) -> int:
    """Load the version, which runs its self-test; returns the exit code."""
    try:
        load_model(Path(versions_path), version)
    except ModelRefused as error:
        click.echo(error.params["reason"])
        return 1
    except ModelVersionNotFound:
        click.echo("it is gone")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

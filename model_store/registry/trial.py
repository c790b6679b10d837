"""The self-test of a version as a process: `python -m model_store.registry.trial FOLDER VERSION`.

The API asks for it before it moves the pointer: it holds no forest itself. Prints one line and
ends with 1 when the version is refused.
"""

import sys
from pathlib import Path

import click

from model_store.registry.bundle import load_model
from shared.domain.errors import ModelRefused, ModelVersionNotFound


def main(versions_path: str, version: str) -> int:
    """Load the version and value its self-test; the exit code of the process."""
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

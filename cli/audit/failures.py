"""Ends a command with the reason if the disk or the key refuses."""

import contextlib
from collections.abc import Iterator

import click

from shared.audit.file_state import CheckpointError


@contextlib.contextmanager
def failures_reported() -> Iterator[None]:
    """End the command with the reason if the disk or the key refuses."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, CheckpointError) as error:
        raise click.ClickException(str(error)) from error

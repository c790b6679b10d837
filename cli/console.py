"""Shared by the commands `train`, `evaluate` and `market`: errors, load reports, JSON output."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cli.streams import echo_json
from data.listings.files import ListingsError
from shared.domain.errors import DomainError
from shared.messages.texts import describe_problem

FILE = click.Path(path_type=Path)
DEFAULT_SEED = 42

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, with the report on the file."
)


class BadInputError(click.ClickException):
    """The command cannot use this input; the message gives the reason. Exit code 2."""

    exit_code = 2


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    echo_json(value)


@contextlib.contextmanager
def click_errors() -> Iterator[None]:
    """Turn expected errors into one line and exit code 2."""
    try:
        yield
    except DomainError as error:
        raise BadInputError(describe_problem(error.code, error.params, "en")[1]) from None
    except (ListingsError, OSError) as error:
        raise BadInputError(str(error)) from None

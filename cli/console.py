"""Shared by the commands `train`, `evaluate` and `market`: errors, load reports, JSON output."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from cli.streams import echo_json
from data.listings.files import ListingsError
from model_store.registry.manifest import MEASURED
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


def interval_note(training: Mapping[str, Any]) -> str:
    """The lines that say how the intervals of a trained version widen with the age of its data.

    Args:
        training: of the manifest.
    """
    growth = training["interval_growth"]
    if growth["source"] == MEASURED:
        basis = f"as {growth['listings']:,} listings after {growth['origins'][0]} show"
    else:
        basis = f"by the reference growth, because {growth['reason']}"
    lines = [f"  intervals widen with the age of the data {basis}"]
    until = growth.get("data_until", training["data_as_of"])
    if until != training["data_as_of"]:
        lines.append(f"  the age counts from {until}: few listings are later")
    return "\n".join(lines)


@contextlib.contextmanager
def click_errors() -> Iterator[None]:
    """Turn expected errors into one line and exit code 2."""
    try:
        yield
    except DomainError as error:
        raise BadInputError(describe_problem(error.code, error.params, "en")[1]) from None
    except (ListingsError, OSError) as error:
        raise BadInputError(str(error)) from None

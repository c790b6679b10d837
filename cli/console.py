"""What the commands of training and of the market share: errors in one line, reports, progress."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from data.listings.loading import ListingsError
from data.listings.report import LoadReport
from shared.domain.errors import DomainError
from shared.messages.texts import describe_problem

FILE = click.Path(path_type=Path)
DEFAULT_SEED = 42

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, with the report on the file."
)


class BadInputError(click.ClickException):
    """What was asked for cannot be done with this input; the message says why."""

    exit_code = 2


def print_report(report: LoadReport) -> None:
    """Say on standard error what became of a listings file."""
    click.echo(report.summary(), err=True)


def report_json(report: LoadReport | None) -> dict[str, Any] | None:
    """The same for programs."""
    return None if report is None else report.to_json()


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False))


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def click_errors() -> Iterator[None]:
    """Expected failures as one line and exit code 2."""
    try:
        yield
    except DomainError as error:
        raise BadInputError(describe_problem(error.code, error.params, "en")[1]) from None
    except (ListingsError, OSError) as error:
        raise BadInputError(str(error)) from None

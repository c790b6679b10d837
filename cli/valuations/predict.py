"""The command `predict`, and the options and error handling of all client commands."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from cli.shell.exit_codes import UNUSABLE
from cli.shell.options import LANG_HELP, json_option
from cli.streams import echo_json
from cli.valuations.printing import valuation_lines, warning_lines
from cli.valuations.texts import message, reason
from client.errors import (
    CarPriceError,
    DeadlineError,
    Fault,
    ProblemError,
    ServiceUnreachableError,
    UnexpectedAnswerError,
)
from client.protocol.cars import Extra
from client.proxies import without_password
from client.sync import CarPriceClient
from shared.i18n.command import language as current_language
from shared.i18n.languages import LANGUAGES, Language

EXIT_ERROR = UNUSABLE

CAR_OPTIONS = {
    "company": "Brand, like Toyota.",
    "model": "Model, like Corolla.",
    "year": "Year of first registration.",
    "fuel": "Petrol, Diesel, Hybrid, Electric, LPG or CNG; French words too. May be left out.",
    "transmission": "Manual or Automatic; French words too. May be left out.",
    "km_driven": "Odometer, km. May be left out.",
    "edition": "Trim or version.",
    "owner": "First, Second, …",
    "seller_type": "Individual or Dealer.",
    "mileage_mpg": "Fuel economy, mpg.",
    "engine_cc": "Displacement, cc.",
    "max_power_bhp": "Power, bhp.",
    "torque_nm": "Torque, Nm.",
    "fiscal_power_cv": "Fiscal power, CV.",
    "city": "City of sale.",
    "condition": "Excellent, Very good, Good, …",
    "origin": "WW Morocco, Imported new, Customs cleared, …",
    "doors": "Number of doors.",
    "asking_price_mad": "Price asked for it, MAD: gives a verdict.",
}

Command = TypeVar("Command", bound=Callable[..., Any])


def _default_url() -> str:
    """Address of a local service with the same environment."""
    return f"http://127.0.0.1:{os.environ.get('PORT', '8000')}"


def connection_options(command: Command) -> Command:
    """Add the options of service, key and language to a command."""
    for option in (
        click.option("--lang", type=click.Choice(LANGUAGES), default=current_language,
                     show_default="LC_ALL, LC_MESSAGES, LANG", help=LANG_HELP),
        click.option("--api-key", envvar="CARPRICE_API_KEY", show_envvar=True,
                     help="Key of the service."),
        click.option("--url", envvar="CARPRICE_URL", show_envvar=True, default=_default_url,
                     metavar="URL", show_default="http://127.0.0.1:8000, with PORT",
                     help="Address of the service."),
    ):  # fmt: skip
        command = option(command)
    return command


def car_options(command: Command) -> Command:
    """Add an option for each field of a car to a command."""
    for name, text in reversed(CAR_OPTIONS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, help=text)(command)
    return command


@contextmanager
def exit_on_error(language: Language, url: str) -> Iterator[None]:
    """Turn expected exceptions into a message on standard error and exit code 2.

    Args:
        language: of the message.
        url: of the service.
    """
    try:
        yield
    except (ServiceUnreachableError, UnexpectedAnswerError, DeadlineError) as error:
        fail(unreachable_text(error, without_password(url), language))
    except ProblemError as error:
        fail("\n".join(problem_lines(error)))
    except CarPriceError as error:
        fail(str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        why = reason(error, language)
        file = error.filename
        fail(message("file-error", language, file=file, reason=why) if file else why)


def unreachable_text(error: CarPriceError, url: str, language: Language) -> str:
    """That there is no answer of the service, and what to do."""
    if isinstance(error, UnexpectedAnswerError):
        return message("not-the-service", language, url=url)
    if not isinstance(error, ServiceUnreachableError):
        return message("no-answer", language, url=url)
    if error.proxy is None:
        return message(error.outage, language, url=url, reason=error.reason)
    key = "proxy-refused" if error.outage == "refused" else "proxy-fails"
    text = message(key, language, url=url, proxy=error.proxy)
    return f"{text} ({error.reason})" if error.reason else text


def problem_lines(problem: ProblemError) -> Iterator[str]:
    """The errors of a problem document, each with the command-line option it refers to."""
    if not problem.errors:
        yield f"{problem.title}: {problem.detail}"
    for fault in problem.errors:
        place = _option_of(fault)
        yield f"{place}: {fault.detail}" if place else fault.detail


def _option_of(fault: Fault) -> str:
    """The option of the field or parameter of an error, else its pointer."""
    if fault.parameter is not None:
        return f"--{fault.parameter.replace('_', '-')}"
    name = fault.place.removeprefix("/")
    return f"--{name.replace('_', '-')}" if name in CAR_OPTIONS else fault.place


def fail(text: str) -> NoReturn:
    """Print a message and exit with `EXIT_ERROR`."""
    click.echo(text, err=True)
    sys.exit(EXIT_ERROR)


@click.command()
@click.argument(
    "file", required=False, metavar="[FILE]", type=click.Path(allow_dash=True, path_type=str)
)
@car_options
@click.option("--coverage", type=float, help="Of the interval: 0.5, 0.8, 0.9 or 0.95.")
@click.option(
    "--include",
    multiple=True,
    type=click.Choice(["contributions", "depreciation", "comparables", "typical"]),
    help="Also show what each field adds to the price, the prices of the next years, or typical "
    "cars near it; may be given several times.",
)
@json_option
@connection_options
def predict(
    *,
    file: str | None,
    coverage: float | None,
    include: tuple[Extra, ...],
    as_json: bool,
    url: str,
    api_key: str | None,
    lang: Language,
    **fields: str | None,
) -> None:
    """Value one car.

    The car is given by the options, or as a JSON object in FILE, like {"company": "Toyota", …}
    (- is standard input); an option overrides what stands there. Brand, model and year are
    needed; without fuel, gearbox or kilometres the price is an average and its interval wider.
    """
    with exit_on_error(lang, url):
        car = _load_car(file, lang) | {
            name: value for name, value in fields.items() if value is not None
        }
        with CarPriceClient(url, api_key=api_key, language=lang) as client:
            valuation = client.value(car, include=include, coverage=coverage)
    if as_json:
        echo_json(valuation.raw, indent=2)
    else:
        for line in valuation_lines(valuation, lang):
            click.echo(line)
        for line in warning_lines(valuation, lang):
            click.echo(line, err=True)


def _load_car(file: str | None, language: Language) -> dict[str, Any]:
    if file is None:
        return {}
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        car = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        fail(message("not-json", language, file=file, error=error))
    if not isinstance(car, dict):
        fail(message("no-object", language, file=file))
    return car


def _refuse_constant(name: str) -> None:
    """Refuse NaN and the like, which Python reads and JSON does not have."""
    raise ValueError(name)

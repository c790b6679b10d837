"""What the program declares: its OpenAPI document, routes, metrics, settings and commands."""

import re
import tempfile
from pathlib import Path
from typing import Any

import click
import httpx

from tests.behaviour import adapters
from tests.behaviour.running import Service

TEXTS = {"description", "summary"}
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? \S+$")
_LABEL = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')


def record_openapi(service: Service) -> dict[str, Any]:
    """The document without its texts, and all routes."""
    with service.client() as http, tempfile.TemporaryDirectory() as folder:
        document = _without_texts(http.get("/openapi.json").json())
        return {**document, "routes": adapters.routes(Path(folder))}


def _without_texts(value: Any, *, is_named: bool = False) -> Any:
    """A document without descriptions; `is_named`: the members are names that somebody chose."""
    if isinstance(value, dict):
        return {
            name: _without_texts(one, is_named=name in {"properties", "schemas", "responses"})
            for name, one in value.items()
            if is_named or name not in TEXTS
        }
    if isinstance(value, list):
        return [_without_texts(one) for one in value]
    return value


def record_metrics(service: Service) -> dict[str, Any]:
    """The metrics that are declared, and those that are scraped of each process."""
    urls = {"api": service.url, **service.worker_urls}
    scraped = {
        name: families(httpx.get(f"{url}/metrics", timeout=30).text) for name, url in urls.items()
    }
    return {"declared": adapters.metrics(), **scraped}


def families(text: str) -> list[str]:
    """Name, type and samples with the names of their labels, of each metric of a scrape."""
    types: dict[str, str] = {}
    samples: dict[str, set[str]] = {}
    current = ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            current, _, types[current] = line.removeprefix("# TYPE ").partition(" ")
        elif not line.startswith("#") and (found := _SAMPLE.match(line)):
            labels = ",".join(_LABEL.findall(found[2] or ""))
            samples.setdefault(current, set()).add(f"{found[1]}({labels})")
    return [
        f"{name} {types[name]}: {' '.join(sorted(samples.get(name, ())))}" for name in sorted(types)
    ]


def record_settings() -> list[Any]:
    """Every setting."""
    return adapters.settings_fields()


def record_commands() -> dict[str, Any]:
    """Every command with its parameters."""
    return dict(_commands(adapters.entry_point(), "carprice"))


def _commands(command: click.Command, name: str) -> list[tuple[str, Any]]:
    told = [(name, [_parameter(one) for one in command.params])]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            told += _commands(found, f"{name} {each}")
    return told


def _parameter(parameter: click.Parameter) -> dict[str, Any]:
    told = {key: _plain(value) for key, value in parameter.to_info_dict().items() if key != "help"}
    return told | {"metavar": parameter.metavar}


def _plain(value: Any) -> Any:
    """A value that JSON can hold; paths in the project without where it lies."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Path):
        return _place(str(value))
    if callable(value):
        return f"<{_place(str(value()))}>"
    return _place(value) if isinstance(value, str) else value


def _place(text: str) -> str:
    """A path in the project by its last part: folders of code may move."""
    return f"<project>/{Path(text).name}" if text.startswith(str(adapters.ROOT)) else text

"""Records the declared interfaces: OpenAPI document, routes, metrics, settings and commands."""

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
    """Record the document without descriptions, and all routes."""
    with service.client() as http, tempfile.TemporaryDirectory() as folder:
        document = _without_texts(http.get("/openapi.json").json())
        return {**document, "routes": adapters.routes(Path(folder))}


def _without_texts(value: Any, *, is_named: bool = False) -> Any:
    """Remove descriptions; `is_named`: the members are names of fields, schemas or statuses."""
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
    """Record the declared metrics, and the metrics that each process exposes."""
    urls = {"api": service.url, **service.worker_urls}
    scraped = {
        name: families(httpx.get(f"{url}/metrics", timeout=30).text) for name, url in urls.items()
    }
    return {"declared": adapters.metrics(), **scraped}


def families(text: str) -> list[str]:
    """Return name, type and samples with label names of each metric of a scrape."""
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
    """Record every setting."""
    return adapters.settings_fields()


def record_commands() -> dict[str, Any]:
    """Record every command with its parameters."""
    return dict(_commands(adapters.entry_point(), "carprice"))


def _commands(command: click.Command, name: str) -> list[tuple[str, Any]]:
    commands = [(name, [_parameter(one) for one in command.params])]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            commands += _commands(found, f"{name} {each}")
    return commands


def _parameter(parameter: click.Parameter) -> dict[str, Any]:
    info = {key: _json(value) for key, value in parameter.to_info_dict().items() if key != "help"}
    return info | {"metavar": parameter.metavar}


def _json(value: Any) -> Any:
    """Convert to a JSON value; paths in the project become independent of its folder."""
    if isinstance(value, dict):
        return {name: _json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    if isinstance(value, Path):
        return _short_path(str(value))
    if callable(value):
        return f"<{_short_path(str(value()))}>"
    return _short_path(value) if isinstance(value, str) else value


def _short_path(text: str) -> str:
    """Shorten a path in the project to its last part: code may move to other folders."""
    return f"<project>/{Path(text).name}" if text.startswith(str(adapters.ROOT)) else text

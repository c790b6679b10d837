"""`carprice status`: what runs, what waits, which model is active, and what does not work."""

import dataclasses
import http.client
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cli.operations.findings import as_owner
from cli.operations.snapshot import SnapshotSampler, snapshot_lines
from cli.operations.work_checks import other_service
from cli.remote_status import RemoteStatus, ask_service
from cli.shell.exit_codes import DONE, REFUSED
from cli.shell.options import json_option
from cli.streams import echo_json
from launcher.environment import with_absolute_paths
from launcher.readiness import forbidden, local_address, server_error, trouble
from model_store.registry.registry import ModelRegistry
from shared.domain.errors import DomainError
from shared.i18n.command import gettext as _
from shared.i18n.command import language, ngettext, os_reason
from shared.i18n.numbers import COMMA
from shared.operations.snapshot import Snapshot
from shared.redis.addresses import server_location
from shared.redis.connections import connect
from shared.redis.servers import with_server_urls
from shared.redis.workers import WorkerRegistry
from shared.settings import Settings

TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the service: what it is called, where it answers, and what is wrong with it."""

    name: str
    address: str
    error: str | None

    def to_json(self) -> dict[str, Any]:
        """The members of a part in the JSON document."""
        return {"address": self.address, "ok": self.error is None, "error": self.error}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Status:
    """The state of a service."""

    parts: Sequence[Part]
    checks: Sequence[Mapping[str, Any]]
    """Those of `/readyz`; none if the API does not answer."""
    workers: Mapping[str, int]
    """Live workers by queue; none if the broker does not answer."""
    waiting: Mapping[str, int]
    oldest_s: Mapping[str, float]
    model: Mapping[str, str] | None
    model_problem: str = ""
    """Why there is no model that can be shown."""
    hint: str = ""
    """What the errors of the parts together say."""
    is_remote: bool = False
    """Whether only its API was asked."""
    snapshot: Snapshot | None = None
    """What the dashboard shows; None if the broker does not answer."""

    @property
    def problems(self) -> list[str]:
        """What does not work, with what to do, in the language of the command."""
        found = [f"{part.name}: {part.error}" for part in self.parts if part.error is not None]
        found += [f"{check['name']}: {check['detail']}" for check in self.checks if not check["ok"]]
        if self.is_remote:
            return found
        return found + [text for text in (self.model_problem, self.hint) if text]

    def to_json(self) -> dict[str, Any]:
        """The JSON document."""
        queues = {
            queue: {
                "workers": self.workers[queue],
                "waiting": self.waiting[queue],
                "oldest_s": round(self.oldest_s[queue], 1),
            }
            for queue in self.workers
        }
        return {
            "healthy": not self.problems,
            "parts": {part.name: part.to_json() for part in self.parts},
            "queues": queues,
            "model": self.model,
            "checks": list(self.checks),
            "problems": self.problems,
            "snapshot": None if self.snapshot is None else self.snapshot.to_json(),
        }


@click.command()
@click.option(
    "--url",
    envvar="CARPRICE_URL",
    show_envvar=True,
    metavar="URL",
    help="Ask the API at this address only, also of another host.",
)
@click.option(
    "--api-key", envvar="CARPRICE_API_KEY", show_envvar=True, help="Key of the service, for --url."
)
@json_option
def status(*, url: str | None, api_key: str | None, as_json: bool) -> None:
    """Tell what runs here, what waits, which model is active, and what does not work.

    Asks the service of this environment (CARPRICE_HOME, PORT, REDIS_URL, …): its addresses, the
    workers and the length of each queue, the active model, and the checks of the API.
    """
    if url is not None:
        found = _remote_status(ask_service(url, api_key, language()))
    else:
        found = read_status(with_server_urls(with_absolute_paths(Settings.from_env())))
    if as_json:
        echo_json(found.to_json())
    else:
        click.echo("\n".join(status_lines(found)))
    for problem in found.problems:
        click.echo(f"carprice: {problem}", err=True)
    raise SystemExit(REFUSED if found.problems else DONE)


def _remote_status(told: RemoteStatus) -> Status:
    part = Part(name="api", address=told.address, error=told.error)
    return Status(
        parts=[part], checks=told.checks, workers={}, waiting={}, oldest_s={}, model=told.model,
        is_remote=True,
    )  # fmt: skip


def read_status(settings: Settings) -> Status:
    """Ask every part of a service.

    Args:
        settings: with the addresses of both servers.
    """
    api = local_address(settings.host, settings.port)
    api_error, checks = _readiness(api)
    flower = local_address(settings.flower_address, settings.flower_port)
    broker_error = server_error(settings.redis_url)
    sampler = SnapshotSampler(settings) if broker_error is None else None
    parts = [
        Part(name="api", address=f"http://{api}", error=api_error),
        Part(name="broker", address=server_location(settings.redis_url), error=broker_error),
        Part(
            name="cache",
            address=server_location(settings.cache_url),
            error=server_error(settings.cache_url),
        ),
        Part(
            name="flower",
            address=f"http://{flower}",
            error=_get(flower, "/healthcheck")[0],
        ),
    ]
    model, model_problem = _model(settings)
    workers, waiting, oldest_s = _queues(settings.redis_url) if broker_error is None else ({},) * 3
    return Status(
        parts=parts,
        checks=checks,
        workers=workers,
        waiting=waiting,
        oldest_s=oldest_s,
        model=model,
        model_problem=model_problem,
        hint=_hint(settings, parts, checks),
        snapshot=None if sampler is None else sampler.read(),
    )


def status_lines(found: Status) -> list[str]:
    """A status as text for a terminal."""
    lines = []
    for part in found.parts:
        state = _("runs") if part.error is None else _("does not answer")
        lines.append(f"{part.name:<12} {state}  {part.address}")
    if found.is_remote:
        lines += [""] * bool(found.checks) + [_check_line(check) for check in found.checks]
    else:
        lines.append("")
    for queue, count in found.workers.items():
        workers = ngettext("{number} worker", "{number} workers", count).format(number=count)
        waiting = ngettext("{number} waits", "{number} wait", found.waiting[queue])
        parts = [workers, waiting.format(number=found.waiting[queue])]
        if found.oldest_s[queue]:
            age = _("the oldest for {seconds} s").format(seconds=f"{found.oldest_s[queue]:.0f}")
            parts.append(age)
        lines.append(f"{queue:<12} {COMMA[language()].join(parts)}")
    if found.model is not None:
        text = _("{version}, prices of {month}")
        model = text.format(version=found.model["version"], month=found.model["data_as_of"])
        lines += ["", f"{'model':<12} {model}"]
    if found.snapshot is not None:
        lines += snapshot_lines(found.snapshot)
    return lines


def _check_line(check: Mapping[str, Any]) -> str:
    state = _("works") if check["ok"] else _("does not work")
    return f"{check['name']:<12} {state}  {check['detail']}".rstrip()


def _readiness(address: str) -> tuple[str | None, list[dict[str, Any]]]:
    """The error of the API, and its checks."""
    error, body = _get(address, "/readyz")
    try:
        checks = [
            {name: check[name] for name in ("name", "ok", "required", "detail")}
            for check in json.loads(body)["checks"]
        ]
    except (ValueError, KeyError, TypeError):
        return error or _("another program answers at this address"), []
    return None, checks


def _get(address: str, path: str) -> tuple[str | None, str]:
    """The error of a request, and the body of the response."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return trouble(error), ""
    finally:
        connection.close()
    is_good = answer.status < http.HTTPStatus.BAD_REQUEST
    return None if is_good else f"HTTP {answer.status}", body


def _queues(url: str) -> tuple[Mapping[str, int], Mapping[str, int], Mapping[str, float]]:
    """Workers, waiting messages and age of the oldest one in seconds, by queue."""
    client = connect(url)
    registry = WorkerRegistry(client, time.time)
    try:
        return registry.live_counts(), *registry.waiting()
    except DomainError:
        return {}, {}, {}
    finally:
        client.close()


def _hint(settings: Settings, parts: Sequence[Part], checks: Sequence[Mapping[str, Any]]) -> str:
    """What the errors of the parts say together; "" if they say all by themselves."""
    errors = {part.name: part.error for part in parts}
    address = local_address(settings.host, settings.port)
    if errors["broker"] == forbidden():
        text = _("the service of this home is another user's: `{command}`")
        return text.format(command=as_owner(settings.home, "status"))
    if errors["broker"] and any(check["name"] == "broker" and check["ok"] for check in checks):
        return other_service(address)
    if all(errors.values()):
        return _("nothing answers: start the service with `carprice up`")
    if errors["api"] and not errors["broker"]:
        text = _("the broker runs without an API at PORT={port}: has the service another one?")
        return text.format(port=settings.port)
    return ""


def _model(settings: Settings) -> tuple[Mapping[str, str] | None, str]:
    """The active version, or why there is none that can be shown."""
    registry = ModelRegistry(settings.versions_path)
    try:
        active = registry.known_active_version()
        version = None if active is None else registry.get(active)
    except DomainError:
        return None, _("the active model cannot be used: `carprice doctor` says why")
    except OSError as error:
        text = _("{document}: cannot be read ({reason})")
        return None, text.format(document=settings.versions_path, reason=os_reason(error))
    if version is None:
        return None, _("no model is active: `carprice train --activate` makes one")
    made = version.created_at.isoformat(timespec="seconds")
    return {"version": version.id, "data_as_of": version.data_as_of, "created_at": made}, ""

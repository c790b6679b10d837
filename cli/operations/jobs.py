"""`carprice jobs`: the jobs and batches of all callers, newest first."""

import time
from datetime import UTC, datetime
from typing import Any

import click

from cli.shell.broker_errors import describe_broker_error
from cli.shell.exit_codes import UNUSABLE
from cli.shell.options import FiniteRange, json_option
from cli.streams import echo_json
from launcher.environment import with_absolute_paths
from shared.domain.errors import DomainError
from shared.domain.ids import CallerId
from shared.domain.job import JobKind, JobState
from shared.i18n.command import gettext as _
from shared.logging import log_errors_only
from shared.operations.work_list import MAX_READ, WorkEntry, WorkFilter, WorkList
from shared.redis.connections import connect
from shared.redis.servers import with_server_urls
from shared.settings import Settings

HOUR_S = 3600


@click.command()
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.lower() for state in JobState]),
    help="Only those in this state; may be given several times.",
)
@click.option(
    "--kind", type=click.Choice([str(kind) for kind in JobKind]), help="Only jobs, or only files."
)
@click.option("--caller", help="Only those of this caller; else those of all that have a key.")
@click.option(
    "--hours", type=FiniteRange(min=0, min_open=True), help="Only those accepted since then."
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many."
)
@json_option
def jobs(
    *,
    states: tuple[str, ...],
    kind: str | None,
    caller: str | None,
    hours: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the jobs and files of all callers, newest first."""
    log_errors_only()
    wanted = WorkFilter(
        kinds=[JobKind(kind)] if kind else tuple(JobKind),
        states=[JobState(each.upper()) for each in states] or tuple(JobState),
        caller=CallerId(caller) if caller else None,
        accepted_after=time.time() - hours * HOUR_S if hours else 0.0,
    )
    settings = with_server_urls(with_absolute_paths(Settings.from_env()))
    broker = connect(settings.redis_url)
    try:
        found = WorkList.of(settings, broker, time.time).newest(wanted, limit)
    except BrokenPipeError:
        raise
    except (DomainError, OSError) as error:
        text = describe_broker_error(error, settings.redis_url)
        click.echo(f"carprice: {text}", err=True)
        raise SystemExit(UNUSABLE) from None
    finally:
        broker.close()
    rows = [_members(entry) for entry in found.entries]
    if found.is_cut:
        text = _("only the newest {number} were looked at: give --kind or --caller to look further")
        click.echo(f"carprice: {text.format(number=MAX_READ)}", err=True)
    if found.unreadable:
        text = _("not listed, because a newer release wrote the record or it is damaged: {ids}")
        click.echo(f"carprice: {text.format(ids=', '.join(found.unreadable))}", err=True)
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        click.echo(_line(row))
    if not rows:
        click.echo(_("nothing matches"), err=True)


def _members(entry: WorkEntry) -> dict[str, Any]:
    """An entry in the JSON document."""
    found = entry.summary
    return {
        "id": found.id,
        "kind": str(found.kind),
        "state": str(found.state),
        "caller": found.caller,
        "done": found.done,
        "total": found.total,
        "failed": entry.failed_rows,
        "created_at": _time(found.created_at),
        "started_at": _time(found.started_at),
        "finished_at": _time(found.finished_at),
        "file_name": found.file_name,
    }


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _line(row: dict[str, Any]) -> str:
    """An entry as text, its parts separated by tabs."""
    total = "?" if row["total"] is None else row["total"]
    # A name is the caller's: it must not control the terminal.
    name = "".join(char if char.isprintable() else "?" for char in row["file_name"])
    parts = (
        row["id"], row["kind"], row["state"], row["caller"], f"{row['done']}/{total}",
        row["created_at"], name,
    )  # fmt: skip
    return "\t".join(map(str, parts)).rstrip()

"""`carprice dead`: lists, replays and drops work that failed the maximum number of times."""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from cli.shell.exit_codes import REFUSED, UNUSABLE
from cli.shell.options import json_option
from cli.streams import echo_json
from shared.blobs.batch_files import BatchFiles
from shared.blobs.stores import open_blob_store
from shared.domain.errors import DeadLetterNotFound, DeadLetterNotReplayable, DomainError
from shared.i18n.command import gettext as _
from shared.logging import log_errors_only
from shared.queue.replay import DeadLetterService, open_dead_letters
from shared.queue.work import make_work_sender
from shared.redis.connections import connect
from shared.redis.servers import with_server_urls
from shared.settings import Settings


@click.group()
def dead() -> None:
    """List, replay and drop work that was given up."""
    log_errors_only()


@dead.command("list")
@json_option
def list_letters(*, as_json: bool) -> None:
    """List the work that failed the maximum number of times, newest first."""
    with _service() as letters:
        rows = [
            {
                "id": letter.id,
                "failed_at": datetime.fromtimestamp(letter.failed_at, UTC).isoformat(
                    timespec="seconds"
                ),
                "caller": letter.caller,
                "attempts": letter.attempts,
                "reason": letter.reason,
            }
            for letter in letters.list()
        ]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        click.echo("\t".join(map(str, row.values())))
    if not rows:
        click.echo(_("nothing was given up"), err=True)


@dead.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--all", "is_all", is_flag=True, help="Everything that is listed.")
@json_option
def replay(ids: tuple[str, ...], *, is_all: bool, as_json: bool) -> None:
    """Carry the work out again, with all its attempts."""
    _apply("replay", ids, is_all=is_all, as_json=as_json)


@dead.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--all", "is_all", is_flag=True, help="Everything that is listed.")
@json_option
def drop(ids: tuple[str, ...], *, is_all: bool, as_json: bool) -> None:
    """Forget the work: its job stays failed, its rows stay without a price."""
    _apply("drop", ids, is_all=is_all, as_json=as_json)


def _apply(action: str, ids: tuple[str, ...], *, is_all: bool, as_json: bool) -> None:
    """Replay or drop each; exit code 1 if that is not possible for one of them."""
    if bool(ids) == is_all:
        raise click.UsageError(_("name the ids, or use --all"))
    applied: list[str] = []
    failed: list[str] = []
    with _service() as letters:
        found = [letter.id for letter in letters.list()] if is_all else list(ids)
        while found:
            letter_id = found.pop(0)
            try:
                done = _apply_to(letters, action, letter_id, with_batch=is_all)
            except DeadLetterNotFound:
                failed.append(letter_id)
                text = _("{id} is not listed: `carprice dead list` shows what is")
                click.echo(f"carprice: {text.format(id=letter_id)}", err=True)
            except DeadLetterNotReplayable:
                failed.append(letter_id)
                text = _(
                    "{id} cannot be replayed: its data are gone, or its batch runs or was corrected"
                    " since"
                )
                click.echo(f"carprice: {text.format(id=letter_id)}", err=True)
            else:
                applied += done
                for each in () if as_json else done:
                    click.echo(f"{each}\t{action}")
                found = [each for each in found if each not in done]
    if as_json:
        echo_json({"action": action, "done": applied, "failed": failed})
    if failed:
        raise SystemExit(REFUSED)


def _apply_to(
    letters: DeadLetterService, action: str, letter_id: str, *, with_batch: bool
) -> list[str]:
    """Replay or drop a dead letter; return the ids of those for which that was done."""
    if action == "drop":
        return [letters.drop(letter_id).id]
    if with_batch:
        return [letter.id for letter in letters.replay_of_batch(letter_id)]
    return [letters.replay(letter_id).id]


@contextlib.contextmanager
def _service() -> Iterator[DeadLetterService]:
    settings = with_server_urls(Settings.from_env())
    broker = connect(settings.redis_url)
    files = BatchFiles(open_blob_store(settings))
    try:
        yield open_dead_letters(
            settings, broker, files, make_work_sender(broker, time.time), time.time
        )
    except BrokenPipeError:
        raise
    except (DomainError, OSError) as error:
        text = _("{error}: is the service running? (`carprice status`)").format(error=error)
        click.echo(f"carprice: {text}", err=True)
        raise SystemExit(UNUSABLE) from None

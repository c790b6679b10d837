"""`carprice dead`: lists, replays and drops work that failed the maximum number of times."""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from shared.blobs.batch_files import BatchFiles
from shared.blobs.stores import open_blob_store
from shared.domain.errors import DeadLetterNotFound, DeadLetterNotReplayable, DomainError
from shared.queue.replay import DeadLetterService, open_dead_letters
from shared.queue.work import make_work_sender
from shared.redis.connections import connect
from shared.redis.servers import with_server_urls
from shared.settings import Settings


@click.group()
def dead() -> None:
    """List, replay and drop work that was given up."""


@dead.command("list")
def list_letters() -> None:
    """List the work that failed the maximum number of times, newest first."""
    with _service() as letters:
        found = letters.list()
    for letter in found:
        at = datetime.fromtimestamp(letter.failed_at, UTC).isoformat(timespec="seconds")
        click.echo(f"{letter.id}\t{at}\t{letter.caller}\t{letter.attempts}\t{letter.reason}")
    if not found:
        click.echo("nothing was given up", err=True)


@dead.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--all", "is_all", is_flag=True, help="Everything that is listed.")
def replay(ids: tuple[str, ...], *, is_all: bool) -> None:
    """Carry the work out again, with all its attempts."""
    _apply("replay", ids, is_all=is_all)


@dead.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--all", "is_all", is_flag=True, help="Everything that is listed.")
def drop(ids: tuple[str, ...], *, is_all: bool) -> None:
    """Forget the work: its job stays failed, its rows stay without a price."""
    _apply("drop", ids, is_all=is_all)


def _apply(action: str, ids: tuple[str, ...], *, is_all: bool) -> None:
    """Replay or drop each; exit code 1 if that is not possible for one of them."""
    if bool(ids) == is_all:
        raise click.UsageError("name the ids, or use --all")
    failed = False
    with _service() as letters:
        for letter_id in [letter.id for letter in letters.list()] if is_all else ids:
            try:
                letters.replay(letter_id) if action == "replay" else letters.drop(letter_id)
                click.echo(f"{letter_id}\t{action}")
            except DeadLetterNotFound:
                failed = True
                click.echo(f"carprice: {letter_id} is not listed", err=True)
            except DeadLetterNotReplayable:
                failed = True
                click.echo(
                    f"carprice: {letter_id} cannot be replayed: its data are gone, or its batch "
                    "runs or was corrected since",
                    err=True,
                )
    if failed:
        raise SystemExit(1)


@contextlib.contextmanager
def _service() -> Iterator[DeadLetterService]:
    settings = with_server_urls(Settings.from_env())
    broker = connect(settings.redis_url)
    files = BatchFiles(open_blob_store(settings))
    try:
        yield open_dead_letters(
            settings, broker, files, make_work_sender(broker, time.time), time.time
        )
    except (DomainError, OSError) as error:
        click.echo(f"carprice: {error}; is the service running?", err=True)
        raise SystemExit(2) from None

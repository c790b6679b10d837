"""`carprice webhooks`: lists and replays webhooks, and keeps the secrets that sign them."""

import contextlib
import datetime as dt
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from cli.shell.broker_errors import describe_broker_error
from cli.shell.exit_codes import REFUSED, UNUSABLE
from cli.shell.options import json_option
from cli.streams import echo_json
from shared.domain.errors import DomainError
from shared.i18n.command import gettext as _
from shared.keys.shared_store import open_key_store
from shared.keys.store import KeyStoreError
from shared.logging import log_errors_only
from shared.redis.connections import connect
from shared.redis.servers import with_server_urls
from shared.redis.webhooks.records import Delivery
from shared.redis.webhooks.store import WebhookStore
from shared.settings import Settings, SettingsError
from shared.webhooks.addresses import parse_address
from shared.webhooks.secret_store import SERVICE, WebhookSecret, WebhookSecrets
from shared.webhooks.shared_secrets import open_webhook_secrets
from shared.webhooks.signing import new_secret, secret_bytes

LIST_LIMIT = 1000
NEWER = "newer-release"
"""State of what only a newer release can read."""
COLUMNS = (
    "id", "state", "event", "caller", "receiver", "attempts", "last_outcome", "last_status",
    "ended_at", "given_up_at",
)  # fmt: skip
KEEP_H = 24
NOTICE = "API and sender notice a change within a second."


@click.group()
def webhooks() -> None:
    """List and replay webhooks; create and rotate the secrets that sign them."""
    log_errors_only()


@webhooks.command("list")
@click.option("--pending", "states", flag_value="pending", help="Only those that are tried.")
@click.option("--given-up", "states", flag_value="given-up", help="Only those that were given up.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=LIST_LIMIT, show_default=True)
@json_option
def list_webhooks(*, states: str | None, limit: int, as_json: bool) -> None:
    """List webhooks that are not delivered: id, state, event, receiver, attempts, last outcome.

    Those that only a newer release can read have the state `newer-release`: it sends them when it
    starts, or with its command `replay`. Of addresses only scheme, host and port are shown.
    """
    with _store() as store:
        found = {
            "given-up": store.failed(limit) if states != "pending" else {},
            "pending": store.pending(limit) if states != "given-up" else {},
        }
        unreadable = store.unreadable(limit) if states is None else []
    rows = [
        _public(webhook_id, state, delivery)
        for state, deliveries in found.items()
        for webhook_id, delivery in deliveries.items()
    ]
    rows += [{**dict.fromkeys(COLUMNS), "id": each, "state": NEWER} for each in unreadable]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        click.echo("\t".join(str("-" if value is None else value) for value in row.values()))
    if not rows:
        click.echo(_("no webhook is pending or was given up"), err=True)


def _public(webhook_id: str, state: str, delivery: Delivery) -> dict[str, Any]:
    """What is shown of a webhook."""
    end = delivery.end
    return {
        "id": webhook_id,
        "state": state,
        "event": f"{end.summary.kind}.{str(end.summary.state).lower()}",
        "caller": end.summary.caller,
        "receiver": parse_address(end.callback.url).origin,
        "attempts": delivery.attempts,
        "last_outcome": delivery.last_outcome or None,
        "last_status": delivery.last_status,
        "ended_at": _time(end.summary.finished_at),
        "given_up_at": _time(delivery.give_up_at),
    }


def _time(at: float | None) -> str | None:
    return None if at is None else dt.datetime.fromtimestamp(at, dt.UTC).isoformat("T", "seconds")


@webhooks.command()
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--all", "is_all", is_flag=True, help="Every webhook that was given up.")
@json_option
def replay(ids: tuple[str, ...], *, is_all: bool, as_json: bool) -> None:
    """Send webhooks again now, with all their time; pending ones are sent at once.

    They keep their ids, so that a receiver that has one already recognises it.
    """
    if bool(ids) == is_all:
        raise click.UsageError(_("name the ids, or use --all"))
    sent: list[str] = []
    missing: list[str] = []
    with _store() as store:
        if is_all:
            store.aside.put_back()
        for webhook_id in store.failed(LIST_LIMIT * 10) if is_all else ids:
            known = store.replay(webhook_id)
            (sent if known else missing).append(webhook_id)
            if known and not as_json:
                click.echo(f"{webhook_id}\treplay")
    if as_json:
        echo_json({"action": "replay", "done": sent, "failed": missing})
    for webhook_id in missing:
        text = _("{id} is neither pending nor given up").format(id=webhook_id)
        click.echo(f"carprice: {text}", err=True)
    if missing:
        raise SystemExit(REFUSED)


@contextlib.contextmanager
def _store() -> Iterator[WebhookStore]:
    settings = with_server_urls(Settings.from_env())
    broker = connect(settings.redis_url)
    try:
        yield WebhookStore(broker, time.time, retry_s=settings.webhook_retry_s)
    except BrokenPipeError:
        raise
    except (DomainError, OSError) as error:
        text = describe_broker_error(error, settings.redis_url)
        click.echo(f"carprice: {text}", err=True)
        raise SystemExit(UNUSABLE) from None


@webhooks.group(epilog=NOTICE)
def secret() -> None:
    """Secrets that sign webhooks: one per API key, or `service` while there are no keys."""


OWNER = click.argument("owner", default=SERVICE, metavar="[KEY_ID]")


@secret.command(epilog=NOTICE)
@OWNER
@click.option("--import", "given", metavar="SECRET", help="Use this one, `whsec_…`.")
@json_option
def create(owner: str, given: str | None, *, as_json: bool) -> None:
    """Make the secret of an API key (`carprice key list`), or of a service without keys.

    It is printed on standard output: give it to whoever runs the receiver.
    """
    store = _secrets()
    _check_owner(owner)
    made = _new(owner, given)

    def add(secrets: Sequence[WebhookSecret]) -> Sequence[WebhookSecret]:
        if any(each.owner == owner for each in secrets):
            text = _("{owner} has a secret: rotate it, or remove it first")
            raise click.ClickException(text.format(owner=owner))
        return [*secrets, made]

    _change(store, add)
    if as_json:
        echo_json(made.to_json())
    else:
        click.echo(made.secret)
    text = _("secret of {owner} stored in {path}").format(owner=owner, path=store.path)
    click.echo(text, err=True)


@secret.command(epilog=NOTICE)
@OWNER
@click.option(
    "--keep-hours",
    type=click.IntRange(0, 24 * 365),
    default=KEEP_H,
    show_default=True,
    help="How long the former secret signs, too.",
)
@click.option("--import", "given", metavar="SECRET", help="Use this one, `whsec_…`.")
@json_option
def rotate(owner: str, keep_hours: int, given: str | None, *, as_json: bool) -> None:
    """Replace a secret; until the former one ends, both sign, and receivers may know either."""
    store, made = _secrets(), _new(owner, given)
    until = made.created_at + dt.timedelta(hours=keep_hours)

    def replace(secrets: Sequence[WebhookSecret]) -> Sequence[WebhookSecret]:
        own = [each for each in secrets if each.owner == owner]
        if not own:
            text = _("{owner} has no secret: create one").format(owner=owner)
            raise click.ClickException(text)
        kept = [
            WebhookSecret.from_json({**each.to_json(), "expires_at": until.isoformat()})
            if each.expires_at is None or each.expires_at > until
            else each
            for each in own
            if keep_hours and each.signs_at(made.created_at.timestamp())
        ]
        return [each for each in secrets if each.owner != owner] + [*kept, made]

    _change(store, replace)
    if as_json:
        former = until.isoformat(timespec="seconds") if keep_hours else None
        echo_json({**made.to_json(), "former_expires_at": former})
    else:
        click.echo(made.secret)
    text = _("the former secret signs until {time}") if keep_hours else ""
    text = text or _("the former secret is removed")
    click.echo(text.format(time=until.isoformat(timespec="seconds")), err=True)


@secret.command("list")
@json_option
def list_secrets(*, as_json: bool) -> None:
    """List owners and times of the secrets; the secrets themselves are not shown."""
    store = _secrets()
    try:
        with contextlib.suppress(OSError):  # the copy is what this host knows
            store.pull()
        found = store.load()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    rows = [
        {name: value for name, value in each.to_json().items() if name != "secret"}
        for each in found
    ]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        click.echo("\t".join(str(value or "-") for value in row.values()))


@secret.command(epilog=NOTICE)
@OWNER
@json_option
def remove(owner: str, *, as_json: bool) -> None:
    """Remove the secrets of an owner: its pending webhooks wait for a new one."""
    store = _secrets()

    def drop(secrets: Sequence[WebhookSecret]) -> Sequence[WebhookSecret]:
        kept = [each for each in secrets if each.owner != owner]
        if len(kept) == len(secrets):
            raise click.ClickException(_("{owner} has no secret").format(owner=owner))
        return kept

    _change(store, drop)
    if as_json:
        echo_json({"removed": owner})
    click.echo(_("removed: secret of {owner}").format(owner=owner), err=True)


def _new(owner: str, given: str | None) -> WebhookSecret:
    """A secret of an owner, made now."""
    if given is not None:
        try:
            secret_bytes(given)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    now = dt.datetime.now(dt.UTC)
    return WebhookSecret(owner=owner, secret=given or new_secret(), created_at=now)


def _check_owner(owner: str) -> None:
    """Refuse an owner that is neither a key nor the service."""
    if owner == SERVICE:
        return
    try:
        entries = open_key_store(Settings.from_env()).load() or ()
    except KeyStoreError as error:
        raise click.ClickException(str(error)) from None
    if owner not in {entry.id for entry in entries}:
        text = _("there is no key with the id {id}: see `carprice key list`")
        raise click.ClickException(text.format(id=owner))


def _secrets() -> WebhookSecrets:
    return open_webhook_secrets(Settings.from_env())


def _change(store: WebhookSecrets, change: Any) -> None:
    try:
        store.change(change)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None

"""`carprice key`: create, list, change and revoke API keys."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from cli.shell.options import json_option
from cli.streams import echo_json
from shared.i18n.command import gettext as _
from shared.keys.entries import KeyEntry, KeyLimits, Scope, new_key, validate_caller
from shared.keys.shared_store import open_key_store
from shared.keys.store import FileKeyStore, KeyStoreError, close_folder
from shared.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])
NEVER, NONE = "never", "none"
NOTICE = "A running API takes notice within a second."


class _Expiry(click.ParamType):  # type: ignore[type-arg] # generic in stubs only
    """A day (the last one, UTC), a number of days from now (`90d`), or `never`."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the time from which on the key is refused; `NEVER` as it is."""
        if value == NEVER or isinstance(value, dt.datetime):
            return value
        now = dt.datetime.now(dt.UTC)
        try:
            if value.endswith("d"):
                at = now + dt.timedelta(days=int(value[:-1]))
            else:
                day = dt.date.fromisoformat(value)
                at = dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(days=1)
        except (ValueError, OverflowError):
            text = _("{value!r}: expected a day like 2027-01-31, 90d or never")
            self.fail(text.format(value=value), param, ctx)
        if at <= now:
            self.fail(_("{value!r} is in the past").format(value=value), param, ctx)
        return at


class _Limit(click.ParamType):  # type: ignore[type-arg] # as above
    """A limit by its name in an entry, or `none`."""

    def __init__(self, kind: type[int] | type[float], limit: str) -> None:
        self._kind = kind
        self._limit = limit
        self.name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; `NONE` as it is."""
        if value == NONE:
            return value
        try:
            number = self._kind(value)
        except ValueError:
            text = _("{value!r}: expected a positive number or none")
            self.fail(text.format(value=value), param, ctx)
        try:
            KeyLimits.from_json({self._limit: number})
        except ValueError as error:
            reason = str(error).partition(": ")[2]
            text = _("{value!r}: {reason}, or none").format(value=value, reason=reason)
            self.fail(text, param, ctx)
        return number


LIMITS = {
    "requests_per_s": (float, "Requests per second."),
    "burst": (int, "Requests that may come at once; by default those of a second."),
    "cars_per_day": (int, "Cars valued per day, rows of files included."),
    "open_jobs": (int, "Jobs that have not ended."),
    "open_batches": (int, "Batches that have not ended."),
    "stored_bytes": (int, "Bytes of jobs and uploaded files that are kept."),
    "weight": (int, "Share of the workers compared with other callers; 1 by default."),
}


def _with_limits(command: Command) -> Command:
    """Add the options of expiry and limits."""
    for name, (kind, meaning) in reversed(LIMITS.items()):
        words = "requests-per-second" if name == "requests_per_s" else name.replace("_", "-")
        command = click.option(f"--{words}", name, type=_Limit(kind, name), help=meaning)(command)
    expires = click.option(
        "--expires", type=_Expiry(), help="Last day (UTC), like 2027-01-31, or 90d, or never."
    )
    return expires(command)


class _KeyGroup(click.Group):
    """Commands of keys; `key CALLER`, `--list` and `--revoke` are the forms of earlier releases."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Translate the earlier forms into commands."""
        if "--list" in args:
            args = ["list"]
        elif "--revoke" in args:
            args = ["revoke", *(arg for arg in args if arg != "--revoke")]
        elif args and args[0] not in self.commands and args[0] not in {"-h", "--help"}:
            args = ["create", *args]
        return super().parse_args(ctx, args)


def _caller(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    try:
        return None if name is None else validate_caller(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _store() -> FileKeyStore:
    settings = Settings.from_env()
    if settings.home.is_dir():
        close_folder(settings.home)
    return open_key_store(settings)


def _change(change: Callable[[Sequence[KeyEntry]], Sequence[KeyEntry]]) -> FileKeyStore:
    store = _store()
    try:
        store.change(change)
    except KeyStoreError as error:
        raise click.ClickException(str(error)) from error
    return store


@click.group(cls=_KeyGroup, epilog=NOTICE)
def key() -> None:
    """Create, list, change and revoke API keys; only their hashes are stored.

    `carprice key CALLER` is short for `carprice key create CALLER`.
    """


@key.command(epilog=NOTICE)
@click.argument("caller", callback=_caller)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=(str(Scope.PREDICT), str(Scope.BULK)),
    show_default=True,
    type=click.Choice([str(scope) for scope in Scope]),
    help="What the key allows; repeat for several.",
)
@_with_limits
@json_option
def create(
    caller: str, scopes: tuple[str, ...], expires: Any, *, as_json: bool, **limits: Any
) -> None:
    """Make a key for CALLER and print it once."""
    secret, entry = new_key(
        caller,
        frozenset(Scope(scope) for scope in scopes),
        created_at=dt.datetime.now(dt.UTC),
        expires_at=None if expires == NEVER else expires,
        limits=_limits(KeyLimits(), limits),
    )

    def add(entries: Sequence[KeyEntry]) -> Sequence[KeyEntry]:
        if any(entry.id == other.id for other in entries):
            raise click.ClickException(_("the new key has the id of another one: try again"))
        return [*entries, entry]

    store = _change(add)
    if as_json:
        echo_json({"key": secret, **_public(entry, None)})
    else:
        click.echo(secret)
    text = _("key {id} stored (hashed) in {path}").format(id=entry.id, path=store.path)
    click.echo(text, err=True)


@key.command("list")
@json_option
def list_keys(*, as_json: bool) -> None:
    """List the keys: id, caller, scopes, created, expires, last used, limits."""
    store = _store()
    try:
        entries = store.load() or ()
    except KeyStoreError as error:
        raise click.ClickException(str(error)) from error
    used = store.last_used()
    if as_json:
        echo_json([_public(entry, used.get(entry.id)) for entry in entries])
        return
    for entry in entries:
        shown = _public(entry, used.get(entry.id))
        limits = " ".join(f"{name}={value}" for name, value in shown["limits"].items())
        columns = [
            shown["id"],
            shown["caller"],
            " ".join(shown["scopes"]),
            *(f"{name} {shown[name] or '-'}" for name in ("created_at", "expires_at", "last_used")),
            limits or "-",
        ]
        click.echo("\t".join(columns))


def _public(entry: KeyEntry, used_at: float | None) -> dict[str, Any]:
    """An entry without its hash."""
    members = {"created_at": None, "expires_at": None, "limits": {}, **entry.to_json()}
    del members["hash"]
    used = None if used_at is None else dt.datetime.fromtimestamp(used_at, dt.UTC)
    members["last_used"] = None if used is None else used.isoformat(timespec="seconds")
    return members


@key.command(epilog=NOTICE)
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--all-of", metavar="CALLER", help="Revoke every key of a caller.")
@json_option
def revoke(ids: tuple[str, ...], all_of: str | None, *, as_json: bool) -> None:
    """Revoke keys by their ids; the name of a caller that has one key will do."""
    if not ids and all_of is None:
        text = _("name the ID of a key (`carprice key list`), or --all-of CALLER")
        raise click.UsageError(text)
    removed: list[KeyEntry] = []

    def remove(entries: Sequence[KeyEntry]) -> Sequence[KeyEntry]:
        removed.extend(_one(entries, name) for name in ids)
        if all_of is not None:
            own = [entry for entry in entries if entry.caller == all_of]
            if not own:
                raise click.ClickException(_("{caller} has no key").format(caller=all_of))
            removed.extend(own)
        return [entry for entry in entries if entry not in removed]

    _change(remove)
    revoked = list(dict.fromkeys(removed))
    if as_json:
        echo_json({"revoked": [{"id": entry.id, "caller": entry.caller} for entry in revoked]})
    for entry in revoked:
        text = _("revoked: key {id} of {caller}").format(id=entry.id, caller=entry.caller)
        click.echo(text, err=True)


@key.command(epilog=NOTICE)
@click.argument("name", metavar="ID")
@_with_limits
@json_option
def change(name: str, expires: Any, *, as_json: bool, **limits: Any) -> None:
    """Change expiry and limits of a key; `none` removes a limit."""
    changed: list[KeyEntry] = []

    def replace(entries: Sequence[KeyEntry]) -> Sequence[KeyEntry]:
        old = _one(entries, name)
        members = {**old.to_json(), "limits": _limits(old.limits, limits).to_json()}
        if expires is not None:
            members["expires_at"] = None if expires == NEVER else expires.isoformat()
        changed[:] = [KeyEntry.from_json(members)]
        return [changed[0] if entry is old else entry for entry in entries]

    _change(replace)
    if as_json:
        echo_json(_public(changed[0], None))


@key.command()
@click.confirmation_option(
    prompt="Remove all keys? After a restart anyone on this machine may call with all rights"
)
@json_option
def disable(*, as_json: bool) -> None:
    """Remove all keys; a service on loopback is open again after a restart."""
    try:
        _store().disable()
    except KeyStoreError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        echo_json({"disabled": True})
    if Settings.from_env().api_keys_file is not None:
        text = _(
            "API_KEYS_FILE names a file, which must exist: unset it before the restart, or every "
            "request is refused"
        )
        click.echo(text, err=True)


def _limits(old: KeyLimits, given: dict[str, Any]) -> KeyLimits:
    """The limits with those that are given; `NONE` removes one."""
    members = old.to_json() | {name: value for name, value in given.items() if value is not None}
    return KeyLimits.from_json({name: value for name, value in members.items() if value != NONE})


def _one(entries: Sequence[KeyEntry], name: str) -> KeyEntry:
    """The key with an id, or the only one of a caller."""
    found = [entry for entry in entries if entry.id == name]
    found = found or [entry for entry in entries if entry.caller == name]
    if not found:
        text = _("there is no key with the id {name}, and {name} has no key")
        raise click.ClickException(text.format(name=name))
    if len(found) > 1:
        ids = ", ".join(entry.id for entry in found)
        text = _("{name} has several keys: name one of {ids}").format(name=name, ids=ids)
        raise click.ClickException(text)
    return found[0]

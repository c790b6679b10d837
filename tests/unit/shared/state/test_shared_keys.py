"""API keys and webhook secrets that two hosts share."""

import dataclasses
import datetime as dt
from pathlib import Path

import pytest

from api.middleware.key_directory import KeyDirectory
from shared.domain.errors import KeysUnavailable
from shared.keys.entries import KeyLimits, Scope, new_key
from shared.keys.shared_store import DOCUMENT, open_key_store
from shared.keys.store import FileKeyStore, KeysMissingError, KeyStoreError
from shared.settings import Settings
from shared.state.objects import StateObjects
from shared.webhooks.secret_store import SERVICE, WebhookSecret
from shared.webhooks.shared_secrets import open_webhook_secrets
from shared.webhooks.signing import new_secret
from tests.object_store import BUCKET

NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


@pytest.fixture
def settings(store, request, tmp_path):
    """The settings of two hosts."""
    return [
        Settings(
            home=tmp_path / host,
            state_url=f"s3://{BUCKET}/{request.node.name}",
            blob_endpoint_url=store.endpoint_url,
        )
        for host in ("a", "b")
    ]


def unreachable(settings: Settings) -> Settings:
    """The same host without access to the store."""
    return dataclasses.replace(settings, blob_endpoint_url="http://127.0.0.1:9")


def make(caller: str):
    """A key and its entry."""
    return new_key(caller, frozenset({Scope.PREDICT}), created_at=NOW, expires_at=None,
                   limits=KeyLimits())  # fmt: skip


class Clock:
    """A clock that each look moves on by more than the interval of the directory."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 10.0
        return self.now


def callers(directory: KeyDirectory, *keys: str) -> list[bool]:
    """Which keys are valid now."""
    directory.exist()
    return [directory.find(key) is not None for key in keys]


def test_without_state_url_keys_lie_in_a_file(tmp_path):
    assert type(open_key_store(Settings(home=tmp_path))) is FileKeyStore


def test_creation_and_revocation_reach_the_other_host(settings):
    a, b = map(open_key_store, settings)
    directory = KeyDirectory(b, Clock())
    secret, entry = make("garage")
    a.change(lambda entries: [*entries, entry])
    b.pull()
    assert callers(directory, secret) == [True]
    b.change(lambda entries: [one for one in entries if one.id != entry.id])
    a.pull()
    assert a.load() == []
    assert callers(directory, secret) == [False]


def test_a_new_host_reads_the_keys_at_its_first_load(settings):
    a, b = map(open_key_store, settings)
    _, entry = make("garage")
    a.change(lambda entries: [*entries, entry])
    assert [one.id for one in b.load()] == [entry.id]


def test_keys_of_both_hosts_are_kept(settings):
    a, b = map(open_key_store, settings)
    made = [make("garage")[1] for _ in range(4)]
    for store, entry in zip((a, b, a, b), made, strict=True):
        store.change(lambda entries, entry=entry: [*entries, entry])
    a.pull()
    assert {one.id for one in a.load()} == {entry.id for entry in made}


def test_a_host_with_old_files_takes_the_shared_keys_at_its_start(settings):
    a, b = map(open_key_store, settings)
    (old, revoked), (new, added) = make("garage"), make("garage")
    a.change(lambda _: [revoked])
    b.pull()
    a.change(lambda _: [added])
    assert callers(KeyDirectory(open_key_store(settings[1])), old, new) == [False, True]


def test_a_host_without_access_keeps_its_keys_and_gets_no_more(settings):
    a, b = map(open_key_store, settings)
    (old, first), (new, second) = make("garage"), make("garage")
    a.change(lambda _: [first])
    b.pull()
    a.change(lambda _: [second])
    away = open_key_store(unreachable(settings[1]))
    assert callers(KeyDirectory(away), old, new) == [True, False]
    with pytest.raises(KeyStoreError, match="state store"):
        away.change(lambda _: [])
    assert callers(KeyDirectory(away), old) == [True]


def test_a_host_that_never_reached_the_store_refuses_everybody(settings):
    directory = KeyDirectory(open_key_store(unreachable(settings[1])))
    with pytest.raises(KeysUnavailable):
        directory.require_readable()


def test_own_keys_become_the_shared_ones_with_the_first_change(settings):
    (own, entry), (_, other) = make("garage"), make("garage")
    FileKeyStore.of(settings[0]).change(lambda _: [entry])
    a, b = map(open_key_store, settings)
    assert callers(KeyDirectory(a), own) == [True]
    a.change(lambda entries: [*entries, other])
    assert {one.id for one in b.load()} == {entry.id, other.id}


def test_lost_keys_are_reported_and_nobody_calls(settings):
    a = open_key_store(settings[0])
    secret, entry = make("garage")
    a.change(lambda _: [entry])
    directory = KeyDirectory(a, Clock())
    StateObjects.of(settings[0]).delete([DOCUMENT])
    a.pull()
    with pytest.raises(KeysMissingError):
        a.load()
    assert callers(directory, secret) == [False]
    with pytest.raises(KeysUnavailable):
        directory.require_readable()


def test_damaged_keys_change_nothing_on_a_running_host(settings):
    a = open_key_store(settings[0])
    secret, entry = make("garage")
    a.change(lambda _: [entry])
    directory = KeyDirectory(a, Clock())
    objects = StateObjects.of(settings[0])
    objects.replace(DOCUMENT, b'[{"caller"\xff', objects.read(DOCUMENT).etag)
    a.pull()
    assert callers(directory, secret) == [True]
    with pytest.raises(KeyStoreError, match="restore"):
        a.change(lambda entries: entries)


def test_keys_are_disabled_on_all_hosts(settings):
    a, b = map(open_key_store, settings)
    a.change(lambda _: [make("garage")[1]])
    b.pull()
    a.disable()
    b.pull()
    assert b.load() is None
    assert not KeyDirectory(open_key_store(settings[1])).exist()
    a.change(lambda entries: [*entries, make("garage")[1]])
    b.pull()
    assert len(b.load()) == 1


def test_copies_are_private(settings):
    a = open_key_store(settings[0])
    a.change(lambda _: [make("garage")[1]])
    assert {path.stat().st_mode & 0o777 for path in Path(settings[0].home).iterdir()} == {0o600}


def test_webhook_secrets_are_shared(settings):
    a, b = map(open_webhook_secrets, settings)
    made = WebhookSecret(owner=SERVICE, secret=new_secret(), created_at=NOW)
    a.change(lambda secrets: [*secrets, made])
    b.pull()
    assert b.signing("") == [made.secret]
    b.change(lambda secrets: [each for each in secrets if each.owner != SERVICE])
    a.pull()
    assert open_webhook_secrets(settings[0]).signing("") == []

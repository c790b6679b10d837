"""API keys: who passes, who does not, and what is stored."""

import dataclasses
import datetime as dt
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from api.middleware import key_directory
from api.middleware.authentication import Authenticator
from api.middleware.key_directory import KeyDirectory, KeyUpkeep
from cli.keys import key as key_command
from launcher.preflight import CannotStartError, check_keys, prepare_home
from shared.domain.errors import KeyExpired, KeysUnavailable, NotAuthenticated
from shared.keys.entries import KeyEntry, KeyLimits, Scope, new_key
from shared.keys.store import FileKeyStore, KeysMissingError, KeyStoreError, write_keys
from shared.logging import get_logger
from shared.settings import Settings, SettingsError

ROOT = Path(__file__).parents[3]
YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


@pytest.fixture
def run(settings, monkeypatch):
    """Call `carprice key` for a home of its own."""
    monkeypatch.setenv("CARPRICE_HOME", str(settings.home))

    def call(*arguments, **options):
        return CliRunner().invoke(key_command, arguments, **options)

    return call


def make_key(run, *arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[0]


def listed(run):
    return json.loads(run("list", "--json").stdout)


def find(keys, key):
    """Find a caller as the service does."""
    assert keys.exist()
    return keys.find(key)


def directory(settings, now):
    return KeyDirectory(FileKeyStore.of(settings), lambda: now[0])


def test_without_keys_loopback_is_open_and_anything_else_refuses_to_start(settings):
    assert Authenticator(settings).caller("").scopes == frozenset(Scope)
    with pytest.raises(SettingsError, match="make key"):
        Authenticator(Settings(home=settings.home, host="0.0.0.0"))


def test_a_key_opens_what_its_scopes_say_and_only_its_hash_is_stored(settings, run):
    secret = make_key(run, "shop", "--scope", "predict")
    stored = settings.keys_file.read_text()
    assert secret not in stored
    authenticator = Authenticator(Settings(home=settings.home, host="0.0.0.0"))
    caller = authenticator.caller(f"Bearer {secret}")
    assert (caller.id, caller.scopes) == ("shop", {Scope.PREDICT})


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_requests_notice_new_and_revoked_keys_on_any_address(settings, run, monkeypatch, host):
    monkeypatch.setattr(key_directory, "REFRESH_INTERVAL_S", 0.0)
    first = make_key(run, "shop", "--scope", "predict")
    authenticator = Authenticator(Settings(home=settings.home, host=host))
    second = make_key(run, "other", "--scope", "predict")
    assert authenticator.caller(f"Bearer {second}") is not None
    assert run("revoke", "shop").exit_code == 0
    assert authenticator.caller(f"Bearer {first}") is None


def test_home_and_files_of_keys_are_private_whoever_creates_them(settings, run):
    os.umask(0o022)
    make_key(run, "shop")
    modes = {path.name: path.stat().st_mode & 0o777 for path in settings.home.iterdir()}
    assert settings.home.stat().st_mode & 0o777 == 0o700
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


def test_a_home_that_was_readable_by_others_is_closed(settings, run):
    for use in (lambda: run("shop"), lambda: prepare_home(settings)):
        settings.home.mkdir(exist_ok=True)
        settings.home.chmod(0o755)
        use()
        assert settings.home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic {}", "{}", "Bearer {}x"])
def test_anything_else_is_nobody_once_there_are_keys(settings, run, header):
    secret = make_key(run, "shop")
    authenticator = Authenticator(settings)
    assert authenticator.caller(header.format(secret)) is None
    assert type(authenticator.refusal(header.format(secret))) is NotAuthenticated


def test_a_running_service_notices_new_changed_and_revoked_keys(settings, run):
    now = [0.0]
    first = make_key(run, "shop")
    keys = directory(settings, now)
    second = make_key(run, "garage")
    assert find(keys, second) is None
    now[0] += 1
    assert find(keys, second).id == "garage"
    run("change", "garage", "--cars-per-day", "5", "--weight", "3")
    now[0] += 1
    assert find(keys, second).limits == KeyLimits(cars_per_day=5, weight=3)
    assert keys.weights == {"garage": 3}
    run("shop", "--revoke")
    run("garage", "--revoke")
    now[0] += 1
    assert find(keys, first) is None
    assert keys.exist(), "without any key left the door stays shut"


def test_concurrent_creations_lose_no_key(settings):
    environment = {**os.environ, "CARPRICE_HOME": str(settings.home)}
    command = [sys.executable, "-m", "cli.main", "key"]
    makers = [
        subprocess.Popen(
            [*command, f"shop{n}"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        for n in range(12)
    ]
    secrets = [maker.communicate(timeout=60)[0].strip() for maker in makers]
    authenticator = Authenticator(settings)
    found = [authenticator.caller(f"Bearer {secret}") for secret in secrets]
    assert [caller and caller.id for caller in found] == [f"shop{n}" for n in range(12)]
    assert not list(settings.home.glob(".*")), "no temporary file is left"


def test_a_change_waits_for_the_one_that_holds_the_lock(settings):
    store = FileKeyStore.of(settings)
    entries = [new_key(name, frozenset(Scope))[1] for name in ("first", "second")]
    inside, release = threading.Event(), threading.Event()

    def slowly(old):
        inside.set()
        release.wait(10)
        return [*old, entries[0]]

    slow = threading.Thread(target=store.change, args=[slowly])
    slow.start()
    inside.wait(10)
    fast = threading.Thread(target=store.change, args=[lambda old: [*old, entries[1]]])
    fast.start()
    release.set()
    slow.join()
    fast.join()
    assert store.load() == entries


def test_revoking_by_id_removes_one_key_and_all_of_a_caller_only_if_asked(settings, run):
    kept, revoked = make_key(run, "shop"), make_key(run, "shop")
    other = make_key(run, "garage")
    ids = [entry["id"] for entry in listed(run)]
    refused = run("shop", "--revoke")
    assert refused.exit_code == 1
    assert f"{ids[0]}, {ids[1]}" in refused.output
    assert run("revoke", ids[1]).exit_code == 0
    authenticator = Authenticator(settings)
    assert authenticator.caller(f"Bearer {revoked}") is None
    assert authenticator.caller(f"Bearer {kept}")
    assert authenticator.caller(f"Bearer {other}")
    make_key(run, "shop")
    assert run("revoke", "--all-of", "shop").exit_code == 0
    assert [entry["caller"] for entry in listed(run)] == ["garage"]
    for unknown in (("revoke", "x"), ("revoke", "--all-of", "x"), ("change", "x")):
        assert run(*unknown).exit_code == 1
    assert run("revoke").exit_code == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("is_running", [True, False])
def test_a_deleted_key_file_lets_nobody_in(settings, run, host, is_running):
    secret, now = make_key(run, "shop", "--scope", "admin"), [0.0]
    settings = Settings(home=settings.home, host=host)
    keys = directory(settings, now) if is_running else None
    settings.keys_file.unlink()
    now[0] += 1
    keys = keys or directory(settings, now)
    assert keys.exist()
    assert find(keys, secret) is None
    assert isinstance(keys.refusal(secret), KeysUnavailable)
    assert isinstance(keys.refusal(""), KeysUnavailable)
    with pytest.raises(KeysMissingError, match="missing"):
        check_keys(settings)
    again = make_key(run, "shop")
    now[0] += 1
    assert find(keys, again).id == "shop"


def test_a_key_file_of_an_earlier_release_is_missed_too(settings):
    """Its API reads and marks it, so that deleting it opens nothing afterwards."""
    _, entry = new_key("shop", frozenset(Scope))
    settings.home.mkdir()
    members = {name: entry.to_json()[name] for name in ("caller", "hash", "scopes")}
    settings.keys_file.write_text(json.dumps([members]))
    assert not Authenticator(settings).allows_anonymous
    settings.keys_file.unlink()
    assert not Authenticator(settings).allows_anonymous


def test_a_home_that_is_deleted_opens_no_running_service(settings, run):
    now = [0.0]
    make_key(run, "shop")
    keys = directory(settings, now)
    for path in settings.home.iterdir():
        path.unlink()
    settings.home.rmdir()
    now[0] += 1
    assert keys.exist()


def test_a_key_file_that_the_operator_names_must_exist(settings, tmp_path):
    named = Settings(home=settings.home, api_keys_file=tmp_path / "keys.json")
    assert not Authenticator(named).allows_anonymous
    assert Authenticator(settings).allows_anonymous, "another service has no keys"
    write_keys(tmp_path / "keys.json", [])
    assert not Authenticator(named).allows_anonymous


def test_keys_can_be_disabled_on_purpose_and_a_running_service_stays_closed(settings, run):
    now = [0.0]
    make_key(run, "shop")
    keys = directory(settings, now)
    assert run("disable", input="n\n").exit_code == 1
    assert run("disable", "--yes").exit_code == 0
    now[0] += 1
    assert keys.exist()
    assert Authenticator(settings).allows_anonymous


def test_without_the_file_that_the_operator_names_the_service_stays_closed(
    settings, run, tmp_path, monkeypatch
):
    monkeypatch.setenv("API_KEYS_FILE", str(tmp_path / "keys.json"))
    make_key(run, "shop")
    assert "unset it" in run("disable", "--yes").stderr
    named = dataclasses.replace(settings, api_keys_file=tmp_path / "keys.json")
    assert not Authenticator(named).allows_anonymous
    monkeypatch.delenv("API_KEYS_FILE")
    make_key(run, "shop")
    assert "unset" not in run("disable", "--yes").stderr


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_key_file_that_others_can_write_is_reported_once(settings, run, mode, monkeypatch):
    now = [0.0]
    secret = make_key(run, "shop")
    # One that an earlier test has used keeps the configuration of that time.
    monkeypatch.setattr(key_directory, "log", get_logger("auth"))

    def warnings(seconds: int = 3) -> list[str]:
        with capture_logs() as events:
            for _ in range(seconds):
                now[0] += 1
                assert find(keys, secret) is not None
        return [each["event"] for each in events]

    keys = directory(settings, now)
    assert warnings() == []
    settings.keys_file.chmod(mode)
    assert warnings() == ["api_keys_writable_by_others"]
    settings.keys_file.touch()
    assert warnings() == []
    with capture_logs() as events:
        directory(settings, now)
    assert [each["event"] for each in events] == ["api_keys_writable_by_others"]


@pytest.mark.parametrize("content", ["{", "7", '[{"hash": 1}]', "[null]", "\udcff"])
def test_a_broken_file_keeps_the_keys_that_were_valid_and_lets_nobody_else_in(
    settings, run, content
):
    now = [0.0]
    secret = make_key(run, "shop")
    keys = directory(settings, now)
    settings.keys_file.write_bytes(content.encode("utf-8", "surrogateescape"))
    now[0] += 1
    assert find(keys, secret).id == "shop"
    assert find(keys, "other") is None
    assert isinstance(keys.refusal("other"), KeysUnavailable)
    assert run("list").exit_code == run("create", "x").exit_code == 1
    with pytest.raises(SettingsError, match="not a file of API keys"):
        check_keys(settings)
    restarted = Authenticator(settings)
    assert not restarted.allows_anonymous
    assert restarted.caller(f"Bearer {secret}") is None
    assert isinstance(restarted.refusal(f"Bearer {secret}"), KeysUnavailable)


def test_a_file_that_cannot_be_looked_at_keeps_the_keys_that_were_valid(settings, run, tmp_path):
    now = [0.0]
    secret = make_key(run, "shop")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    moved = settings.keys_file.rename(folder / "keys.json")
    keys = KeyDirectory(FileKeyStore(moved, tmp_path / "marker"), lambda: now[0])
    moved.unlink()
    folder.rmdir()
    folder.write_text("no folder")
    now[0] += 1
    assert keys.exist()
    assert find(keys, secret).id == "shop"


def test_a_key_expires_and_its_holder_is_told(settings):
    secret, entry = new_key("shop", frozenset(Scope), expires_at=YESTERDAY)
    later, valid = new_key("shop", frozenset(Scope), expires_at=YESTERDAY + dt.timedelta(days=2))
    settings.home.mkdir()
    write_keys(settings.keys_file, [entry, valid])
    authenticator = Authenticator(settings)
    assert authenticator.caller(f"Bearer {secret}") is None
    assert isinstance(authenticator.refusal(f"Bearer {secret}"), KeyExpired)
    assert authenticator.caller(f"Bearer {later}").id == "shop"


@pytest.mark.parametrize(
    ("given", "days"), [("90d", 90), ((YESTERDAY.date() + dt.timedelta(days=5)).isoformat(), 5)]
)
def test_the_expiry_is_a_number_of_days_or_the_last_day(run, given, days):
    make_key(run, "shop", "--expires", given)
    (entry,) = listed(run)
    left = dt.datetime.fromisoformat(entry["expires_at"]) - dt.datetime.now(dt.UTC)
    assert days - 1 <= left / dt.timedelta(days=1) <= days
    run("change", entry["id"], "--expires", "never")
    assert listed(run)[0]["expires_at"] is None


@pytest.mark.parametrize("given", ["2020-01-01", "0d", "soon", "-3d", "2027-13-01", "9" * 30 + "d"])
def test_an_expiry_that_is_none_is_refused(run, settings, given):
    assert run("shop", "--expires", given).exit_code == 2
    assert not settings.keys_file.exists()


def test_limits_are_set_changed_and_removed(run):
    make_key(run, "shop", "--requests-per-second", "0.5", "--open-jobs", "3", "--weight", "2")
    (entry,) = listed(run)
    assert entry["limits"] == {"requests_per_s": 0.5, "open_jobs": 3, "weight": 2}
    run("change", entry["id"], "--open-jobs", "none", "--stored-bytes", "1000")
    (changed,) = listed(run)
    assert changed["limits"] == {"requests_per_s": 0.5, "weight": 2, "stored_bytes": 1000}
    assert changed["created_at"] == entry["created_at"]


@pytest.mark.parametrize("value", ["0", "-1", "x", "nan", "inf", "1.5"])
def test_a_limit_is_a_positive_number(run, value):
    assert run("shop", "--cars-per-day", value).exit_code == 2


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("requests-per-second", "1e-9"),
        ("requests-per-second", "1e300"),
        ("burst", "1" + 20 * "0"),
        ("cars-per-day", "1" + 15 * "0"),
        ("weight", "1001"),
    ],
)
def test_a_limit_that_cannot_be_counted_with_is_refused(run, limit, value):
    refused = run("shop", f"--{limit}", value)
    assert refused.exit_code == 2
    assert " to " in refused.stderr
    assert "or none" in refused.stderr


@pytest.mark.parametrize(
    "limits", [{"cars": 1}, {"cars_per_day": "1"}, {"open_jobs": True}, {"burst": 0}, []]
)
def test_limits_in_a_file_that_cannot_be_understood_are_not_ignored(settings, limits):
    _, entry = new_key("shop", frozenset(Scope))
    settings.home.mkdir()
    settings.keys_file.write_text(json.dumps([entry.to_json() | {"limits": limits}]))
    with pytest.raises(KeyStoreError):
        FileKeyStore.of(settings).load()


def test_members_of_later_releases_are_ignored():
    _, entry = new_key("shop", frozenset(Scope))
    assert KeyEntry.from_json(entry.to_json() | {"colour": "red"}) == entry


def test_keys_are_listed_without_secret_and_hash(run):
    secret = make_key(run, "shop", "--scope", "admin", "--expires", "3d", "--open-jobs", "4")
    (entry,) = listed(run)
    for text in (run("list").stdout, run("--list").stdout):
        assert all(word in text for word in (entry["id"], "shop", "admin", "open_jobs=4"))
        assert secret not in text
        assert not any(len(word) == 64 for word in text.split())


def test_the_last_use_of_keys_is_kept_beside_them(settings, run):
    make_key(run, "shop")
    store = FileKeyStore.of(settings)
    stamp, (entry,) = store.stamp(), listed(run)
    assert entry["last_used"] is None
    upkeep = KeyUpkeep(store, lambda: None)
    upkeep.note(entry["id"])
    upkeep.run_once()
    used = dt.datetime.fromisoformat(listed(run)[0]["last_used"])
    assert abs(used - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=60)
    assert store.stamp() == stamp, "the keys need not be read again"
    store.record_use({entry["id"]: 5.0})
    assert store.last_used()[entry["id"]] > 5, "an older time does not replace a newer one"


def test_a_use_that_cannot_be_kept_is_kept_later(settings, run):
    make_key(run, "shop")
    upkeep = KeyUpkeep(FileKeyStore.of(settings), lambda: None)
    upkeep.note("abc")
    hidden = settings.home.rename(settings.home.with_name("hidden"))
    upkeep.run_once()
    hidden.rename(settings.home)
    upkeep.run_once()
    assert "abc" in FileKeyStore.of(settings).last_used()


def test_slips_of_the_command_line_are_explained(run):
    assert "list" in run().output
    assert "has no key" in run("nobody", "--revoke").output
    assert run("shop", "--scope", "everything").exit_code == 2


@pytest.mark.parametrize("name", ["a:b", "", "a b", "é", "x" * 65, "a/b", "a\n"])
def test_a_caller_has_a_plain_name(run, settings, name):
    result = run(name)
    assert result.exit_code == 2
    assert "1 to 64" in result.output
    assert not settings.keys_file.exists()


def test_a_file_with_another_name_or_no_hash_is_refused_with_the_reason(run, settings):
    make_key(run, "a-B_c.9")
    good = json.loads(settings.keys_file.read_text())
    for change, reason in (({"caller": "a:b"}, "expected 1 to 64"), ({"hash": "é"}, "SHA-256")):
        settings.keys_file.write_text(json.dumps([good[0] | change]))
        with pytest.raises(KeyStoreError, match=reason):
            FileKeyStore.of(settings).load()


def test_earlier_releases_can_read_stored_entries(settings, run):
    make_key(run, "shop")
    (entry,) = json.loads(settings.keys_file.read_text())
    assert {"caller", "hash", "scopes"} < set(entry)


def test_a_service_for_other_machines_does_not_start_without_keys(settings):
    public = Settings(home=settings.home, host="0.0.0.0")
    with pytest.raises(CannotStartError, match="make key"):
        check_keys(public)

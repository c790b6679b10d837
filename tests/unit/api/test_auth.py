"""API keys: who passes, who does not, and what is stored."""

import json

import pytest
from click.testing import CliRunner

from api.middleware.authentication import Authenticator, KeyFile, Scope
from cli.keys import key as key_command
from shared.settings import Settings, SettingsError


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call `carprice key` for a home of its own."""
    monkeypatch.setenv("CARPRICE_HOME", str(tmp_path))

    def call(*arguments):
        return CliRunner().invoke(key_command, arguments)

    return call


def make_key(run, *arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[0]


def test_without_keys_loopback_is_open_and_anything_else_refuses_to_start(settings, tmp_path):
    assert Authenticator(settings).caller("").scopes == frozenset(Scope)
    with pytest.raises(SettingsError, match="make key"):
        Authenticator(Settings(home=tmp_path, host="0.0.0.0"))


def test_a_key_opens_what_its_scopes_say_and_only_its_hash_is_stored(settings, run, tmp_path):
    secret = make_key(run, "shop", "--scope", "predict")
    stored = settings.keys_file.read_text()
    assert secret not in stored
    assert settings.keys_file.stat().st_mode & 0o777 == 0o600
    authenticator = Authenticator(Settings(home=tmp_path, host="0.0.0.0"))
    caller = authenticator.caller(f"Bearer {secret}")
    assert (caller.id, caller.scopes) == ("shop", {Scope.PREDICT})


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic {}", "{}", "Bearer {}x"])
def test_anything_else_is_nobody_once_there_are_keys(settings, run, header):
    secret = make_key(run, "shop")
    assert Authenticator(settings).caller(header.format(secret)) is None


def test_a_running_service_notices_new_and_revoked_keys(settings, run):
    now = [0.0]
    first = make_key(run, "shop")
    keys = KeyFile(settings.keys_file, lambda: now[0])
    second = make_key(run, "garage")
    assert keys.caller(second) is None
    now[0] += 1
    assert keys.caller(second).id == "garage"
    run("shop", "--revoke")
    run("garage", "--revoke")
    now[0] += 1
    assert keys.caller(first) is None
    assert keys.exists, "without any key left the door stays shut"


def test_a_broken_file_keeps_the_keys_that_were_valid(settings, run):
    now = [0.0]
    secret = make_key(run, "shop")
    keys = KeyFile(settings.keys_file, lambda: now[0])
    settings.keys_file.write_text("{")
    now[0] += 1
    assert keys.caller(secret).id == "shop"
    assert run("--list").exit_code == 1
    with pytest.raises(SettingsError, match="not a file of API keys"):
        Authenticator(settings)


def test_a_file_that_cannot_be_looked_at_keeps_the_keys_that_were_valid(settings, run, tmp_path):
    now = [0.0]
    secret = make_key(run, "shop")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    moved = settings.keys_file.rename(folder / "keys.json")
    keys = KeyFile(moved, lambda: now[0])
    moved.unlink()
    folder.rmdir()
    folder.write_text("no folder")
    now[0] += 1
    assert keys.exists
    assert keys.caller(secret).id == "shop"


def test_keys_are_listed_without_their_secret(run):
    secret = make_key(run, "shop", "--scope", "admin")
    listed = run("--list").stdout
    assert "shop\tadmin\t" in listed
    assert secret not in listed


def test_slips_of_the_command_line_are_explained(run):
    assert "--list" in run().output
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
    settings.keys_file.write_text(json.dumps([good[0] | {"caller": "a:b"}]))
    with pytest.raises(SettingsError, match="caller 'a:b': expected 1 to 64"):
        Authenticator(settings)
    settings.keys_file.write_text(json.dumps([good[0] | {"hash": "é"}]))
    with pytest.raises(SettingsError, match="not a SHA-256"):
        Authenticator(settings)


def test_stored_entries_are_plain_json(settings, run):
    make_key(run, "shop")
    (entry,) = json.loads(settings.keys_file.read_text())
    assert set(entry) == {"caller", "hash", "scopes"}

"""The home of a release, as it left its files: the current code goes on with keys and audit log.

What a release stores in Redis and of batches is in `test_stored_records.py`, webhooks and their
secrets in `test_stored_webhooks.py`.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from launcher.preflight import check_keys
from shared.audit.checkpoints import Checkpoints
from shared.audit.log import AuditLog
from shared.keys.entries import Scope, hash_key, new_key
from shared.keys.store import FileKeyStore
from shared.settings import Settings
from tests.audit_segments import AT, audit_record
from tests.stored_records.write_home import CARS, FOLDER, PER_DAY

RELEASES = sorted(FOLDER.glob("*.json"))
RECORDED = 2 * len(CARS)


@pytest.fixture(params=RELEASES, ids=lambda path: path.stem)
def release(request: pytest.FixtureRequest) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(request.param.read_text(encoding="utf-8"))
    return written


@pytest.fixture
def settings(release: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with the home of the release, which the commands use too."""
    tmp_path.chmod(0o700)
    for name, content in release["files"].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(base64.b64decode(content))
        path.chmod(0o600)
    monkeypatch.setenv("CARPRICE_HOME", str(tmp_path))
    return Settings(home=tmp_path)


def carprice(*arguments: str) -> str:
    """The output of a command that succeeds."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def queried(*arguments: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in carprice("audit", "query", *arguments, "--json").splitlines()
    ]


def at() -> float:
    return AT + 60


def test_keys_of_the_release_are_valid_with_their_scopes_and_limits(
    settings: Settings, release: dict[str, Any]
) -> None:
    check_keys(settings)
    entries = {entry.hash: entry for entry in FileKeyStore.of(settings).load() or ()}
    shop, operator = (entries[hash_key(release["keys"][name])] for name in ("shop", "operator"))
    assert (shop.caller, shop.scopes) == ("shop", frozenset({Scope.PREDICT, Scope.BULK}))
    assert shop.limits.cars_per_day == PER_DAY
    assert (operator.caller, operator.scopes) == ("operator", frozenset({Scope.ADMIN}))


def test_keys_of_the_release_are_kept_when_another_is_created(settings: Settings) -> None:
    store = FileKeyStore.of(settings)
    before = store.load() or ()
    _, made = new_key("new", frozenset({Scope.PREDICT}))
    store.change(lambda entries: [*entries, made])
    assert [entry.id for entry in store.load() or ()] == [*(entry.id for entry in before), made.id]
    assert len(json.loads(carprice("key", "list", "--json"))) == len(before) + 1


@pytest.mark.usefixtures("settings")
def test_the_audit_log_of_the_release_is_whole_and_searched() -> None:
    assert f"{RECORDED} records in 2 files are whole, 0 files are not" in carprice(
        "audit", "verify"
    )
    (found,) = queried("--id", "id-api-1")
    assert (found["brand"], found["model"], found["caller"]) == ("renault", "clio", "shop")
    assert len(queried("--brand", "dacia")) == 2


def test_the_audit_log_goes_on_beside_that_of_the_release(settings: Settings) -> None:
    log = AuditLog.of(settings, "api", at, Checkpoints.of(settings, at))
    log.append([audit_record(CARS[0], "new", caller="shop")])
    log.close()
    assert f"{RECORDED + 1} records in 3 files are whole" in carprice("audit", "verify")
    assert len(queried("--caller", "shop")) == RECORDED + 1


def test_a_changed_record_of_the_release_is_found(settings: Settings) -> None:
    path = min((settings.home / "audit").glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b'"caller":"shop"', b'"caller":"shot"', 1))
    done = CliRunner().invoke(main, ["audit", "verify"])
    assert done.exit_code == 1
    assert path.name in done.output

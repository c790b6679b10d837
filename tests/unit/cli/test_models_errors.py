"""`carprice models` tells in one line what it cannot read."""

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"], ["history"], ["show", "active"], ["card", "active"], ["rollback"],
        ["prune", "--keep", "3"], ["shadow"], ["verify", "active"],
    ],
)  # fmt: skip
def test_a_registry_that_cannot_be_read_is_one_line(tmp_path: Path, arguments: list[str]) -> None:
    """A file instead of the folder: root may read every folder."""
    registry = tmp_path / "versions"
    registry.write_text("no folder")
    environment = {"MODELS_PATH": str(registry), "CARPRICE_HOME": str(tmp_path / "home")}
    done = CliRunner().invoke(main, ["models", *arguments], env=environment)
    assert done.exit_code == 1
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert str(registry) in done.output
    assert "name a folder" in done.output
    assert len(done.output.splitlines()) == 1


def test_versions_are_not_pruned_while_the_bucket_cannot_be_asked(tmp_path: Path) -> None:
    """Batches under way may need them."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    environment = {
        "MODELS_PATH": str(tmp_path / "versions"),
        "CARPRICE_HOME": str(tmp_path / "home"),
        "BLOB_URL": "s3://bucket",
        "BLOB_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    done = CliRunner().invoke(main, ["models", "prune", "--keep", "3"], env=environment)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert "object store" in done.output


@pytest.mark.parametrize("member", ["at", "version", "by", "previous"])
def test_a_damaged_line_of_the_history_is_left_out(tmp_path: Path, member: str) -> None:
    right = {
        "at": "2026-11-01T10:00:00+00:00", "action": "activate", "version": "v1", "previous": None,
        "by": "operator",
    }  # fmt: skip
    lines = [json.dumps(right), json.dumps(right | {member: 17})]
    (tmp_path / "history.jsonl").write_text("\n".join(lines))
    environment = {"MODELS_PATH": str(tmp_path), "CARPRICE_HOME": str(tmp_path / "home")}
    done = CliRunner().invoke(main, ["models", "history", "--json"], env=environment)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == [right]

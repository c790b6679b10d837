"""Errors of the file system name the path, what did not change, and what to do."""

import errno
import os
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.console import BadInputError, click_errors
from cli.training.train import train
from model_store.registry.atomic_files import write_atomically


def message_of(error: OSError) -> str:
    with pytest.raises(BadInputError) as raised, click_errors():
        raise error
    return raised.value.format_message()


def test_a_full_disk_names_the_folders_that_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS_PATH", str(tmp_path))
    message = message_of(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert f"models are stored in {tmp_path}, temporary files in {tempfile.gettempdir()}" in message
    assert "the active version is unchanged: free some space" in message


def test_files_that_are_written_under_another_name_are_called_by_their_folder(
    tmp_path: Path,
) -> None:
    hidden = tmp_path / ".home" / "versions"
    denied = (errno.EACCES, os.strerror(errno.EACCES))
    for path in (hidden / ".new-abc", hidden / ".new-abc" / "forest.npz", hidden / ".ACTIVE-x"):
        message = message_of(PermissionError(*denied, str(path)))
        assert message.startswith(f"{hidden}: Permission denied; the active version is unchanged:")
        assert "permit this user to write there" in message
    with pytest.raises(BadInputError) as raised, click_errors():
        write_atomically(tmp_path / "nowhere" / "x.html", b"x")
    assert raised.value.format_message().startswith(f"{tmp_path / 'nowhere'}: No such file")


def test_training_refuses_a_folder_that_cannot_be_written_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MODELS_PATH", str(tmp_path / "file" / "versions"))
    result = CliRunner().invoke(train, [])
    assert result.exit_code == 2
    assert f"{tmp_path / 'file' / 'versions'}: Not a directory" in result.stderr
    assert "the active version is unchanged" in result.stderr
    assert "Training" not in result.stderr

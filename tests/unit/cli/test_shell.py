"""How commands end and what they load: Ctrl-C, broken pipes, completion, colours."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import main as command_line
from cli.main import COMMANDS, main
from tests.conftest import ROOT


def carprice(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("language", "said"), [("en", "Interrupted."), ("ar", "قوطع الأمر.")])
def test_ctrl_c_ends_with_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, language: str, said: str
) -> None:
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "load", lambda _: interrupted)
    done = CliRunner().invoke(main, ["market", "--lang", language])
    assert done.exit_code == 130
    assert done.stderr.strip() == said


def test_ctrl_c_at_a_question_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def asking() -> None:
        click.confirm("Sure?", abort=True)

    def interrupt(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "load", lambda _: asking)
    monkeypatch.setattr(click.termui, "visible_prompt_func", interrupt)
    with pytest.raises(SystemExit) as ended:
        main(["market"])
    assert ended.value.code == 130


def test_a_question_that_is_denied_ends_with_1() -> None:
    done = CliRunner().invoke(main, ["key", "disable"], input="n\n")
    assert done.exit_code == 1


@pytest.mark.parametrize(
    "arguments", [["market", "show"], ["market", "show", "--json"], ["--help"], ["models", "-h"]]
)
def test_a_broken_pipe_ends_silently(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(shell: str) -> None:
    done = carprice("completion", shell)
    assert done.returncode == 0
    assert "_CARPRICE_COMPLETE" in done.stdout


def completed(words: str, place: int) -> "subprocess.CompletedProcess[str]":
    """What the program answers to bash; the exit code tells whether it loaded much."""
    env = {"_CARPRICE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    code = (
        "import sys\nfrom cli.main import main\n"
        "try:\n    main(prog_name='carprice')\nexcept SystemExit:\n    pass\n"
        "heavy = {'pandas', 'numpy', 'launcher.up', 'httpx'} & set(sys.modules)\n"
        "sys.exit(str(sorted(heavy)) if heavy else 0)"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_names_of_commands_are_completed_without_loading_them() -> None:
    done = completed("carprice ", 1)
    assert done.returncode == 0, done.stderr
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == set(COMMANDS)


def test_options_of_an_inner_command_are_completed() -> None:
    assert "plain,--json" in completed("carprice models list --", 3).stdout.splitlines()


def test_an_unknown_version_is_refused_before_a_forest_is_loaded(
    tmp_path: Path,
) -> None:
    code = (
        "import sys\nfrom cli.main import main\n"
        "try:\n    main(['models', 'activate', '2020-01-01T000000-ffffff'])\n"
        "except SystemExit as ended:\n    assert ended.code == 1\n"
        "sys.exit(str(sorted({'numba', 'numpy', 'pandas'} & set(sys.modules)) or ''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "MODELS_PATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "numba" not in done.stderr, done.stderr
    assert "2020-01-01T000000-ffffff" in done.stderr


def test_help_loads_no_command() -> None:
    code = (
        "import sys\nfrom cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "loaded = {'cli.models', 'cli.console', 'tqdm', 'redis'} & set(sys.modules)\n"
        "sys.exit(str(sorted(loaded)) if loaded else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

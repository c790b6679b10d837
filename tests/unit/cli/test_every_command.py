"""What holds for every command of the table: `--json`, `--lang`, exit codes, documentation."""

import json
import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from cli.main import COMMANDS, load, main
from cli.shell.exit_codes import OWN, USUAL, exit_codes
from cli.shell.options import wants_json
from cli.shell.prepared import inner_commands, paragraphs, prepared
from shared.i18n.catalogue import translate
from shared.i18n.languages import LANGUAGES, Language
from tests.conftest import ROOT

GUIDE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")


def leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """The commands that do something, by their words: not the groups that only hold others."""
    if not isinstance(command, click.Group):
        yield name, command
    for inner, other in inner_commands(command).items():
        yield from leaves(f"{name} {inner}", other)


ALL = [leaf for name in COMMANDS for leaf in leaves(name, load(name))]


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_it_prints_json_on_request(path: str, command: click.Command) -> None:
    assert wants_json(command), path


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", [path for path, _ in ALL])
def test_its_help_has_its_exit_codes_in_the_language(path: str, language: Language) -> None:
    done = CliRunner().invoke(main, [*path.split(), "--lang", language, "--help"])
    assert done.exit_code == 0, done.output
    assert translate("Exit codes:", language) in done.stdout
    for code, meaning in exit_codes(path).items():
        assert f"    {code:<3}  {translate(meaning, language)}\n" in done.stdout
    assert "--json" in done.stdout
    assert "--lang [fr|ar|en]" in done.stdout


@pytest.mark.parametrize("language", ["fr", "ar"])
@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_its_help_is_translated(path: str, command: click.Command, language: Language) -> None:
    shown = [paragraphs(command.help or "")[0]]
    shown += [each.help for each in command.params if isinstance(each, click.Option) and each.help]
    for text in shown:
        assert translate(text, language) != text, (path, text)


def test_a_command_is_not_changed_by_being_prepared_in_a_language() -> None:
    before = load("key").help
    CliRunner().invoke(main, ["key", "--lang", "ar", "--help"])
    assert load("key").help == before
    assert prepared(load("key"), "key") is not load("key")


@pytest.mark.parametrize("path", [path for path, _ in ALL])
def test_the_guide_has_a_row_on_its_json(path: str) -> None:
    assert f"| `{path}` |" in GUIDE


def test_the_guide_has_every_exit_code() -> None:
    for code, meaning in USUAL.items():
        assert f"| {code} | {meaning} |" in GUIDE
    for path, codes in OWN.items():
        for code, meaning in codes.items():
            assert f"| `{path}` | {code} | {meaning} |" in GUIDE
    assert set(OWN) <= {path for path, _ in ALL}


@pytest.mark.parametrize(
    ("before", "after", "locale", "language"),
    [
        (["--lang", "fr"], [], {}, "fr"),
        (["--lang=ar"], [], {}, "ar"),
        ([], ["--lang", "ar"], {"LC_ALL": "fr_FR.UTF-8"}, "ar"),
        ([], [], {"LC_ALL": "ar_MA.UTF-8", "LANG": "fr_FR.UTF-8"}, "ar"),
        ([], [], {"LC_MESSAGES": "fr_CA@euro", "LANG": "ar"}, "fr"),
        ([], [], {"LANG": "fr"}, "fr"),
        ([], [], {"LANG": "de_DE.UTF-8"}, "en"),
        ([], [], {"LC_ALL": "C.UTF-8", "LANG": "fr_FR.UTF-8"}, "en"),
    ],
)
def test_the_language_is_that_of_the_option_else_of_the_locale(
    before: list[str], after: list[str], locale: dict[str, str], language: Language
) -> None:
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    env: dict[str, str | None] = {name: locale.get(name) for name in names}
    done = CliRunner().invoke(main, [*before, "models", *after, "--help"], env=env)
    assert translate("Usage:", language) in done.stdout
    help_text = translate(paragraphs(load("models").help or "")[0], language)
    assert help_text.split()[0] in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["models", "--lang", "de", "list"],
        ["--lang", "de"],
        ["--lang=de", "--help"],
        ["status", "--lang", "de"],
        ["predict", "--lang", "fr", "--lang", "de"],
    ],
)
def test_a_language_that_is_not_known_is_refused_with_the_choices(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "carprice: --lang de: there is no such language; choose fr (French), ar (Arabic) or en"
        " (English)\n"
    )


@pytest.mark.parametrize("given", ["FR", "fr_MA.UTF-8", "fr-FR"])
def test_a_language_may_be_given_with_its_country(given: str) -> None:
    done = CliRunner().invoke(main, ["--lang", given, "--help"])
    assert done.stdout.startswith("Utilisation")


def test_an_unknown_language_is_refused_in_the_language_of_the_locale() -> None:
    done = CliRunner().invoke(main, ["--lang", "xx"], env={"LC_ALL": "fr_FR.UTF-8"})
    assert "cette langue n'existe pas ; choisissez fr (français)" in done.stderr


@pytest.mark.parametrize(
    ("language", "said"),
    [("fr", "La commande 'nothing' n'existe pas."), ("ar", "الأمر 'nothing' غير موجود.")],
)
def test_errors_of_usage_are_in_the_language(language: str, said: str) -> None:
    done = CliRunner().invoke(main, ["models", "nothing", "--lang", language])
    assert done.exit_code == 2
    assert said in done.stderr
    assert not re.search(r"\b(Error|Usage|Try)\b", done.stderr)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["market", "show"], 0),
        (["models", "list"], 0),
        (["models", "history"], 0),
        (["models", "prune", "--keep", "3"], 0),
        (["models", "shadow"], 0),
        (["key", "create", "shop"], 0),
        (["key", "shop"], 0),
        (["key", "list"], 0),
        (["webhooks", "secret", "create"], 0),
        (["webhooks", "secret", "rotate"], 0),
        (["webhooks", "secret", "list"], 0),
        (["webhooks", "secret", "remove"], 0),
        (["audit", "delete", "--before", "2026-01-01", "--yes"], 0),
        (["outcomes"], 0),
        (["status"], 1),
        (["completion", "zsh"], 0),
    ],
)
def test_standard_output_is_one_json_document(
    tmp_path_factory: pytest.TempPathFactory, arguments: list[str], code: int
) -> None:
    """In a home that is new, or has what the commands before it in this list have made."""
    folder = tmp_path_factory.getbasetemp() / "json"
    (folder / "audit").mkdir(parents=True, exist_ok=True)
    env = {"CARPRICE_HOME": str(folder), "MODELS_PATH": str(folder / "models"), "PORT": "1"}
    done = CliRunner().invoke(main, [*arguments, "--json", "--lang", "fr"], env=env)
    assert done.exit_code == code, done.output
    assert json.loads(done.stdout) is not None

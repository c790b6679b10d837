"""What commands say of files, models, logs and starts is in the language of the command."""

import ast
import json
import re
from pathlib import Path
from string import Formatter

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from tests.conftest import ROOT

HEADER = "company,model,year,fuel,transmission,km_driven,price_mad,listing_date\n"
KIA = "Kia,Rio,2018,Diesel,Manual,1,9000,2026-05\n"
ENGLISH = re.compile(
    r"\b(the|is|are|of|no|not|rows|kept|dropped|listed|without|with|file|folder|cannot|expected"
    r"|column|found|other|missing|there|nothing|price|prices|choose|another|number|was)\b"
)
NOT_WORDS = re.compile(r"`[^`]*`|\S*[/_=]\S*|--[a-z-]+|\S+\.(csv|zip|json)")
LANGUAGES = ("fr", "ar")


def run(language: str, *arguments: object, **env: str) -> Result:
    words = ["--lang", language, *map(str, arguments)]
    return CliRunner().invoke(main, words, env=dict(env), prog_name="carprice")


def english_in(done: Result) -> set[str]:
    """The English words of what a command said, which must have said something."""
    assert done.stderr.strip(), done.output
    return set(ENGLISH.findall(NOT_WORDS.sub(" ", done.output)))


@pytest.fixture
def listings(tmp_path: Path) -> Path:
    file = tmp_path / "cars.csv"
    rows = [
        f"Dacia,Logan,{2010 + n % 9},Diesel,Manual,{n}0000,{80_000 + n},2026-05" for n in range(9)
    ]
    wrong = [
        "Dacia,Logan,2015,Diesel,Manual,1,5,2026-05",
        "Dacia,Logan,,Diesel,Manual,1,90000,2026-05",
    ]
    file.write_text(HEADER + "\n".join([*rows, *wrong, rows[0]]) + "\n")
    return file


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_on_listings_and_their_refusal(language: str, listings: Path) -> None:
    done = run(language, "train", "--data", listings)
    assert done.exit_code == 2
    assert english_in(done) == set()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cars.csv", ""),
        ("cars.csv", "a,b\n1,2\n"),
        (
            "cars.csv",
            HEADER.replace("price_mad", "price_eur")
            + "Kia,Rio,2018,Diesel,Manual,1,9000,2026-05\n",
        ),
        ("cars.csv", HEADER + KIA.replace("9000", "")),
        ("cars.zip", "PK"),
        ("notes.md", "cars"),
    ],
)
def test_files_that_are_no_listings(tmp_path: Path, language: str, name: str, content: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / name).write_text(content)
    done = run(language, "evaluate", "--data", folder)
    assert done.exit_code == 2
    assert english_in(done) == set()


def test_the_reasons_are_english_in_json(listings: Path) -> None:
    from data.listings.loading import load_listings  # noqa: PLC0415 - loads pandas
    from shared.i18n import command  # noqa: PLC0415

    command.speak("fr")
    report = load_listings(listings)[1]
    command.speak("en")
    assert "without a valid year" in json.dumps(report.to_json())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "env",
    [
        {"PORT": "70000"},
        {"PORT": "8000", "FLOWER_PORT": "8000"},
        {"HOST": "0.0.0.0"},
        {"FLOWER_ADDRESS": "0.0.0.0"},
        {"CARPRICE_HOME": "/dev/null/home"},
        {"HOST": "nobody.invalid"},
        {"REDIS_URL": "redis://:x@127.0.0.1:port"},
    ],
    ids=str,
)
def test_why_the_service_cannot_start(tmp_path: Path, language: str, env: dict[str, str]) -> None:
    if env.get("HOST") == "nobody.invalid":
        from shared.keys.entries import Scope, new_key  # noqa: PLC0415
        from shared.keys.store import write_keys  # noqa: PLC0415

        write_keys(tmp_path / "api-keys.json", [new_key("shop", frozenset({Scope.PREDICT}))[1]])
    done = run(language, "up", **{"CARPRICE_HOME": str(tmp_path), "PORT": "1", **env})
    assert done.exit_code == 2, done.output
    assert english_in(done) == set()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "arguments",
    [
        ["drift"],
        ["models", "activate", "2020-01-01T000000-ffffff"],
        ["models", "verify", "2020-01-01T000000-ffffff"],
        ["models", "rollback"],
        ["audit", "verify"],
        ["status"],
        ["dead", "list"],
        ["webhooks", "list"],
        ["key", "revoke", "nobody"],
        ["recalibrate", "--sales"],
    ],
    ids=" ".join,
)
def test_what_is_said_where_there_is_nothing(
    tmp_path: Path, language: str, arguments: list[str]
) -> None:
    env = {"CARPRICE_HOME": str(tmp_path), "MODELS_PATH": str(tmp_path / "models"), "PORT": "1"}
    done = run(language, *arguments, **env)
    assert done.exit_code in {1, 2, 3}, done.output
    assert english_in(done) == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_changed_audit_log(tmp_path: Path, language: str) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    (folder / "2026-11-01.0001-aaaa.jsonl").write_text('{"a": 1}\n{"torn')
    done = run(language, "audit", "verify", "--folder", folder, CARPRICE_HOME=str(tmp_path))
    assert done.exit_code in {1, 3}, done.output
    assert english_in(done) == set()


def test_templates_have_the_values_that_they_are_given() -> None:
    """A translated text whose placeholders are others fails only when it is shown."""
    wrong = []
    for package in ("api", "cli", "data", "launcher", "model_store", "shared", "worker"):
        for path in (ROOT / package).rglob("*.py"):
            wrong += [f"{path}:{each}" for each in mismatches(path.read_text(encoding="utf-8"))]
    assert wrong == []


def mismatches(source: str) -> list[str]:
    """The calls `_("…").format(…)` whose placeholders and arguments differ."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Call(
                        func=ast.Name(id="_" | "gettext"), args=[ast.Constant(value=str(text))]
                    ),
                    attr="format",
                ),
                keywords=keywords,
            ):
                names = {field for _text, field, *_ in Formatter().parse(text) if field}
                if names != {keyword.arg for keyword in keywords}:
                    found.append(f"{node.lineno}: {text}")
    return found


def test_a_template_with_another_value_is_found() -> None:
    assert mismatches('_("{a} b").format(a=1)') == []
    assert mismatches('x = _("{a} b").format(b=1)') == ["1: {a} b"]

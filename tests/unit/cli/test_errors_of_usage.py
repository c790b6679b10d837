"""Errors of usage are in the language of the command, with the names that its help has."""

import re

import pytest
from click.testing import CliRunner

from cli.main import main
from cli.valuations.files import HeaderRow

ENGLISH = re.compile(
    r"\b(Error|Usage|Try|Missing|Invalid|argument|option|such|value|valid|range|does|not|match|the"
    r"|format|expected|TEXT|FILE|INTEGER|OPTIONS)\b"
)
WRONG = [
    ["batch"],
    ["batch", "missing.csv"],
    ["batch", "/dev/null"],
    ["batch", "/dev/null", "-o", "x.csv", "--header", "51"],
    ["batch", "/dev/null", "-o", "x.csv", "--on-error", "x"],
    ["predict", "--coverage", "x"],
    ["predict", "--colour", "red"],
    ["predict", "a", "b"],
    ["predict", "--year"],
    ["predict", "--include"],
    ["models"],
    ["models", "activat"],
    ["models", "activate"],
    ["models", "prune", "--keep", "x"],
    ["models", "shadow", "v", "--share", "nan"],
    ["jobs", "--hours", "nan"],
    ["jobs", "--hours", "inf"],
    ["webhooks", "list", "--limit", "0"],
    ["drift", "--from", "yesterday"],
    ["drift", "--json=x"],
    ["key", "create"],
    ["key", "create", "shop", "--burst", "x"],
    ["key", "create", "shop", "--expires", "x"],
    ["train", "--seed", "x"],
    ["run", "x"],
    ["nothing"],
    ["--nothing"],
]


@pytest.mark.parametrize("language", ["fr", "ar"])
@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_an_error_of_usage_has_no_english(arguments: list[str], language: str) -> None:
    done = CliRunner().invoke(main, ["--lang", language, *arguments], prog_name="carprice")
    assert done.exit_code == 2, done.output
    said = re.sub(r"'[^']*'|«[^»]*»|--?[a-z-]+|\{[^}]*\}", "", done.stderr)
    assert said.strip()
    found = set(ENGLISH.findall(said)) - ({"format", "OPTIONS"} if language == "fr" else set())
    assert found == set(), done.stderr


def test_a_missing_argument_has_the_name_of_the_help() -> None:
    done = CliRunner().invoke(main, ["--lang", "fr", "batch"], prog_name="carprice")
    assert "Argument manquant 'FICHIER'" in done.stderr
    assert "carprice batch [OPTIONS] FICHIER" in done.stderr


def test_the_version_is_the_same_in_every_language() -> None:
    shown = {
        CliRunner().invoke(main, ["--lang", each, "--version"]).stdout
        for each in ["fr", "ar", "en"]
    }
    assert len(shown) == 1
    assert re.fullmatch(r"carprice \d+\.\d+\.\d+\n", shown.pop())


@pytest.mark.parametrize(
    ("given", "meant"), [("yes", "yes"), ("no", "no"), ("1", 1), ("#3", 3), ("50", 50)]
)
def test_a_header_is_a_word_or_the_number_of_a_row(given: str, meant: str | int) -> None:
    assert HeaderRow().convert(given, None, None) == meant

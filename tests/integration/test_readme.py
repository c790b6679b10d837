"""The examples of the README and the quick start, run unchanged against the running service."""

import json
import re
import subprocess

import pytest

from tests.conftest import ROOT

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"[\d.]+")
PRICE = re.compile(r'(?:"(?:price_mad|low|high)": |,)(\d{4,}\.\d+)')
TOLERANCE = 0.05
"""Relative difference from the default model's prices above which the README is out of date."""


def examples(block: str) -> list[tuple[str, str]]:
    """Split a block into pairs of command and output; a command ends when its quotes are closed."""
    pairs: list[tuple[str, str]] = []
    command, shown = "", list[str]()
    for line in block.splitlines():
        is_open = command.count("'") % 2 == 1
        if line.startswith("$ ") and not is_open:
            if command:
                pairs.append((command, "\n".join(shown)))
            command, shown = line[2:], []
        elif is_open:
            command += "\n" + line
        else:
            shown.append(line)
    return [*pairs, (command, "\n".join(shown))]


BLOCKS = [
    examples(block)
    for page in ("README.md", "docs/quick-start.md")
    for block in BLOCK.findall((ROOT / page).read_text())
]


def shape(text):
    """Reduce an output to the names in a JSON document, or to the text without its numbers."""
    try:
        return names_in(json.loads(text))
    except ValueError:
        return NUMBER.sub("0", text)


def prices(text):
    """Return the prices and interval limits in a JSON document or a CSV."""
    return [float(figure) for figure in PRICE.findall(text)]


def names_in(value):
    """Replace the values in a JSON document, so that only its names remain."""
    if isinstance(value, dict):
        return {name: names_in(member) for name, member in value.items()}
    if isinstance(value, list):
        return [names_in(member) for member in value[:1]]
    return "a value"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block[0][0][:40])
def test_an_example_of_the_readme_prints_the_output_shown(service, tmp_path, block):
    script = ["set -eu", "export LC_ALL=C.UTF-8"]
    for number, (command, shown) in enumerate(block):
        if command == "cat cars.csv":
            (tmp_path / "cars.csv").write_text(shown + "\n")
        if re.match(r"\w+=", command):  # an assignment must outlive its line
            script.append(command)
        else:
            script.append(f"{{ {command}\n}} > out.{number}")
    text = "\n".join(script).replace("http://127.0.0.1:8000", service.url)
    subprocess.run(["bash", "-c", text], cwd=tmp_path, check=True, timeout=60)
    for number, (command, shown) in enumerate(block):
        if shown:
            given = (tmp_path / f"out.{number}").read_text().rstrip("\n")
            assert shape(given) == shape(shown), command
            assert prices(given) == pytest.approx(prices(shown), rel=TOLERANCE), command


def test_the_readme_has_examples_of_predict_jobs_and_batches():
    commands = " ".join(command for block in BLOCKS for command, _ in block)
    assert all(path in commands for path in ("/predict", "/jobs", "/batches"))

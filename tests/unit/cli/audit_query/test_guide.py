"""The commands of docs/audit.md, run in a shell on a log of a known content."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.domain.ids import ValuationId
from tests.audit_queries import Log
from tests.audit_segments import audit_record
from tests.conftest import ROOT

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
LOGAN = {"company": "Dacia", "model": "Logan", "year": 2018, "km_driven": 120_000}
CLIO = {"company": "Renault", "model": "Clio", "year": 2016, "km_driven": 90_000}


def examples() -> list[tuple[str, str]]:
    """The commands of the guide, each with the output that is shown."""
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    found = []
    for block in BLOCK.findall(text):
        for part in block.split("$ ")[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with the records of the guide, and a folder with the command `carprice`."""
    log = Log(tmp_path_factory.mktemp("guide"))
    writer = log.writer("api-1")
    cars = [(LOGAN, 95_000.0), (LOGAN, 90_000.0), (LOGAN, 99_000.0), (CLIO, 101_500.0)]
    for number, (car, price) in enumerate(cars):
        made = audit_record(car, price=price, caller="garage" if car is LOGAN else "insurer")
        made = dataclasses.replace(made, id=ValuationId(f"01m31x1q4{number}f7z0kj5s71amqzvc4"))
        writer.append([dataclasses.replace(made, at=log.now + number)])
    writer.close()
    log.write_batch("01m31xg2p8g1fwm7t7m9zk1e3h", 5)
    command = log.home / "bin" / "carprice"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli.main "$@"\n')
    command.chmod(0o755)
    return log.home


def run(home: Path, command: str) -> str:
    """What a command prints, both streams as a terminal shows them."""
    environment = {
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "CARPRICE_HOME": str(home),
        "LANG": "C.UTF-8",
    }
    done = subprocess.run(
        ["sh", "-c", command], cwd=home, env=environment, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


def test_every_command_of_the_guide_prints_what_the_guide_shows(home):
    """In their order, because one writes the bundle that another verifies."""
    for command, shown in examples():
        assert TIME.sub("TIME", run(home, command)) == TIME.sub("TIME", shown), command

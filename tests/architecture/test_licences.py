"""Every package that the service runs with has a licence that permits commercial use."""

import re
from importlib import metadata
from pathlib import Path

import pytest

LOCK = Path(__file__).parents[2] / "requirements" / "runtime.txt"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)([^\\]*)", re.MULTILINE)
PERMITTED = re.compile(r"MIT|BSD|Apache|MPL|Mozilla|PSF|Python Software Foundation")
REFUSED = re.compile(r"\bA?GPL|Affero|General Public|SSPL|BUSL|Commons Clause|NonCommercial|-NC\b")
USED_AS_A_LIBRARY = {"fpdf2": "LGPL-3.0-only"}
"""Packages under the LGPL: the service imports them unchanged."""
SHORT = 60
"""Characters of the member `License` that name it; some packages put the whole text there."""


def licence_of(package: str) -> str:
    """The licence that a package states: as an expression, a classifier or a name."""
    stated = metadata.metadata(package)
    classifiers = [
        each.rpartition("::")[2]
        for each in stated.get_all("Classifier", [])
        if each.startswith("License ::")
    ]
    names = [each[:SHORT] for each in stated.get_all("License", [])]
    return "; ".join(stated.get_all("License-Expression", []) or [*classifiers, *names])


def installed() -> list[str]:
    """Names of the locked packages of this platform and Python."""
    names = [name for name, _, _ in PINNED.findall(LOCK.read_text(encoding="utf-8"))]
    return [name for name in names if any(metadata.distributions(name=name))]


def test_nearly_all_locked_packages_are_examined() -> None:
    named = PINNED.findall(LOCK.read_text(encoding="utf-8"))
    conditional = {name for name, _, condition in named if ";" in condition}
    assert {name for name, _, _ in named} - set(installed()) <= conditional


@pytest.mark.parametrize("package", installed())
def test_the_licence_permits_commercial_use(package: str) -> None:
    licence = licence_of(package)
    if package in USED_AS_A_LIBRARY:
        assert licence == USED_AS_A_LIBRARY[package]
        return
    assert PERMITTED.search(licence), licence
    assert not REFUSED.search(licence), licence

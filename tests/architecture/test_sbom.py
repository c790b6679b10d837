"""The bill of materials describes the project, its packages and their licences."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from client.version import VERSION
from scripts.write_sbom import PROJECT, bill_of_materials


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    return bill_of_materials(Path(sys.executable))


def test_it_describes_this_version_of_the_project(bill: dict[str, Any]) -> None:
    described = bill["metadata"]["component"]
    assert (described["name"], described["version"]) == (PROJECT, VERSION)
    assert PROJECT not in {one["name"] for one in bill["components"]}


def test_it_tells_what_the_project_depends_on(bill: dict[str, Any]) -> None:
    reference = bill["metadata"]["component"]["bom-ref"]
    (direct,) = (one["dependsOn"] for one in bill["dependencies"] if one["ref"] == reference)
    assert {"flask", "celery", "scikit-learn"} <= {one.partition("==")[0].lower() for one in direct}


def test_every_package_has_its_version_and_most_have_a_licence(bill: dict[str, Any]) -> None:
    packages = bill["components"]
    assert all(one["purl"].startswith("pkg:pypi/") and one["version"] for one in packages)
    assert sum("licenses" in one for one in packages) >= 0.9 * len(packages)


def test_it_names_no_folder_of_the_machine(bill: dict[str, Any]) -> None:
    assert "file:" not in json.dumps(bill)

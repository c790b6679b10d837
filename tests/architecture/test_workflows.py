"""Workflows of GitHub and compose files: valid, and the same commands, versions and packages."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKE_TARGETS = set(
    re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
)


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs: dict[str, Any] = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def commands(workflow: Path) -> str:
    return "\n".join(step["run"] for step in steps(workflow) if "run" in step)


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        *(("vendor.github-workflows", path) for path in WORKFLOWS),
        *(("custom.github-workflows-require-timeout", path) for path in WORKFLOWS),
        ("vendor.dependabot", ROOT / ".github" / "dependabot.yml"),
        ("vendor.compose-spec", ROOT / "docker-compose.yml"),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else value,
)
def test_a_file_is_valid(schema: str, file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_commands_are_targets_of_make(workflow: Path) -> None:
    used = set(re.findall(r"\bmake ([a-z][\w-]*)", commands(workflow)))
    assert used <= MAKE_TARGETS
    assert used or workflow.stem == "vulnerabilities"


def test_the_weekly_workflow_renews_the_advisories_as_documented() -> None:
    run = commands(ROOT / ".github" / "workflows" / "vulnerabilities.yml")
    guide = (ROOT / "docs" / "security.md").read_text("utf-8")
    (address,) = re.findall(r"curl .*(https://\S+)", guide)
    assert address in run
    assert "scripts.check_vulnerabilities --update all.zip" in run


def test_every_supported_python_is_checked_on_both_architectures() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    supported = [
        name.rpartition(" ")[2]
        for name in project["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", name)
    ]
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]
    matrix = jobs["check"]["strategy"]["matrix"]
    assert matrix["python"] == supported
    assert {name.endswith("-arm") for name in matrix["machine"]} == {True, False}


def test_workflows_install_every_package_that_tests_need() -> None:
    """Chromium is not among them: Chrome is part of GitHub's machines."""
    needed = re.search(
        r"declare -A tested=\((.+?)\n\)", (ROOT / ".ci" / "run").read_text(), re.DOTALL
    )
    assert needed
    packages = set(re.findall(r"\]=(\S+)", needed[1])) - {"chromium"}
    testing = [
        text for text in map(commands, WORKFLOWS) if re.search(r"\bmake (test|coverage)\b", text)
    ]
    assert len(testing) == 2
    for text in testing:
        installed = re.search(r"--no-install-recommends (.+)", text)
        assert installed
        assert set(installed[1].split()) == packages


def test_the_badge_shows_the_measured_coverage() -> None:
    badge = (ROOT / ".github" / "coverage.svg").read_text("utf-8")
    drawn = ET.fromstring(badge.replace("PERCENT", "97"))
    assert "97 %" in {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert "raw/badges/coverage.svg" in (ROOT / "README.md").read_text("utf-8")


def test_every_stage_of_the_image_is_built() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    stages = set(re.findall(r"^FROM .+ AS (\S+)$", text, re.MULTILINE))
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]
    assert set(jobs["image"]["strategy"]["matrix"]["target"]) == stages - {
        "base",
        *(stage for stage in stages if stage.startswith("build")),
    }

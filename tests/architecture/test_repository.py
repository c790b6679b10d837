"""Rules for all files of the repository: sizes, names, locks, decisions, versions."""

import math
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from client.version import VERSION

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "cli", "client", "data", "launcher", "model_store", "shared", "worker")
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "base", "manager"}
MAX_FILE_LINES = 600
MAX_90TH_PERCENTILE_LINES = 300
MAX_MODULES_PER_FOLDER = 14


def committed_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


FILES = committed_files()
SOURCES = [
    path for path in FILES if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES
]


def test_init_modules_contain_no_code() -> None:
    for path in SOURCES:
        if path.name == "__init__.py":
            text = path.read_text(encoding="utf-8").strip()
            assert re.fullmatch(r'(""".*""")?', text, flags=re.DOTALL), path


def test_no_module_has_a_meaningless_name() -> None:
    assert [path for path in SOURCES if path.stem in FORBIDDEN_NAMES] == []


def test_no_module_is_too_long() -> None:
    lengths = sorted(
        len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCES
        if path.name != "__init__.py"
    )
    assert lengths[-1] <= MAX_FILE_LINES
    assert lengths[math.ceil(0.9 * len(lengths)) - 1] <= MAX_90TH_PERCENTILE_LINES


def test_no_folder_has_too_many_modules() -> None:
    modules = Counter(path.parent for path in SOURCES if path.name != "__init__.py")
    assert {
        str(folder.relative_to(ROOT)): count
        for folder, count in modules.items()
        if count > MAX_MODULES_PER_FOLDER
    } == {}


@pytest.mark.parametrize("name", ["installer", "runtime", "api", "dev"])
def test_locks_have_hashes_and_name_no_registry(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?://|file:|index-url|find-links", text)
    packages = re.findall(r"^\S+==\S+.*\\$", text, flags=re.MULTILINE)
    assert packages
    for block in re.split(r"\n(?=\S+==)", text):
        if "==" in block.partition("\n")[0]:
            assert "--hash=sha256:" in block, block.partition("\n")[0]


@pytest.mark.parametrize("name", ["installer", "runtime", "dev"])
def test_every_required_package_is_locked_and_has_a_reason(name: str) -> None:
    wanted = (ROOT / "requirements" / f"{name}.in").read_text(encoding="utf-8").splitlines()
    locked = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    for line in wanted:
        if line and not line.startswith(("#", "-")):
            package, _, reason = line.partition("#")
            assert reason.strip(), line
            project = re.split(r"[\[=<> ]", package)[0]
            assert re.search(rf"^{project}==", locked, flags=re.MULTILINE), project


def test_celery_and_kombu_have_the_versions_tested_with_faults() -> None:
    locked = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    assert "\ncelery==5.6.3 " in locked
    assert "\nkombu==5.7.0 " in locked


def test_the_index_of_decisions_lists_each_by_its_title() -> None:
    folder = ROOT / "docs" / "adr"
    decisions = sorted(path for path in FILES if path.parent == folder and path.name[0].isdigit())
    lines = [
        f"- [{path.read_text(encoding='utf-8').splitlines()[0][2:]}]({path.name})"
        for path in decisions
    ]
    index = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in index if line.startswith("- [")] == lines
    for path in decisions:
        assert f"- [{int(path.name[:4])}. " in lines[decisions.index(path)], path.name


def test_each_decision_has_a_status_a_date_and_three_sections() -> None:
    numbers = [int(path.name[:4]) for path in FILES if path.match("docs/adr/[0-9]*.md")]
    assert len(numbers) == len(set(numbers))
    for path in FILES:
        if path.match("docs/adr/[0-9]*.md"):
            text = path.read_text(encoding="utf-8")
            head = rf"# {int(path.name[:4])}\. .+\n\nStatus: (accepted|superseded by \d+)\n"
            assert re.match(head + r"Date: \d{4}-\d\d-\d\d\n", text), path.name
            sections = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
            assert sections == ["Context", "Decision", "Consequences"], path.name


def test_references_to_decisions_name_existing_ones() -> None:
    known = {int(path.name[:4]) for path in FILES if path.match("docs/adr/[0-9]*.md")}
    assert known
    for path in FILES:
        if path.suffix in {".py", ".md", ".yml"}:
            text = path.read_text(encoding="utf-8")
            for short, long in re.findall(r"\bADR (\d+)|\badr/(\d{4})", text):
                assert int(short or long) in known, f"{path.name}: {short or long}"


def test_the_version_is_the_same_everywhere() -> None:
    for file, attribute in (
        ("pyproject.toml", "client.version.VERSION"),
        ("client/pyproject.toml", "carprice_client.version.VERSION"),
    ):
        settings = tomllib.loads((ROOT / file).read_text(encoding="utf-8"))
        assert "version" in settings["project"]["dynamic"]
        assert settings["tool"]["setuptools"]["dynamic"]["version"] == {"attr": attribute}
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert f"CARPRICE_TAG:-{VERSION}" in compose
    assert f"CARPRICE_TAG={VERSION}" in (ROOT / ".env.example").read_text("utf-8")


def test_scripts_are_executable_and_have_valid_syntax() -> None:
    for path in FILES:
        if path.read_bytes()[:2] == b"#!":
            assert path.stat().st_mode & 0o111, path
            if path.suffix == ".sh":
                subprocess.run(["sh", "-n", str(path)], check=True)

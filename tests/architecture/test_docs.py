"""The files and identifiers that the documentation names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / ".github").glob("*.md")),
]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(#[^)]*)?\)")
OF_HOST = "../../"
"""Pages of the host of the repository, such as the runs of a workflow, are relative to it."""
CODE = re.compile(r"`([^`\n]+)`")
FOLDERS = (
    *("api", "worker", "shared", "model_store", "data", "client", "cli", "launcher"),
    *("monitoring", "scripts", "benchmarks", "tests", "docs"),
)
GENERATED = re.compile(r"<!-- structure: begin -->.*<!-- structure: end -->", re.DOTALL)
AT_RUN_TIME = {"model_store/versions", "benchmarks/results"}


def text_of(page: Path) -> str:
    return GENERATED.sub("", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_points_to_an_existing_file(page: Path) -> None:
    links = [path for path, _ in LINK.findall(text_of(page)) if not path.startswith("/")]
    if page.parent == ROOT:
        links = [path for path in links if not path.startswith(OF_HOST)]
    assert [path for path in links if not (page.parent / path).exists()] == []


def test_badges_name_workflows_that_exist() -> None:
    named = re.findall(r"/actions/workflows/([\w.]+)", text_of(ROOT / "README.md"))
    assert named
    assert [name for name in named if not (ROOT / ".github" / "workflows" / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = [
        code
        for code in CODE.findall(text_of(page))
        if re.fullmatch(r"[\w./-]+", code) and code.partition("/")[0] in FOLDERS and "/" in code
    ]
    missing = {
        path
        for path in named
        if path not in AT_RUN_TIME
        and not any((base / path).exists() for base in (ROOT, page.parent))
    }
    assert missing == set()


def test_every_identifier_of_the_glossary_is_in_the_file_that_it_names() -> None:
    rows = re.findall(
        r"^\| \*\*[^|]*\(`(\w+)`\) \|.*\| `([\w/]+\.py)` \|$",
        (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    assert rows
    assert [
        (name, path)
        for name, path in rows
        if not re.search(rf"\b{name}\b", (ROOT / path).read_text(encoding="utf-8"))
    ] == []

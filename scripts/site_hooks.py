"""Hooks of MkDocs: pages of the site that are files outside of docs/, and links to them."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
CHANGES = "changes.md"
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the CHANGELOG and the reports of benchmarks."""
    added = {CHANGES: ROOT / "CHANGELOG.md"}
    for path in sorted((ROOT / "benchmarks").glob("**/*.md")):
        added[path.relative_to(ROOT).as_posix()] = path
    for place, path in added.items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to pages of the site; links to other files of the repository become text."""
    del config
    source = Path(page.file.abs_src_path or "").resolve()
    here = Path(page.file.src_uri).parent

    def target(link: re.Match[str]) -> str:
        text, path, anchor = link[1], link[2], link[3] or ""
        file = (source.parent / path).resolve()
        if re.match(r"[a-z]+:|/", path) or not file.exists():
            return link[0]
        place = _place(file)
        if files.get_file_from_path(place):
            return f"[{text}]({_relative(place, here)}{anchor})"
        return text

    return _LINK.sub(target, markdown)


def _place(path: Path) -> str:
    """Where a file of the repository is in the site."""
    if path == ROOT / "CHANGELOG.md":
        return CHANGES
    inside = path.relative_to(ROOT).as_posix()
    return inside.removeprefix("docs/")


def _relative(place: str, folder: Path) -> str:
    """A path of the site, seen from a folder of it."""
    return "../" * len(folder.parts) + place

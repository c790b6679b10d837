"""Compares the locked dependencies with known vulnerabilities, without network.

    python -m scripts.check_vulnerabilities                   # exit code 1 if a version is affected
    python -m scripts.check_vulnerabilities --update FILE     # renew requirements/advisories.json

The advisories lie in the repository, in the OSV format, with the date of the newest. An old file is
reported and is no error. `--update` takes the ZIP file of all advisories of PyPI from OSV and keeps
those about locked packages: https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip. An
archive without dated advisories leaves the file as it is.
"""

import argparse
import datetime as dt
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
ADVISORIES = ROOT / "requirements" / "advisories.json"
LOCK_FILES = tuple(f"requirements/{name}.txt" for name in ("installer", "runtime", "api", "dev"))
MAX_AGE_DAYS = 90
"""A warning is printed if the newest advisory is older."""

SOURCE = "OSV (osv.dev), ecosystem PyPI; licence of each entry: that of its database"
KEPT_MEMBERS = ("id", "aliases", "summary", "withdrawn")
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)

Advisory = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Check, or update the file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.check_vulnerabilities")
    parser.add_argument("--update", type=Path, metavar="FILE", help="all.zip of OSV for PyPI")
    parser.add_argument("--advisories", type=Path, default=ADVISORIES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    locked = locked_versions()
    if options.update:
        try:
            update(options.advisories, options.update, {name for name, _ in locked})
        except ValueError as error:
            parser.error(str(error))
    known = json.loads(options.advisories.read_text("utf-8"))
    age_days = (dt.datetime.now(dt.UTC).date() - dt.date.fromisoformat(known["date"])).days
    if age_days > MAX_AGE_DAYS:
        print(
            f"carprice: the newest advisory in {options.advisories.name} is of {known['date']}"
            f" ({age_days} days old): newer ones are not compared. Update the file with the"
            " commands under 'Known vulnerabilities' in docs/security.md",
            file=sys.stderr,
        )
    found = list(affected(locked, known["vulns"]))
    for name, version, advisory in found:
        print(f"{name} {version}: {advisory['id']} {advisory.get('summary', '')}")
    return 1 if found else 0


def locked_versions() -> set[tuple[str, str]]:
    """Name and version of every locked package."""
    texts = [(ROOT / path).read_text("utf-8") for path in LOCK_FILES]
    return {
        (canonicalize_name(name), version)
        for text in texts
        for name, version in _PINNED.findall(text)
    }


def affected(
    locked: set[tuple[str, str]], advisories: list[Advisory]
) -> Iterator[tuple[str, str, Advisory]]:
    """The locked versions that an advisory is about, with the advisory."""
    for name, version in sorted(locked):
        for advisory in advisories:
            entries = [each for each in advisory["affected"] if _package(each) == name]
            if "withdrawn" not in advisory and any(_holds(each, version) for each in entries):
                yield name, version, advisory


def update(target: Path, archive: Path, names: set[str]) -> None:
    """Write the advisories about these packages from OSV's archive.

    Raises:
        ValueError: the archive has no dated advisories.
    """
    kept, newest = [], ""
    with zipfile.ZipFile(archive) as entries:
        for entry in sorted(entries.namelist()):
            advisory = json.loads(entries.read(entry))
            newest = max(newest, advisory.get("modified", "")[:10])
            about = [each for each in advisory.get("affected", ()) if _package(each) in names]
            if about:
                kept.append(_reduced(advisory, about))
    if not newest:
        raise ValueError(f"{archive} has no dated advisories; {target} is as it was")
    document = {"date": newest, "source": SOURCE, "vulns": kept}
    target.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _reduced(advisory: Advisory, about: list[Advisory]) -> Advisory:
    members = {name: advisory[name] for name in KEPT_MEMBERS if name in advisory}
    return {**members, "affected": list(map(_reduced_entry, about))}


def _reduced_entry(entry: Advisory) -> Advisory:
    """An entry of `affected`; its list of versions is only kept where no range says the same."""
    ranges = [each for each in entry.get("ranges", ()) if each["type"] == "ECOSYSTEM"]
    extent = {"ranges": ranges} if ranges else {"versions": entry.get("versions", [])}
    return {"package": {"ecosystem": "PyPI", "name": _package(entry)}, **extent}


def _package(entry: Advisory) -> str:
    return canonicalize_name(entry["package"]["name"])


def _holds(entry: Advisory, version: str) -> bool:
    """Whether an entry of `affected` is about a version."""
    if version in entry.get("versions", ()):
        return True
    return any(_is_within(Version(version), each["events"]) for each in entry.get("ranges", ()))


def _is_within(version: Version, events: list[dict[str, str]]) -> bool:
    """Whether the last event at or before a version, in order of versions, opens a range."""
    is_open = False
    for at, kind in sorted(filter(None, map(_event, events))):
        if at < version or (at == version and kind != "last_affected"):
            is_open = kind == "introduced"
    return is_open


def _event(event: dict[str, str]) -> tuple[Version, str] | None:
    ((kind, text),) = event.items()
    try:
        return Version(text), kind
    except InvalidVersion:
        return None


if __name__ == "__main__":
    sys.exit(main())

"""Runs the commands of a page in one shell, as a reader does, in a folder of their own."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT, Service
from tests.documented.blocks import Step
from tests.documented.pages import COMMON, Setup

OTHER_VERSION = "2020-01-01T000000-abcdef"
LISTINGS = "drawn-listings.csv"
TIMEOUT_S = 150.0
"""Shorter than a test may take, so that it shows what was printed until then."""

# The functions `own` and `shared` choose the home; `jq_` reads a member of a JSON document.
PRELUDE = r"""
own() { export CARPRICE_HOME=$PWD/home MODELS_PATH=$PWD/models; }
shared() { export CARPRICE_HOME=$SHARED_HOME MODELS_PATH=$SHARED_MODELS; }
jq_() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }
"""
WRAPPERS = {
    "bin/carprice": 'exec {python} -m cli.main "$@"',
    ".venv/bin/carprice": 'exec {python} -m cli.main "$@"',
    ".venv/bin/python": 'exec {python} "$@"',
    "bin/curl": 'exec {curl} --fail-with-body --silent --show-error "$@"',
}
"""Commands that the folder has; an answer of 400 or more is an error of `curl`."""

STAMPS = ("requirements/installer.txt", "requirements/runtime.txt", "requirements/dev.txt",
          "pyproject.toml", ".venv/.packages", ".venv/.runtime", ".venv/.dev")  # fmt: skip
"""Files by whose times `make` knows that the environment is complete."""


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def prepare(folder: Path, service: Service, listings: Path) -> None:
    """Make the commands, a home and copied models with a second version."""
    curl = shutil.which("curl")
    for name, text in WRAPPERS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text.format(python=sys.executable, curl=curl)}\n")
        path.chmod(0o755)
    shutil.copy(ROOT / "Makefile", folder)
    for age, name in enumerate(reversed(STAMPS)):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (1e9 - age, 1e9 - age))
    (folder / "home").mkdir(mode=0o700)
    (folder / "carprice_client").symlink_to(ROOT / "client")
    shutil.copy(listings, folder / LISTINGS)
    shutil.copytree(service.models_path, folder / "models")
    active = (folder / "models" / "ACTIVE").read_text().strip()
    other = folder / "models" / OTHER_VERSION
    shutil.copytree(folder / "models" / active, other)
    manifest = other / "manifest.json"
    manifest.write_text(manifest.read_text().replace(active, OTHER_VERSION))


def run_page(
    steps: Sequence[Step], setup: Setup, folder: Path, service: Service, receiver: str
) -> list[Ran]:
    """Run steps in one shell, so that variables and folders outlive a command."""
    script = ["own" if setup.own else "shared"]
    for number, step in enumerate(steps):
        names = [each for each in setup.before if step.text.startswith(each)]
        script += [f"{{ {setup.before[name]}\n}} 2>>err.before" for name in names[-1:]]
        command = _command(step, number, setup, folder, service)
        script.append(f"{{ {command}\n}} >out.{number} 2>err.{number} <<<y")
        script.append(f"echo $? >code.{number}; cp out.{number} out.last")
    done = subprocess.run(
        ["bash", "-c", PRELUDE + "\n".join(script)], cwd=folder, timeout=TIMEOUT_S, check=False,
        env=_environment(folder, service, receiver), capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == "", done.stderr  # of the shell itself: a command that is not closed
    return [_read(folder, number) for number in range(len(steps))]


def _command(step: Step, number: int, setup: Setup, folder: Path, service: Service) -> str:
    text = step.text
    for shown, given in {**COMMON, **setup.replaced}.items():
        text = text.replace(shown, given)
    if step.block.language == "python":
        text = text.replace("$URL", service.url).replace("$VERSION", OTHER_VERSION)
        more = [each for start, each in setup.appended.items() if text.startswith(start)]
        (folder / f"program-{number}.py").write_text("\n".join([text, *more]))
        return f".venv/bin/python program-{number}.py"
    return text


def _environment(folder: Path, service: Service, receiver: str) -> dict[str, str]:
    return {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{folder}",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", str(folder / "numba")),
        "PORT": service.url.rpartition(":")[2],
        "FLOWER_PORT": service.flower_url.rpartition(":")[2],
        "SHARED_HOME": str(service.home),
        "SHARED_MODELS": str(service.models_path),
        "URL": service.url,
        "RECEIVER": receiver,
        "VERSION": OTHER_VERSION,
        "FOLDER": str(folder),
    }


def _read(folder: Path, number: int) -> Ran:
    out, err = ((folder / f"{kind}.{number}").read_text() for kind in ("out", "err"))
    with contextlib.suppress(FileNotFoundError):
        return Ran(int((folder / f"code.{number}").read_text()), out, err)
    return Ran(-1, out, err)

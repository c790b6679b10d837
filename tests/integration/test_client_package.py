"""The client's wheel in an environment of its own: its size, its types, and its guide."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from shared.webhooks.signing import new_secret, signature_headers
from tests.conftest import ROOT

pytestmark = pytest.mark.integration
MAX_BYTES = 20_000_000
BLOCK = re.compile(r"^### ([^\n]+)$|^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
FRAMES = "Value a data frame"
SECRET = new_secret()


def blocks_of_guide() -> list[tuple[str, str]]:
    """The examples of the guide with the headings they are under."""
    heading, found = "", []
    for match in BLOCK.finditer((ROOT / "docs" / "client.md").read_text(encoding="utf-8")):
        if match[1]:
            heading = match[1]
        else:
            found.append((heading, match[2]))
    return found


BLOCKS = blocks_of_guide()


def closure(name: str) -> set[str]:
    """The names of the distributions that one needs here."""
    needed = {name}
    for text in importlib.metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed |= closure(requirement.name)
    return needed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([ROOT / "scripts" / "build-client.sh", folder, sys.executable], check=True)
    (built,) = folder.glob("carprice_client-*-py3-none-any.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    """A fresh environment with the wheel and what it requires, of the locked versions.

    They are copied from the environment of the tests, so that no network is needed and none of the
    service's other libraries can be there.
    """
    folder = tmp_path_factory.mktemp("clean") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (metadata,) = importlib.metadata.distributions(name="carprice-client", path=[str(packages)])
    requirements = [Requirement(text) for text in metadata.requires or ()]
    for requirement in requirements:
        if requirement.marker is None:
            assert requirement.specifier.contains(importlib.metadata.version(requirement.name))
            for name in closure(requirement.name):
                copy_distribution(name, packages)
    return folder


def copy_distribution(name: str, packages: Path) -> None:
    for file in importlib.metadata.files(name) or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            (packages / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), packages / file)


def program(service, wanted) -> str:
    """The examples whose headings are wanted, as one program for the running service."""
    text = "\n".join(block for heading, block in BLOCKS if wanted(heading))
    return text.replace("http://127.0.0.1:8000", service.url)


def receptions() -> str:
    """Calls of the guide's receiver: with a webhook as the service signs it, and a forged one."""
    data = {"id": "j1", "kind": "job", "state": "SUCCEEDED"}
    event = {"type": "job.succeeded", "timestamp": "2026-11-30T00:00:00.000+00:00", "data": data}
    body = json.dumps(event).encode()
    headers = dict(signature_headers("w1", int(time.time()), body, [SECRET]))
    return (
        f"assert receive({headers!r}, {body!r}, {SECRET!r}) == 204\n"
        f"assert receive({headers!r}, {body + b' '!r}, {SECRET!r}) == 401\n"
    )


def run(python, folder, text, **env):
    """Run a program in an environment that has nothing of the service's."""
    (folder / "guide.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [python, "-W", "error::ResourceWarning", "guide.py"],
        cwd=folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **env},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_is_small_and_brings_nothing_of_the_service(clean):
    files = [path for path in clean.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < MAX_BYTES
    (packages,) = clean.glob("lib/python*/site-packages")
    assert {path.name for path in packages.iterdir() if "." not in path.name} <= {
        "carprice_client", "httpx", "httpcore", "h11", "anyio", "idna", "certifi", "sniffio",
    }  # fmt: skip
    assert (packages / "carprice_client" / "py.typed").exists()


def test_the_wheel_has_the_version_and_licence_of_the_service(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (licence,) = (name for name in archive.namelist() if name.endswith("LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    version = importlib.metadata.version("carpricepredictor-ma")
    assert wheel.name == f"carprice_client-{version}-py3-none-any.whl"


def test_the_guide_is_typed_in_a_clean_environment(service, clean, tmp_path):
    """The types of pandas are not read, which would take a minute."""
    (tmp_path / "guide.py").write_text(program(service, lambda heading: heading != FRAMES))
    (tmp_path / "frames.py").write_text(program(service, lambda heading: heading == FRAMES))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=",
         "--cache-dir", ROOT / ".pytest_cache" / "mypy-client",
         "--disable-error-code=import-not-found", "--disable-error-code=import-untyped",
         "--python-executable", clean / "bin" / "python", "guide.py", "frames.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_guide_runs_in_a_clean_environment(service, clean, tmp_path):
    text = program(service, lambda heading: heading != FRAMES) + receptions()
    shown = run(clean / "bin" / "python", tmp_path, text)
    assert "corrected Dacia Sandero" in shown
    assert "1 valued, 1 rejected" in shown
    assert "invalid-input ('/1/year',)" in shown
    priced = (tmp_path / "priced.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(";")[0] for line in priced] == ["Réf", "A1", "A2"]
    assert all(";valued;" in line for line in priced[1:])
    assert (tmp_path / "priced.parquet").read_bytes()[:4] == b"PAR1"


def test_the_guide_of_data_frames_runs(service, wheel, tmp_path):
    packages = tmp_path / "packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    text = program(service, lambda heading: heading == FRAMES)
    shown = run(sys.executable, tmp_path, text, PYTHONPATH=str(packages))
    assert re.search(r"A1 .*Dacia", shown)


def test_the_guide_names_every_call_and_exception_of_the_client():
    guide = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    client = source("sync.py", "calls/files.py", "calls/service.py")
    errors = (ROOT / "client" / "errors.py").read_text(encoding="utf-8")
    calls = set(re.findall(r"^    def ([a-z]\w+)\(", client, re.MULTILINE))
    assert {name for name in calls if name not in guide} == set()
    classes = set(re.findall(r"^class (\w+Error)\(", errors, re.MULTILINE))
    assert {name for name in classes if f"`{name}`" not in guide} - {"CarPriceError"} == set()


def test_both_clients_have_the_same_calls():
    def signatures(text):
        found = re.findall(r"    (?:async )?def ([a-z]\w+)\((.*?)\) ->", text, re.DOTALL)
        return {call: re.sub(r"\s+", " ", arguments).strip(", ") for call, arguments in found}

    blocking = signatures(source("sync.py", "calls/files.py", "calls/service.py"))
    assert blocking == signatures(source("aio.py", "calls/files_aio.py", "calls/service_aio.py"))
    assert {"value", "batch_rows", "suggest"} <= blocking.keys()


def source(*names):
    return "\n".join((ROOT / "client" / name).read_text(encoding="utf-8") for name in names)

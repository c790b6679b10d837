"""Every fenced command and program of the documentation is run, or listed with the reason why not.

Those of a page run in one shell, in its order, in a folder of their own, against the running
service. `tests/documented/pages.py` says what a page needs before; `not_run.py` lists what a test
machine cannot run, and `test_a_command_that_is_not_run_names_what_exists` checks it otherwise.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import ROOT, Service
from tests.documented.blocks import COMMANDS, PAGES, PROGRAMS, SHOWN, Step, blocks_of, steps_of
from tests.documented.not_run import NOT_RUN, RUN_ELSEWHERE
from tests.documented.outputs import assert_like
from tests.documented.pages import SETUPS, Setup
from tests.documented.shell import prepare, run_page
from tests.webhook_receiver import Receiver, running_receiver

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
STEPS = [
    step
    for block in BLOCKS
    if block.language in COMMANDS + PROGRAMS and (block.page, block.language) not in RUN_ELSEWHERE
    for step in steps_of(block)
]
RUN: dict[str, list[Step]] = {}
for each in STEPS:
    if each.text not in NOT_RUN:
        RUN.setdefault(each.block.page, []).append(each)
TESTS = re.compile(r"tests/[\w/.]+")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A receiver of the webhooks that a page asks for."""
    with running_receiver() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def _without_a_secret(service: Service) -> Iterator[None]:
    """Remove the secret that a page makes: other tests of this service rely on there being none."""
    yield
    subprocess.run(
        [sys.executable, "-m", "cli.main", "webhooks", "secret", "remove"],
        cwd=ROOT,
        env={**os.environ, "CARPRICE_HOME": str(service.home)},
        check=False,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def listings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Listings to evaluate and to calibrate on, drawn from the statistics of the market."""
    path = tmp_path_factory.mktemp("listings") / "listings.csv"
    command = [sys.executable, "-m", "cli.main", "market", "generate", "--rows", "700", "-o", path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return path


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_do_what_the_page_says(
    page: str, service: Service, receiver: Receiver, listings: Path, tmp_path: Path
) -> None:
    setup, steps = SETUPS.get(page, Setup()), RUN[page]
    prepare(tmp_path, service, listings)
    address = quote(f"{receiver.url}/ok/hooks", safe="")
    for step, ran in zip(steps, run_page(steps, setup, tmp_path, service, address), strict=True):
        named = [start for start in setup.codes if step.text.startswith(start)]
        expected = setup.codes[named[-1]] if named else 0
        place = f"{page}:{step.block.line}: {step.text}"
        assert ran.code == expected, (place, ran)
        if step.shown:
            assert_like(ran, step.shown, place)


def test_every_block_has_a_language_that_says_whether_it_is_run() -> None:
    known = {*COMMANDS, *PROGRAMS, *SHOWN}
    assert [(block.page, block.line) for block in BLOCKS if block.language not in known] == []


def test_the_tables_name_only_what_the_documentation_has() -> None:
    texts = {step.text for step in STEPS}
    assert set(NOT_RUN) - texts == set()
    assert set(SETUPS) - RUN.keys() == set()
    blocks = {(block.page, block.language) for block in BLOCKS}
    assert RUN_ELSEWHERE.keys() - blocks == set()
    for page, setup in SETUPS.items():
        starts = {*setup.before, *setup.codes, *setup.appended}
        assert not [
            start for start in starts if not any(s.text.startswith(start) for s in RUN[page])
        ], page


def test_blocks_that_another_test_runs_are_named_there() -> None:
    for (page, _), test in RUN_ELSEWHERE.items():
        assert page.rpartition("/")[2] in (ROOT / test).read_text(encoding="utf-8"), test


@pytest.mark.parametrize("command", NOT_RUN)
def test_a_command_that_is_not_run_names_what_exists(command: str) -> None:
    """Tests, targets of make, files, modules, routes and settings; options are parsed elsewhere."""
    for test in TESTS.findall(NOT_RUN[command]):
        assert (ROOT / test).exists(), test
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake (\w+)", command):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    reference = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for setting in re.findall(r"\b([A-Z][A-Z_]+)=", command):
        assert f"`{setting}`" in reference, setting
    for module in re.findall(r"-m (scripts\.\w+)", command):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
    for file in re.findall(r"\b(deploy/\S+|data/market/\S+)", command):
        assert (ROOT / file).exists(), file
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for port in re.findall(r"-p \d+:(\d+)", command):
        assert port in dockerfile, port


def test_the_addresses_behind_a_proxy_are_routes(service: Service) -> None:
    found = [re.search(r"https://prices\.example(/\w+)", command) for command in NOT_RUN]
    paths = {match[1] for match in found if match}
    with service.client() as client:
        assert paths <= client.get("/openapi.json").json()["paths"].keys()
    assert paths

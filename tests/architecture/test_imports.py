"""Modules that processes import at start: API and command line load no numeric libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import COMMANDS
from worker.kernel_cache import COMPILE_GROUPS

ROOT = Path(__file__).parents[2]
HEAVY = {"numpy", "scipy", "sklearn", "pandas", "joblib", "numba"}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a statement imports in a new interpreter."""
    program = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    output = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    return set(output.split())


def test_the_api_imports_no_numeric_libraries() -> None:
    assert loaded_by("import api.app, launcher.up") & HEAVY == set()


def test_the_command_line_imports_libraries_only_when_a_command_runs() -> None:
    loaded = loaded_by("import cli.main")
    assert loaded & (HEAVY | {"flask", "celery", "redis", "httpx", "honcho"}) == set()


def test_a_worker_loads_no_kernels_before_the_kernel_cache_is_filled() -> None:
    assert "numba" not in loaded_by("import worker.main")


@pytest.mark.parametrize("command", ["training.train", "market", "models"])
def test_the_help_of_a_command_loads_no_kernels(command: str) -> None:
    assert "numba" not in loaded_by(f"import cli.{command}")


@pytest.mark.parametrize("module", [module for group in COMPILE_GROUPS for module in group])
def test_a_module_of_kernels_imports_no_other_kernels(module: str) -> None:
    others = [other for group in COMPILE_GROUPS for other in group if other != module]
    program = f"import {module}, sys; print(*(set({others}) & sys.modules.keys()))"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert answer.stdout.split() == []


def test_the_domain_imports_the_standard_library_only() -> None:
    modules = ", ".join(
        f"shared.domain.{path.stem}" for path in (ROOT / "shared" / "domain").glob("[!_]*.py")
    )
    ours = {"shared", "__main__"}
    extra = loaded_by(f"import {modules}") - loaded_by("pass") - ours
    assert extra - set(sys.stdlib_module_names) == set()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_can_be_called(name: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "cli.main", name, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("Usage:")


def test_the_help_lists_every_command() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "cli.main", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name, place in COMMANDS.items():
        assert f"  {name} " in answer.stdout
        assert place.short_help in answer.stdout

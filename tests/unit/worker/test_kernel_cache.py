"""Kernels are compiled by processes of their own, once, and a failure costs nothing but time."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from worker import kernel_cache
from worker.kernel_cache import FINGERPRINT_FILE, fill_kernel_cache

KERNEL = "data.hedonic.kernels"
"""The one that compiles fastest."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; one module counts as all kernels."""
    monkeypatch.setattr(kernel_cache, "COMPILE_GROUPS", ((KERNEL,),))
    folder = tmp_path / "numba"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    return folder


def test_workers_that_start_together_compile_once_and_the_next_ones_only_load(
    folder: Path,
) -> None:
    outcomes: list[bool] = []
    workers = [
        threading.Thread(target=lambda: outcomes.append(fill_kernel_cache(folder)))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(outcomes) == [False, False, True]
    written_at = {each: each.stat().st_mtime_ns for each in folder.glob("*/*.nbc")}
    assert written_at
    assert not fill_kernel_cache(folder)
    subprocess.run([sys.executable, "-c", f"import {KERNEL}"], check=True)
    assert {each: each.stat().st_mtime_ns for each in folder.glob("*/*.nbc")} == written_at


def test_a_new_source_is_compiled_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fill_kernel_cache(folder)
    monkeypatch.setattr(kernel_cache, "COMPILE_GROUPS", ((KERNEL, "data.compilation"),))
    assert fill_kernel_cache(folder)


def test_every_module_of_kernels_stands_in_the_shares() -> None:
    root = Path(kernel_cache.__file__).parents[1]
    with_kernels = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for package in ("data", "model_store", "worker")
        for path in (root / package).rglob("*.py")
        if "\n@compiled(" in path.read_text(encoding="utf-8")
    }
    listed = [module for share in kernel_cache.COMPILE_GROUPS for module in share]
    assert sorted(listed) == sorted(with_kernels)


def test_a_folder_that_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not fill_kernel_cache(tmp_path / "file" / "numba")


def test_a_compiler_that_fails_leaves_no_stamp(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_kernels.py").write_text("raise RuntimeError('no code')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(kernel_cache, "COMPILE_GROUPS", (("broken_kernels",),))
    assert not fill_kernel_cache(folder)
    assert not (folder / FINGERPRINT_FILE).exists()

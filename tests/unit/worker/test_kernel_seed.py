"""Kernels that an image brings are copied if they are those of this processor and release."""

from pathlib import Path

import pytest

from worker import kernel_cache


@pytest.mark.parametrize("fits", [True, False])
def test_the_kernels_of_an_image_are_used_if_they_fit(
    *, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed, folder, compiled = tmp_path / "seed", tmp_path / "numba", []
    (seed / "forest").mkdir(parents=True)
    (seed / "forest" / "kernel.nbc").write_bytes(b"machine code")
    (seed / kernel_cache.FINGERPRINT_FILE).write_text("this" if fits else "another")
    monkeypatch.setenv(kernel_cache.SEED_VARIABLE, str(seed))
    monkeypatch.setattr(kernel_cache, "_fingerprint", lambda: "this")
    monkeypatch.setattr(kernel_cache, "_compile", lambda: compiled.append(1))
    assert kernel_cache.fill_kernel_cache(folder) is not fits
    assert compiled == ([] if fits else [1])
    assert (folder / "forest" / "kernel.nbc").exists() is fits
    assert (folder / kernel_cache.FINGERPRINT_FILE).read_text() == "this"
    assert not kernel_cache.fill_kernel_cache(folder)

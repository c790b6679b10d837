"""Fills numba's cache: kernels are compiled once per host by short-lived processes.

LLVM takes seconds and keeps its memory. The first worker that starts on a host has the kernels
compiled, one process per group, and writes a fingerprint; the others wait and load them from the
cache. If the folder cannot be written or a process fails, each worker compiles at import.

`python -m worker.kernel_cache MODULE…` compiles the kernels of these modules.
"""

import fcntl
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.logging import get_logger

COMPILE_GROUPS: tuple[tuple[str, ...], ...] = (
    ("model_store.explain.kernels", "data.hedonic.kernels", "model_store.pricing.kernels"),
    (
        "model_store.forest.kernels",
        "worker.batches.fast_csv.header_kernels",
        "worker.batches.fast_csv.read_kernels",
        "worker.batches.fast_csv.write_kernels",
    ),
)
"""All modules of kernels, in groups that take about the same time."""

SEED_VARIABLE = "KERNEL_SEED"
"""Environment variable with a folder of kernels that were compiled with an image."""

FINGERPRINT_FILE = "compiled-for"
TIMEOUT_S = 120.0
"""Many times the compile time; a compiler process that takes longer counts as failed."""

log = get_logger("kernel_cache")


def fill_kernel_cache(folder: Path) -> bool:
    """Compile all kernels into numba's cache, unless it is up to date.

    Args:
        folder: the value of `NUMBA_CACHE_DIR`.

    Returns:
        Whether anything had to be compiled.
    """
    try:
        wanted = _fingerprint()
        with _exclusive_lock(folder):
            stamp = folder / FINGERPRINT_FILE
            if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
                return False
            if _copy_seed(folder, wanted):
                return False
            _compile()
            stamp.write_text(wanted, encoding="ascii")
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        log.warning("kernels_not_compiled_beforehand", error=str(error))
        return False
    return True


def are_compiled(folder: Path) -> bool:
    """Whether a folder has the kernels of this processor and release."""
    try:
        return (folder / FINGERPRINT_FILE).read_text(encoding="ascii") == _fingerprint()
    except (ImportError, OSError):
        return False


def _copy_seed(folder: Path, wanted: str) -> bool:
    """Copy the kernels that an image brings, if they are those of this processor and release."""
    seed = Path(os.environ.get(SEED_VARIABLE) or os.devnull)
    stamp = seed / FINGERPRINT_FILE
    if not stamp.is_file() or stamp.read_text(encoding="ascii") != wanted:
        return False
    # The stamp comes last: until then the copy is not complete.
    ignore = shutil.ignore_patterns(f"{FINGERPRINT_FILE}*")
    shutil.copytree(seed, folder, dirs_exist_ok=True, ignore=ignore)
    (folder / FINGERPRINT_FILE).write_text(wanted, encoding="ascii")
    return True


def _fingerprint() -> str:
    """What the machine code depends on: the compiler, the processor and the kernels' sources."""
    from llvmlite import binding  # noqa: PLC0415 - loads LLVM

    parts = [
        sys.version,
        importlib.metadata.version("numba"),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
    ]
    for module in (name for group in COMPILE_GROUPS for name in group):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ImportError(f"no source of {module}")
        # Numba identifies a source by these too.
        state = Path(spec.origin).stat()
        parts += [spec.origin, str(state.st_mtime_ns), str(state.st_size)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of this host; the kernel releases it when a process dies."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"{FINGERPRINT_FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile() -> None:
    """Compile all groups in parallel.

    Raises:
        subprocess.SubprocessError: a process failed.
    """
    log.info("kernels_compiling")
    compilers = [
        subprocess.Popen(
            [sys.executable, "-m", "worker.kernel_cache", *group],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for group in COMPILE_GROUPS
    ]
    try:
        for compiler in compilers:
            if compiler.wait(TIMEOUT_S):
                raise subprocess.SubprocessError(f"exit code {compiler.returncode}")
    finally:
        for compiler in compilers:
            compiler.kill()
            compiler.wait()


def main(modules: Sequence[str]) -> None:
    """Import modules, which compiles their kernels."""
    for module in modules:
        importlib.import_module(module)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Kernels are compiled by short-lived processes, once; workers only load what these leave behind.

A compiler takes seconds and does not give back its memory. Whichever worker starts first on a host
has the kernels compiled, one process a core, and notes what for; all others wait for it. Where the
folder cannot be written, or such a process fails, each worker compiles for itself as it imports.

`python -m worker.kernel_cache MODULE…` compiles the kernels of these modules.
"""

import fcntl
import hashlib
import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.logging import get_logger

COMPILE_GROUPS: tuple[tuple[str, ...], ...] = (
    ("model_store.explain.kernels", "data.hedonic.kernels"),
    (
        "model_store.forest.kernels",
        "worker.batches.fast_csv.read_kernels",
        "worker.batches.fast_csv.write_kernels",
    ),
)
"""All modules of kernels, in shares that take about the same time."""

FINGERPRINT_FILE = "compiled-for"
TIMEOUT_S = 120.0
"""Many times what compiling takes; a worker does not wait longer for another's compilers."""

log = get_logger("kernel_cache")


def fill_kernel_cache(folder: Path) -> bool:
    """Have all kernels compiled into numba's cache, unless they are there.

    Args:
        folder: what `NUMBA_CACHE_DIR` names.

    Returns:
        Whether anything had to be compiled.
    """
    try:
        wanted = _fingerprint()
        with _exclusive_lock(folder):
            stamp = folder / FINGERPRINT_FILE
            if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
                return False
            _compile()
            stamp.write_text(wanted, encoding="ascii")
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        log.warning("kernels_not_compiled_beforehand", error=str(error))
        return False
    return True


def _fingerprint() -> str:
    """What the machine code depends on: the compiler, the processor and the kernels' sources."""
    from llvmlite import binding  # noqa: PLC0415 - optional, with numba

    parts = [
        sys.version,
        importlib.metadata.version("numba"),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
    ]
    for module in (name for share in COMPILE_GROUPS for name in share):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ImportError(f"no source of {module}")
        # Numba, too, takes a file of another time for another program.
        state = Path(spec.origin).stat()
        parts += [spec.origin, str(state.st_mtime_ns), str(state.st_size)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    """Keep other workers of the host waiting; a lock of one that dies is gone with it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"{FINGERPRINT_FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile() -> None:
    """Compile all shares at once.

    Raises:
        subprocess.SubprocessError: a process failed.
    """
    log.info("kernels_compiling")
    compilers = [
        subprocess.Popen(
            [sys.executable, "-m", "worker.kernel_cache", *share],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for share in COMPILE_GROUPS
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
    """Import modules whose kernels are compiled as they are imported."""
    for module in modules:
        importlib.import_module(module)


if __name__ == "__main__":
    main(sys.argv[1:])

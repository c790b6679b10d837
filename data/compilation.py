"""Compilation of numba kernels: at import, with the machine code cached on disk if possible.

Numba reads the folder of its cache from `NUMBA_CACHE_DIR`, which must be set before the first
kernel is imported. All processes on the same type of processor share an entry.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numba

_BLAS = "scipy.linalg"


def compiled(signature: Any) -> Callable[[Any], Any]:
    """Compile a function for one signature when its module is imported, not at its first call."""

    def compile_now(function: Any) -> Any:
        with _without_scipy_linalg():
            try:
                return numba.njit(signature, cache=True, error_model="numpy")(function)
            except (RuntimeError, OSError):  # no folder for the cache is writable
                return numba.njit(signature, error_model="numpy")(function)

    return compile_now


@contextlib.contextmanager
def _without_scipy_linalg() -> Iterator[None]:
    """Prevent numba from importing scipy.linalg, which costs 17 MB and a third of a second.

    At its first compilation numba imports it to find out whether matrix products can be compiled.
    The kernels contain none.
    """
    if _BLAS in sys.modules:
        yield
        return
    sys.modules[_BLAS] = None  # type: ignore[assignment] # makes `import` raise ImportError
    try:
        yield
    finally:
        del sys.modules[_BLAS]

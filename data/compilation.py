"""How kernels are compiled: eagerly, with the machine code kept on disk where that is possible.

Numba keeps it in the folder that `NUMBA_CACHE_DIR` names; whoever starts a process sets that
before the first kernel is imported. One entry serves every process on the same processor type.
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
            except (RuntimeError, OSError):  # no folder for the cache can be written
                return numba.njit(signature, error_model="numpy")(function)

    return compile_now


@contextlib.contextmanager
def _without_scipy_linalg() -> Iterator[None]:
    """Keep numba from importing all of scipy.linalg.

    At its first compilation numba does so only to see whether matrix products could be compiled.
    The kernels have none, and it would cost each worker 17 MB and a third of a second.
    """
    if _BLAS in sys.modules:
        yield
        return
    sys.modules[_BLAS] = None  # type: ignore[assignment] # how Python marks a module as absent
    try:
        yield
    finally:
        del sys.modules[_BLAS]

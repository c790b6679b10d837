"""How kernels are compiled: eagerly, with the machine code kept on disk where that is possible.

Numba keeps it in the folder that `NUMBA_CACHE_DIR` names; whoever starts a process sets that
before the first kernel is imported. One entry serves every process on the same processor type.
"""

from collections.abc import Callable
from typing import Any

import numba


def compiled(signature: Any) -> Callable[[Any], Any]:
    """Compile a function for one signature when its module is imported, not at its first call."""

    def compile_now(function: Any) -> Any:
        try:
            return numba.njit(signature, cache=True, error_model="numpy")(function)
        except (RuntimeError, OSError):  # no folder for the cache can be written
            return numba.njit(signature, error_model="numpy")(function)

    return compile_now

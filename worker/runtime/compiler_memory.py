"""LLVM's code, which a worker needs for a second and would hold for its life.

Loading the compiled kernels goes through numba, and so through LLVM: fifty megabytes of its code
are read in, and not asked for again until another version is loaded.
"""

import contextlib
import ctypes
from pathlib import Path

_LIBRARY = "libllvmlite"
_CODE_PERMISSIONS = "r-xp"
_MADV_DONTNEED = 4  # MADV_DONTNEED


def release_llvm_pages() -> None:
    """Give the pages of LLVM's code back; whoever needs them later finds them in its file.

    Only pages that are mapped to be run and cannot be written: they are the file's, byte for byte.
    Does nothing where the system has no such list of mappings.
    """
    with contextlib.suppress(OSError, AttributeError):
        advise = ctypes.CDLL(None).madvise
        for start, end in _library_code_ranges():
            advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _library_code_ranges() -> list[tuple[int, int]]:
    """Where the library's code is mapped."""
    found = []
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        place, rights, *_ = line.split()
        if rights == _CODE_PERMISSIONS and _LIBRARY in line:
            start, end = place.split("-")
            found.append((int(start, 16), int(end, 16)))
    return found

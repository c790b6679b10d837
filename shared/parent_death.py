"""A process that ends with the one that started it."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> bool:
    """Have the kernel send this process SIGTERM when its parent dies, even by SIGKILL.

    It holds for whatever program this process becomes, not for its children.

    Returns:
        False if the parent has died already.
    """
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == parent

"""Lets a test move the clock of Python processes: `time.time` and the seconds in a file are added.

The folder is put on PYTHONPATH; the file is named by CARPRICE_TEST_CLOCK.
"""

import os
import time

_path = os.environ.get("CARPRICE_TEST_CLOCK", "")
_real_time = time.time
_seen = [0.0, 0.0]  # when the file was read, and the seconds in it


def _moved_time() -> float:
    now = _real_time()
    if abs(now - _seen[0]) > 0.2:  # noqa: PLR2004 - as often as this is the file read
        try:
            with open(_path, encoding="ascii") as file:  # noqa: PTH123 - early in the start
                _seen[:] = [now, float(file.read() or 0)]
        except (OSError, ValueError):
            _seen[0] = now
    return now + _seen[1]


if _path:
    time.time = _moved_time

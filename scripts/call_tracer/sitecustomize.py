"""Records the calls of product functions in every process that has this folder on PYTHONPATH.

Python imports this module at start. The module installs a profile function in the main thread and
in all later threads; a forked child inherits it. While the first byte of the switch file is 1, the
profile function appends one line per call to a file of the process. `scripts.traced_service` sets
the variables, writes the switch and reads the lines.
"""

import mmap
import os
import sys
import threading
import time
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

VARIABLE = "CALL_TRACER"
"""`switch file:folder of the lines:root of the code:product folders, separated by commas`."""

FUNCTION_BODY = 0x0001
"""The flag CO_OPTIMIZED: functions have it, modules and bodies of classes do not."""

RESUME_REASON = 3
"""The bits of a RESUME instruction that are 0 when a function starts."""


STACK_SEPARATOR = ";"
"""Between the names of the functions on the stack."""


class Tracer:
    """The profile function and its state.

    Args:
        switch: the file whose first byte switches recording on.
        lines: the folder for one file per process.
        root: the folder that holds the product folders.
        folders: names of the product folders.
    """

    def __init__(self, switch: Path, lines: Path, root: str, folders: tuple[str, ...]) -> None:
        with switch.open("r+b") as file:
            self._switch = mmap.mmap(file.fileno(), 1)
        self._lines = lines
        self._root = f"{root}/"
        self._folders = tuple(f"{root}/{folder}/" for folder in folders)
        self._process = os.environ.get("HONCHO_PROCESS_NAME", "").partition(".")[0]
        self._files: dict[str, str] = {}
        self._outputs: dict[int, int] = {}

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """Record a call; Python calls this for every event of a thread."""
        if event != "call" or self._switch[0] != 1:
            return
        file = self._file(frame)
        if not file:
            return
        caller, stack = self._callers(frame)
        code = frame.f_code
        fields = (
            str(time.monotonic_ns()),
            self._process,
            str(int(is_resumed(code, frame.f_lasti))),
            file,
            code.co_qualname,
            caller,
            STACK_SEPARATOR.join([*stack, code.co_qualname]),
        )
        os.write(self._output(), "\t".join(fields).encode() + b"\n")

    def _callers(self, frame: FrameType) -> tuple[str, list[str]]:
        """Find the file of the nearest product caller, and the names of all, outermost first."""
        caller, stack = "", []
        above = frame.f_back
        while above is not None:
            if file := self._file(above):
                caller = caller or file
                stack.append(above.f_code.co_qualname)
            above = above.f_back
        return caller, stack[::-1]

    def _file(self, frame: FrameType) -> str:
        """Return the product file of a function, relative to the root; empty for other code.

        The methods that `dataclasses` generates belong to the module of their class.
        """
        if not frame.f_code.co_flags & FUNCTION_BODY:
            return ""
        path = frame.f_code.co_filename
        if path.startswith("<"):
            path = str(frame.f_globals.get("__file__", ""))
        if path not in self._files:
            full = str(Path(path).absolute())
            is_product = full.startswith(self._folders)
            self._files[path] = full.removeprefix(self._root) if is_product else ""
        return self._files[path]

    def _output(self) -> int:
        """Return the descriptor of this process' file; a forked child opens its own."""
        pid = os.getpid()
        if pid not in self._outputs:
            flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
            self._outputs[pid] = os.open(self._lines / f"{pid}.calls", flags, 0o600)
        return self._outputs[pid]


def is_resumed(code: CodeType, at: int) -> bool:
    """Return whether a generator or coroutine continues at instruction `at` after a pause."""
    return at >= 0 and code.co_code[at + 1] & RESUME_REASON != 0


def start() -> None:
    """Install the profile function."""
    switch, lines, root, folders = os.environ[VARIABLE].split(":")
    tracer = Tracer(Path(switch), Path(lines), root, tuple(folders.split(",")))
    threading.setprofile(tracer.profile)
    sys.setprofile(tracer.profile)


if VARIABLE in os.environ:
    start()

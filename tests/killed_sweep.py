"""A sweep of ended jobs that is killed at a step: `python -m tests.killed_sweep …`."""

import os
import signal
import sys
from pathlib import Path

from shared.redis.connections import connect
from tests.job_archive import ArchiveBench


def main(url: str, folder: str, now: str, step: str, moment: str) -> None:
    """Sweep, and be killed `before` or `after` a step, as `_writing.add`."""
    bench = ArchiveBench(connect(url), Path(folder))
    bench.now = float(now)
    part, _, name = step.partition(".")
    owner = getattr(bench.archiver, part)
    original = getattr(owner, name)

    def die(*args, **kwargs) -> None:
        if moment == "after":
            original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, die)
    bench.sweep()


if __name__ == "__main__":
    main(*sys.argv[1:])

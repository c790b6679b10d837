"""The environment of the peers has every package that the service's model imports there."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORTED = """
import json, sys
started = set(sys.modules)
import benchmarks.peers.fast_model
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - started})))
"""


def test_the_lock_of_the_peers_has_what_their_model_imports() -> None:
    """A package that is missing there would leave every in-process peer out of the benchmark."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED],
        cwd=ROOT,
        env={**os.environ, "MODELS_PATH": "unused"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    of_module = packages_distributions()
    imported = {
        _normal(name) for module in json.loads(done.stdout) for name in of_module.get(module, [])
    }
    needed = imported & _locked(ROOT / "requirements" / "runtime.txt")
    assert {"numba", "rapidfuzz"} <= needed
    assert needed <= _locked(ROOT / "benchmarks" / "peers" / "requirements.txt")


def _locked(lock: Path) -> set[str]:
    # Some packages import others if they are there: what only Windows needs is no need here.
    here = r"^([\w.-]+)==(?!.*sys_platform == .win32.)"
    names = re.findall(here, lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {_normal(name) for name in names}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

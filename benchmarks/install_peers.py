"""Installs the peers into a separate environment; packages that cannot be installed are left out.

`python -m benchmarks.install_peers` does nothing when the environment is up to date.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import ROOT
from benchmarks.subject import PEERS_PYTHON

VENV = Path(PEERS_PYTHON).parents[1]
LOCK = ROOT / "benchmarks" / "peers" / "requirements.txt"
STAMP = VENV / ".installed"
TIMEOUT_S = 600.0


def main() -> None:
    """Install all packages at once; if that fails, install them one by one."""
    lock = LOCK.read_text(encoding="utf-8")
    wanted = hashlib.sha256(lock.encode()).hexdigest()
    if STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return
    _make_environment()
    show("installing the peers (once, about a minute)")
    if not _pip(LOCK):
        _one_by_one(requirements(lock))
    STAMP.write_text(wanted, encoding="utf-8")


def requirements(lock: str) -> list[str]:
    """Split a lock file into its packages, each with its hashes."""
    return [block for block in re.split(r"\n(?=[a-zA-Z0-9])", lock) if "==" in block]


def show(text: str) -> None:
    """Print one line of progress."""
    print(f"benchmarks: {text}", file=sys.stderr, flush=True)


def _make_environment() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "make-venv.sh", sys.executable, VENV], cwd=ROOT, check=False
    )
    if done.returncode != 0:
        sys.exit(done.returncode)


def _one_by_one(blocks: Sequence[str]) -> None:
    show("not everything can be installed here; trying one package after the other")
    for block in blocks:
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.write(block + "\n")
            file.flush()
            if not _pip(Path(file.name)):
                show(f"cannot be installed: {block.split()[0]} (peers that need it are left out)")


def _pip(lock: Path) -> bool:
    options = ["--disable-pip-version-check", "--quiet", "--require-hashes", "--no-deps"]
    line = [PEERS_PYTHON, "-m", "pip", "install", *options, "-r", str(lock)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        show(f"pip did not end within {TIMEOUT_S:.0f} s")
        return False
    if done.returncode != 0:
        show(f"pip: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    return done.returncode == 0


if __name__ == "__main__":
    main()

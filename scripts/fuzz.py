"""Long fuzz run: every parser, then the API of a real service, for a number of minutes.

    python -m scripts.fuzz --minutes 10

Half of the time goes to the parsers. Each input that breaks one is kept in `tests/fuzz/corpus`;
commit it with the fix.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ("tests/fuzz", "tests/integration/test_api_contract.py")


def main() -> None:
    """Run the fuzz tests; exit with their code."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Search for breaking inputs.")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the whole run")
    seconds = parser.parse_args().minutes * 60
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--timeout", str(int(seconds)), *TESTS],
        cwd=ROOT,
        env={**os.environ, "FUZZ_SECONDS": str(seconds / 2)},
        check=False,
    )
    sys.exit(finished.returncode)


if __name__ == "__main__":
    main()

"""Runs the tests in two processes side by side: those of whole services, and all others.

The former mostly wait for processes to start, to die, to notice; the latter compute. Each is a run
of pytest under coverage. What the services' run says is shown as it comes, the rest at the end.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS, REPORTS = ROOT / "tests", ROOT / "reports"
SERVICES = ("browser", "faults", "integration")
NOTHING_CHOSEN = 5
"""Exit code of pytest where `-m` or `-k` leave nothing of a folder."""
INTERRUPTED = 130
BLOCK_BYTES = 4096


def main() -> None:
    """Run both, show both; the exit code is that of one that failed."""
    REPORTS.mkdir(exist_ok=True)
    folders = {path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}
    others = Lane("others", sorted(folders - set(SERVICES)), sys.argv[1:])
    services = Lane("services", SERVICES, sys.argv[1:])
    try:
        services.show()
        codes = [services.wait(), others.wait()]
    except KeyboardInterrupt:  # both have got the signal too, and clean up
        codes = [INTERRUPTED, services.wait(), others.wait()]
    print(others.report.read_text(encoding="utf-8"), flush=True)
    sys.exit(next((code for code in codes if code not in {0, NOTHING_CHOSEN}), min(codes)))


class Lane:
    """One run of pytest, under way.

    Args:
        name: of its report.
        folders: below `tests`.
        options: for pytest.
    """

    def __init__(self, name: str, folders: Sequence[str], options: Sequence[str]) -> None:
        self.report = REPORTS / f"{name}.txt"
        with self.report.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "coverage", "run", "-m", "pytest", *options]
                + [f"tests/{folder}" for folder in folders],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        return self._process.wait()

    def show(self) -> None:
        """Print the report while it is written, until the end."""
        with self.report.open("rb", buffering=0) as report:
            is_over = False
            while not is_over:
                is_over = self._ends_soon()
                while block := report.read(BLOCK_BYTES):
                    sys.stdout.buffer.write(block)
                    sys.stdout.flush()

    def _ends_soon(self) -> bool:
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return False
        return True


if __name__ == "__main__":
    main()

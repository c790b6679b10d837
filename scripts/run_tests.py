"""Runs the tests in two parallel pytest processes: tests of whole services, and all others.

The former mostly wait for processes to start or stop; the latter compute. The output of the service
tests is shown while they run, the other output at the end. With `--coverage`, the coverage of both
and of all processes that they start is measured, which takes half as long again.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS, REPORTS = ROOT / "tests", ROOT / "reports"
SERVICES = ("browser", "exports", "faults", "integration")
COVERAGE = "--coverage"
NOTHING_CHOSEN = 5
"""Exit code of pytest if `-m` or `-k` select no test."""
INTERRUPTED = 130
BLOCK_BYTES = 4096


def main() -> None:
    """Run both and show their output; exit with the code of a failed run, if any."""
    options = sys.argv[1:]
    python = [sys.executable]
    if COVERAGE in options:
        options.remove(COVERAGE)
        python += ["-m", "coverage", "run"]
    REPORTS.mkdir(exist_ok=True)
    folders = {path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}
    others = Lane("others", sorted(folders - set(SERVICES)), python, options)
    services = Lane("services", SERVICES, python, options)
    try:
        services.show()
        codes = [services.wait(), others.wait()]
    except KeyboardInterrupt:  # both runs also get the signal and clean up
        codes = [INTERRUPTED, services.wait(), others.wait()]
    print(others.report.read_text(encoding="utf-8"), flush=True)
    sys.exit(next((code for code in codes if code not in {0, NOTHING_CHOSEN}), min(codes)))


class Lane:
    """One running pytest process.

    Args:
        name: name of its report.
        folders: folders below `tests`.
        python: the command that runs a module.
        options: options for pytest.
    """

    def __init__(
        self, name: str, folders: Sequence[str], python: Sequence[str], options: Sequence[str]
    ) -> None:
        self.report = REPORTS / f"{name}.txt"
        with self.report.open("wb") as output:
            self._process = subprocess.Popen(
                [*python, "-m", "pytest", *options, *(f"tests/{folder}" for folder in folders)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        return self._process.wait()

    def show(self) -> None:
        """Print the report while it is written, until the process ends."""
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

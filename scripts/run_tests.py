"""Runs the tests in two parallel pytest processes: tests of whole services, and all others.

The former mostly wait for processes to start or stop; the latter compute. The output of the service
tests is shown while they run, the other output at the end. With `--coverage`, the coverage of both
and of all processes that they start is measured, which takes half as long again.

A few tests that failed are run a second time, when nothing else runs any more: real processes miss
deadlines on a machine that is too busy. The output names them, whether they pass then or not.
"""

import json
import shutil
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
FAILED = 1
"""Exit code of pytest if tests failed."""
SECOND_RUNS_MAX = 5
"""More failures than this have another reason than a busy machine."""
INTERRUPTED = 130
BLOCK_BYTES = 4096


def main() -> None:
    """Run both and show their output; exit with the code of a failed run, if any."""
    options = sys.argv[1:]
    python = [sys.executable]
    if COVERAGE in options:
        options.remove(COVERAGE)
        python += ["-m", "coverage", "run"]
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir()
    folders = {path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}
    others = Lane("others", sorted(folders - set(SERVICES)), python, options)
    services = Lane("services", SERVICES, python, options)
    try:
        services.show()
        codes = [services.wait(), others.wait()]
    except KeyboardInterrupt:  # both runs also get the signal and clean up
        services.wait()
        others.wait()
        sys.exit(INTERRUPTED)
    print(others.report.read_text(encoding="utf-8"), flush=True)
    lanes = (services, others)
    failed = [test for lane in lanes for test in lane.failed()]
    if FAILED in codes and len(failed) <= SECOND_RUNS_MAX:
        print("carprice: failed, and run again alone:", *failed, sep="\n  ", flush=True)
        codes = [
            lane.run_again() if code == FAILED else code
            for lane, code in zip(lanes, codes, strict=True)
        ]
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
        self._name = name
        self._cache = REPORTS / "cache" / name
        tests = [f"tests/{folder}" for folder in folders]
        self._command = [
            *python,
            "-m",
            "pytest",
            "-o",
            f"cache_dir={self._cache}",
            *options,
            *tests,
        ]
        self._start(REPORTS / f"{name}.txt", ())

    def _start(self, report: Path, options: Sequence[str]) -> None:
        self.report = report
        with report.open("wb") as output:
            self._process = subprocess.Popen(
                [*self._command, *options],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def failed(self) -> list[str]:
        """The tests that failed."""
        try:
            names: dict[str, bool] = json.loads((self._cache / "v/cache/lastfailed").read_bytes())
        except FileNotFoundError:
            return []
        return list(names)

    def run_again(self) -> int:
        """Run the tests that failed, show their output and return the exit code of pytest."""
        self._start(REPORTS / f"{self._name}-again.txt", ["--last-failed"])
        self.show()
        return self.wait()

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

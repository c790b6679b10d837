"""A worker lets go of LLVM's code once the kernels are loaded, and can load others all the same."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import re, sys
import numba
from worker.model import release_llvm_pages

def resident_mb():
    found, ours = 0, False
    for line in open("/proc/self/smaps"):
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = "libllvmlite" in line and " r-xp " in line
        elif ours and line.startswith("Rss:"):
            found += int(line.split()[1]) / 1024
    return found

def double(x):
    return 2 * x

assert numba.njit(double)(3) == 6
before = resident_mb()
release_llvm_pages()
after = resident_mb()
assert numba.njit(lambda x: x + 1)(3) == 4
print(before, after)
"""


def test_the_code_of_the_compiler_is_let_go_and_comes_back_when_it_is_needed() -> None:
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[3],
        check=True,
        capture_output=True,
        text=True,
    )
    before, after = map(float, said.stdout.split())
    assert before > 10
    assert after < 5

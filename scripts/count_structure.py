"""Counts the files that a request visits, and module lengths: `python -m scripts.count_structure`.

How a request is counted:

- A file is visited when the body of one of its functions runs. Lambdas, comprehensions and the
  methods that `dataclasses` generates are functions; code of modules and of classes is not. Loops
  that numba compiles run as machine code, which the tracer does not see.
- A call between files enters a function whose nearest product caller on the stack is in another
  file, or which a library calls. Resuming a generator or coroutine is not a call.
- A return to a file already left is a call between files into a file that was entered before: the
  number of calls minus the number of distinct files.
- Only what every traced request of a kind executes is counted, by process, file and function.
  This excludes heartbeats, sweeps and timers, which run during some of the requests. The number of
  calls is that of the request with the fewest.
- A hit and a miss are counted in the processes of `PROCESSES`. A chunk is counted twice: the whole
  task, from the entry of the task's function to its end; and the engine, from the entry of
  `FastCsvEngine.value` to its end, without the calls into the files of the model (`model_store/`
  and `data/`).
"""

import argparse
import ast
import dataclasses
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scripts.traced_service import FOLDERS, ROOT, Call, record_requests

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- structure: begin -->", "<!-- structure: end -->"
REQUESTS = 5
PROCESSES = {
    "hit": {"api"},
    "miss": {"api", "interactive"},
    "batch": {"bulk"},
    "engine": {"bulk"},
}
"""Names in the Procfile of the processes that carry out each kind of request."""

CHUNK_TASK = "value_chunk"
"""Function name of the task that values one chunk."""

ENGINE_METHOD = "FastCsvEngine.value"
MODEL_FOLDERS = ("model_store/", "data/")

TITLES = {
    "hit": "cache hit of `/predict`",
    "miss": "cache miss of `/predict`, API and worker",
    "batch": "fast CSV chunk, whole task of the bulk worker",
    "engine": "fast CSV chunk, the engine alone",
}
MANY_MODULES = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trace:
    """The counts of one kind of request."""

    files: Mapping[str, Sequence[str]]
    """The functions of each file; both in the order of the first call."""
    calls: int

    @property
    def returns(self) -> int:
        """Calls into files that were entered before."""
        return self.calls - len(self.files)


def always_executed(requests: Sequence[Sequence[Call]]) -> list[Call]:
    """Return the calls of the shortest request, without functions that not every request runs."""
    common = set.intersection(*({call.place for call in calls} for calls in requests))
    kept = [[call for call in calls if call.place in common] for calls in requests]
    return min(kept, key=len)


def relevant(kind: str, calls: Iterable[Call]) -> list[Call]:
    """Keep the calls that belong to a kind of request."""
    return [
        call
        for call in calls
        if call.process in PROCESSES[kind]
        and (kind not in {"batch", "engine"} or call.stack[0].rpartition(".")[2] == CHUNK_TASK)
        and (kind != "engine" or is_engine_call(call))
    ]


def is_engine_call(call: Call) -> bool:
    """Whether a call is made below the engine's method and enters no file of the model."""
    return ENGINE_METHOD in call.stack and not call.file.startswith(MODEL_FOLDERS)


def trace_of(calls: Sequence[Call]) -> Trace:
    """Count files, and calls between files."""
    files: dict[str, dict[str, None]] = {}
    for call in calls:
        files.setdefault(call.file, {})[call.function] = None
    between = [call for call in calls if not call.is_resumed and call.caller != call.file]
    return Trace(files={file: list(names) for file, names in files.items()}, calls=len(between))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lengths:
    """Lengths in lines: of files, or of functions."""

    median: int
    percentile_90: int
    longest: int
    longest_name: str
    total: int

    @classmethod
    def of(cls, lines: Mapping[str, int]) -> "Lengths":
        """Sum up the lines by name."""
        ordered = sorted(lines, key=lambda name: lines[name])
        return cls(
            median=lines[ordered[rank(len(ordered), 0.5)]],
            percentile_90=lines[ordered[rank(len(ordered), 0.9)]],
            longest=lines[ordered[-1]],
            longest_name=ordered[-1],
            total=sum(lines.values()),
        )


def rank(count: int, share: float) -> int:
    """Return the index of the smallest of `count` values that `share` of them do not exceed."""
    return max(math.ceil(count * share) - 1, 0)


def modules(root: Path) -> list[Path]:
    """List the modules of the product; `__init__` files hold no code and do not count."""
    found = (path for folder in FOLDERS for path in (root / folder).rglob("*.py"))
    return sorted(path for path in found if path.name != "__init__.py")


def large_folders(paths: Iterable[Path], root: Path) -> list[tuple[str, int]]:
    """List the folders with more than `MANY_MODULES` modules of their own, largest first."""
    counts = Counter(str(path.parent.relative_to(root)) for path in paths)
    large = [(folder, count) for folder, count in counts.items() if count > MANY_MODULES]
    return sorted(large, key=lambda each: (-each[1], each[0]))


def function_lengths(source: str) -> dict[str, int]:
    """Measure every function of a module, nested ones too, from `def` to its last line."""
    return {
        f"{node.name}:{node.lineno}": (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def static_section(root: Path) -> str:
    """Write the tables that need no running service."""
    paths = modules(root)
    sources = {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in paths}
    files = Lengths.of({name: len(source.splitlines()) for name, source in sources.items()})
    functions = Lengths.of(
        {
            f"{name}:{function}": lines
            for name, source in sources.items()
            for function, lines in function_lengths(source).items()
        }
    )
    rows = [
        "| folder with more than ten modules | modules |",
        "|---|---|",
        *(f"| `{folder}` | {count} |" for folder, count in large_folders(paths, root)),
        "",
        "| length in lines | median | 90th percentile | longest |",
        "|---|---|---|---|",
        *(
            f"| {what} | {each.median} | {each.percentile_90} | {each.longest} |"
            for what, each in (("file", files), ("function", functions))
        ),
        "",
        f"The product has {files.total:,} lines in {len(paths)} modules.",
        f"The longest is `{files.longest_name}`.",
    ]
    return "\n".join(rows) + "\n"


def request_section(traces: Mapping[str, Trace]) -> str:
    """Write the table of the requests."""
    rows = [
        "| request | files | calls between files | returns to a file already left |",
        "|---|---|---|---|",
        *(
            f"| {TITLES[kind]} | {len(trace.files)} | {trace.calls} | {trace.returns} |"
            for kind, trace in traces.items()
        ),
    ]
    return "\n".join(rows) + "\n"


def files_section(traces: Mapping[str, Trace]) -> str:
    """List the files of each kind of request in the order of the first visit."""
    lines: list[str] = []
    for kind, trace in traces.items():
        lines += [f"## {TITLES[kind]}", ""]
        lines += [
            f"{number}. `{file}`: {', '.join(f'`{name}`' for name in names)}"
            for number, (file, names) in enumerate(trace.files.items(), start=1)
        ]
        lines.append("")
    return "\n".join(lines)


def with_section(page: str, section: str) -> str:
    """Replace the text between the two marks of a page.

    Raises:
        ValueError: a mark is missing.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n{section}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Trace the requests, count, and print or write the tables."""
    parser = argparse.ArgumentParser(description="Count files per request and lengths of modules.")
    parser.add_argument("--files", action="store_true", help="list files and functions as well")
    parser.add_argument("--write", action="store_true", help=f"replace the section of {PAGE.name}")
    parser.add_argument("--models", type=Path, help="registry with an active model; else: train")
    options = parser.parse_args(arguments)
    recorded = record_requests(REQUESTS, options.models)
    recorded["engine"] = recorded["batch"]
    traces = {
        kind: trace_of(always_executed([relevant(kind, calls) for calls in requests]))
        for kind, requests in recorded.items()
    }
    section = f"{request_section(traces)}\n{static_section(ROOT)}"
    sys.stdout.write(section)
    if options.files:
        sys.stdout.write(f"\n{files_section(traces)}")
    if options.write:
        PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8"), section), encoding="utf-8")


if __name__ == "__main__":
    main()

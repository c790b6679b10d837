"""`make bench`: measures the service and its peers in all scenarios, in one run.

`python -m benchmarks.run --help` lists the options.
"""

import argparse
import dataclasses
import datetime as dt
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from benchmarks import inputs, machine
from benchmarks.bench import Bench, Options
from benchmarks.load import HOW_TO_GET_WRK, find_wrk
from benchmarks.measurements import Round, summarise
from benchmarks.processes import ROOT, ProgramError
from benchmarks.report import markdown
from benchmarks.scenarios.bulk import bulk, tenfold
from benchmarks.scenarios.flat import flat
from benchmarks.scenarios.http import hit, jobs, miss, submit, traced
from benchmarks.scenarios.inference import inference
from benchmarks.scenarios.neighbours import neighbours
from benchmarks.scenarios.roundtrip import roundtrip
from benchmarks.servers import SERVICE
from benchmarks.subject import Workspace
from benchmarks.subjects import SUBJECTS
from benchmarks.targets import judge, judge_memory

SCENARIOS: dict[str, Callable[[Bench], None]] = {
    "hit": hit,
    "miss": miss,
    "jobs": jobs,
    "submit": submit,
    "roundtrip": roundtrip,
    "bulk": bulk,
    "inference": inference,
    "flat": flat,
    "neighbours": neighbours,
    "bulk-tenfold": tenfold,
    "traced": traced,
}
ONLY_ON_REQUEST = {"bulk-tenfold", "traced"}
"""Ten million rows take minutes and gigabytes; tracing needs the service once more."""
RESULTS = ROOT / "benchmarks" / "results"
MISS_CONNECTIONS = (1, 16, 64, 256)
FULL_ROWS, SMOKE_ROWS = 1_000_000, 2_000
FULL_STORED, SMOKE_STORED = 1_000_000, 200
NEEDS_WRK = {"hit", "miss", "jobs", "submit", "flat", "neighbours", "traced"}


def main() -> None:
    """Measure, write the results and print the tables."""
    args = _arguments().parse_args()
    options = _options(args)
    if find_wrk() is None and set(options.scenarios) & NEEDS_WRK:
        sys.exit(f"benchmarks: {HOW_TO_GET_WRK}")
    signal.signal(signal.SIGTERM, _end)
    folder = Path(tempfile.mkdtemp(prefix="cpb-"))
    try:
        result = run(options, folder, args.models)
    except ProgramError as error:
        sys.exit(f"benchmarks: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(write(result, args.output))


def run(options: Options, folder: Path, models_path: Path | None) -> dict[str, Any]:
    """Carry out a run in its own folder; all programs that it starts have ended afterwards.

    Args:
        options: the options of the run.
        folder: its folder; a short path, because Unix sockets are in it.
        models_path: a registry with an active model; None: a model is trained.

    Raises:
        ProgramError: the service does not start, or a load generator fails.
    """
    started_at = dt.datetime.now(dt.UTC)
    described = machine.describe_machine()
    workspace = Workspace(
        folder=folder,
        models_path=models_path or folder / "models",
        pipeline=folder / "pipeline.joblib",
    )
    workspace.home.mkdir()
    if models_path is None:
        show("training the model")
        inputs.train_model(workspace.models_path, small=options.smoke)
    with Bench(options, workspace, show) as bench:
        for name in options.scenarios:
            show(f"scenario {name}")
            try:
                SCENARIOS[name](bench)
            except ProgramError as error:
                bench.exclude(name, error)
        bench.record_api_memory()
        show("stopping")
    if SERVICE in bench.left_out:
        raise ProgramError(f"{SERVICE}: {bench.left_out[SERVICE]}")
    return {
        "command": " ".join(["python -m benchmarks.run", *_shown(sys.argv[1:])]),
        "started_at": started_at.isoformat(timespec="seconds"),
        "machine": described,
        "versions": machine.versions(),
        "options": dataclasses.asdict(options),
        "left_out": bench.left_out,
        "api_memory_mb": bench.api_memory_mb,
        "disturbed": _disturbed(bench.rounds),
        "rounds": list(bench.rounds),
    }


def write(result: dict[str, Any], output: Path) -> str:
    """Write the raw result as JSON and the tables as Markdown.

    Returns:
        The tables.
    """
    summaries = summarise(result["rounds"])
    result["targets"] = [*judge(result["rounds"]), judge_memory(result["api_memory_mb"])]
    serialisable = result | {
        "rounds": [dataclasses.asdict(one) for one in result["rounds"]],
        "summary": [dataclasses.asdict(one) for one in summaries],
        "targets": [dataclasses.asdict(one) for one in result["targets"]],
    }
    output.mkdir(parents=True, exist_ok=True)
    name = f"{result['started_at'][:10]}-{machine.short_name(result['machine'])}.json"
    (output / name).write_text(json.dumps(serialisable, indent=1) + "\n", encoding="utf-8")
    table = markdown(result, summaries)
    (output / "latest.md").write_text(table, encoding="utf-8")
    return table


def show(text: str) -> None:
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one short round: does it work?")
    parser.add_argument(
        "--scenario", action="append", choices=SCENARIOS, help="only this one (repeatable)"
    )
    parser.add_argument(
        "--subject", action="append", choices=SUBJECTS, help="only this one (repeatable)"
    )
    parser.add_argument("--rounds", type=int, help="rounds of each measurement (3; smoke: 1)")
    parser.add_argument("--seconds", type=float, help="length of a round (4; smoke: 1)")
    parser.add_argument("--rows", type=int, help="rows of the CSV of the bulk scenario")
    parser.add_argument("--stored", type=int, help="jobs and audit lines of the flat scenario")
    parser.add_argument("--models", type=Path, help="a registry with an active model to serve")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    return parser


def _options(args: argparse.Namespace) -> Options:
    smoke: bool = args.smoke
    return Options(
        scenarios=args.scenario or [name for name in SCENARIOS if name not in ONLY_ON_REQUEST],
        subjects=args.subject or list(SUBJECTS),
        rounds=args.rounds or (1 if smoke else 3),
        seconds=args.seconds or (1.0 if smoke else 4.0),
        warm_up_s=0.0 if smoke else 1.0,
        connections=MISS_CONNECTIONS[1:2] if smoke else MISS_CONNECTIONS,
        rows=args.rows or (SMOKE_ROWS if smoke else FULL_ROWS),
        stored=args.stored or (SMOKE_STORED if smoke else FULL_STORED),
        smoke=smoke,
    )


def _shown(arguments: Sequence[str]) -> list[str]:
    """Replace paths, which have no meaning on other machines, by an ellipsis."""
    return ["…" if os.sep in argument else argument for argument in arguments]


def _disturbed(rounds: Sequence[Round]) -> float:
    """Return the share of the machine's CPU time that other programs used during the rounds."""
    other_cpu_s = sum(one.other_cpu_s or 0.0 for one in rounds)
    seconds = sum(one.accounted_s or 0.0 for one in rounds) * (os.cpu_count() or 1)
    return other_cpu_s / seconds if seconds else 0.0


def _end(*_: object) -> NoReturn:
    sys.exit(1)


if __name__ == "__main__":
    main()

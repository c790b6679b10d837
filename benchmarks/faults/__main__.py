"""`python -m benchmarks.faults`: carries out every fault and writes `results/faults.md`.

`--long` repeats the faults until at least 100,000 jobs and 1,000,000 rows were accepted, and writes
`results/faults-long.md`.
`--only WORDS` carries out the faults whose names contain the words.
"""

import argparse
import dataclasses
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import inputs, machine
from benchmarks.faults.check import Result
from benchmarks.faults.environments import ENV, behind_a_proxy, on_a_small_disk, with_a_clock
from benchmarks.faults.injections import FAULTS, Fault
from benchmarks.faults.load import Mix
from benchmarks.faults.report import markdown
from benchmarks.faults.run import FaultRun
from benchmarks.faults.running_service import RunningService
from benchmarks.faults.tampering import verify_log
from benchmarks.faults.work import Kind

RESULTS = Path(__file__).parents[1] / "results"
VOLUME = (100_000, 1_000_000)
"""Jobs, and cars and rows, of `--long`."""
LONG_MIX = Mix(
    callers={"single": 3, "hit": 1, "job": 8, "list": 1, "batch": 1, "sale": 1},
    pauses_s={"single": 0.02, "hit": 0.02, "job": 0.0, "list": 0.3, "batch": 0.8, "sale": 0.1},
    rows=5_000,
)


def main() -> None:
    """Run, write and print the table; the exit code is 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--long", action="store_true", help="large volumes; about an hour")
    parser.add_argument(
        "--volume", nargs=2, type=int, default=VOLUME, metavar=("JOBS", "ROWS"), help="with --long"
    )
    parser.add_argument("--only", action="append", default=[], metavar="WORDS")
    parser.add_argument("--models", type=Path, help="a registry with an active model")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cpf-"))
    load_before = os.getloadavg()[0]
    results: list[Result] = []
    try:
        for result in _run(folder, args.models, args.only, args.volume if args.long else None):
            results.append(result)  # noqa: PERF402 - an interrupted run reports what it has
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        other_load = f"load average before the run: {load_before:.1f}."
        command = "make faults-long" if args.long else "make faults"
        if args.only:
            command += f' ARGS="{" ".join(f"--only {words!r}" for words in args.only)}"'
        described = machine.describe_machine()
        text = markdown(
            results,
            machine=f"{described['cores']} cores, {described['processor']}",
            other_load=other_load,
            command=command,
        )
        args.output.mkdir(parents=True, exist_ok=True)
        name = "faults-long.md" if args.long else "faults.md"
        (args.output / name).write_text(text, encoding="utf-8")
        print(text)
    sys.exit(0 if all(result.is_well and not result.remarks for result in results) else 1)


def _run(
    folder: Path, models: Path | None, only: list[str], volume: tuple[int, int] | None
) -> Iterator[Result]:
    is_long = volume is not None
    registry = folder / "models"
    if models is None:
        inputs.train_model(registry, small=True)
        inputs.train_model(registry, small=False)
    else:
        shutil.copytree(models, registry)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder / "numba"))

    def chosen(faults: list[Fault]) -> list[Fault]:
        found = [each for each in faults if not only or any(word in each.name for word in only)]
        if not is_long:
            return found
        return [dataclasses.replace(each, mix=_longer(each.mix)) for each in found]

    if faults := chosen(list(FAULTS)):
        yield from _on_one_service(folder / "all", registry, faults, volume)
    special = {
        "14 disk full": partial(on_a_small_disk, folder / "disk", registry, is_long=is_long),
        "8 network to the broker": partial(behind_a_proxy, folder / "net", registry),
        "20 clock jumps": partial(with_a_clock, folder / "clock", registry),
    }
    for name, make in special.items():
        if not only or any(word in name for word in only):
            with make() as (service, faults):
                yield from FaultRun(service, _say).carry_out(faults)


def _on_one_service(
    folder: Path, registry: Path, faults: list[Fault], volume: tuple[int, int] | None
) -> Iterator[Result]:
    """Carry out the faults, with large volumes again and again until there was enough work."""
    service = RunningService(folder, registry, ENV)
    service.create_keys()
    service.start()
    run = FaultRun(service, _say)
    try:
        jobs = rows = 0
        for round_number in itertools.count(1):
            for fault in faults:
                (result,) = run.carry_out([fault])
                jobs += result.accepted.get(Kind.JOB, 0) + result.accepted.get(Kind.LIST, 0)
                rows += result.items
                if round_number > 1:
                    result.fault += f" (round {round_number})"
                yield result
            if volume is None or (jobs >= volume[0] and rows >= volume[1]):
                break
    finally:
        service.stop()
    yield run.recheck()
    yield verify_log(service)


def _longer(mix: Mix) -> Mix:
    return LONG_MIX if "job" in mix.callers else dataclasses.replace(mix, rows=LONG_MIX.rows)


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    main()

"""`make soak`: mixed load on the real service for minutes; does anything grow, hang or get lost?

`python -m benchmarks.soak --minutes 10` writes `results/soak.json` and `results/soak.md`.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import inputs, machine
from benchmarks.processes import Program, free_port, wait_until_ready
from benchmarks.scenarios.soak_load import Load
from benchmarks.servers import SERVICE
from benchmarks.soak_samples import (
    Sample,
    judge,
    merged,
    sample_disk,
    sample_lasting,
    sample_processes,
    sample_server,
)
from benchmarks.subject import Place
from benchmarks.subjects import SUBJECTS
from shared.adapters.redis_client import connect
from shared.connections import with_connections
from shared.settings import Settings

RESULTS = Path(__file__).parent / "results"
START_TIMEOUT_S = 120.0
SAMPLES = 120
SHORTEST_INTERVAL_S = 1.0
SHORT_LIVES = {"JOB_RETENTION_S": "45", "CACHE_TTL_S": "60", "BATCH_RETENTION_S": "60"}
"""What is stored for a day otherwise expires within the soak, so that a level can be seen."""


def main() -> None:
    """Run, judge, write, print; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--models", type=Path, help="a registry with an active model to serve")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cps-"))
    try:
        result = soak(folder, 60 * given.minutes, given.models)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "soak.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result)
    (given.output / "soak.md").write_text(text, encoding="utf-8")
    print(text)
    sys.exit(0 if result["is_well"] else 1)


def soak(folder: Path, seconds: float, models: Path | None) -> dict[str, Any]:
    """Start the service in a folder, load it, look at it; nothing outlives this."""
    place = Place(
        folder=folder, models_path=models or folder / "models", pipeline=folder / "pipeline.joblib"
    )
    (folder / "home").mkdir()
    if models is None:
        inputs.train_model(place.models_path, small=False)
    described = {"machine": machine.describe_machine(), "versions": machine.versions()}
    port = free_port()
    (command,) = SUBJECTS[SERVICE].programs(place, port)
    command = dataclasses.replace(command, env={**command.env, **SHORT_LIVES})
    url = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        program = Program(command, folder / "up.log")
        stack.callback(program.stop)
        wait_until_ready(f"{url}/readyz", [program], START_TIMEOUT_S)
        load = Load(url)
        load.start()
        try:
            samples = _watch(program, folder / "home", seconds)
        finally:
            load.stop()
        tally = load.tally
        counts = _audit_counts(folder / "home" / "audit")
    lines = judge(samples)
    wrong_records = [each for each in tally.recorded if counts[each] != 1]
    return {
        **described,
        "seconds": seconds,
        "answers": dict(tally.answers),
        "failures": dict(tally.failures),
        "slowest_s": round(tally.slowest_s, 2),
        "answers_recorded_once": len(tally.recorded) - len(wrong_records),
        "answers_recorded_otherwise": len(wrong_records),
        "lines": [dataclasses.asdict(line) for line in lines],
        "is_well": not (tally.failures or wrong_records)
        and all(line.is_flat is not False for line in lines),
        "samples": [{"at_s": round(at, 1)} | sample for at, sample in samples],
    }


def _watch(program: Program, home: Path, seconds: float) -> list[tuple[float, Sample]]:
    """Look at everything at an interval, for so long."""
    settings = with_connections(Settings(home=home))
    broker, cache = connect(settings.redis_url), connect(settings.cache_url)
    interval_s = max(SHORTEST_INTERVAL_S, seconds / SAMPLES)
    samples, started_at = [], time.monotonic()
    while (at_s := time.monotonic() - started_at) < seconds:
        program.check()
        looks = (
            sample_processes(program),
            sample_server("broker", broker),
            sample_server("cache", cache),
            sample_lasting(broker),
            sample_disk(home / "audit"),
        )
        samples.append((at_s, merged(looks)))
        time.sleep(interval_s)
    return samples


def _audit_counts(folder: Path) -> collections.Counter[str]:
    """How often each id stands in the log of single answers."""
    counts: collections.Counter[str] = collections.Counter()
    for path in folder.glob("predictions_*.jsonl"):
        with path.open(encoding="utf-8") as lines:
            counts.update(json.loads(line)["id"] for line in lines)
    return counts


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    answers = ", ".join(f"{kind} {count:,}" for kind, count in sorted(result["answers"].items()))
    verdict = "All is well." if result["is_well"] else "**Not all is well.**"
    head = (
        f"# Soak\n\n`make soak`: {result['seconds'] / 60:g} minutes of mixed load on "
        f"{result['machine']['cores']} cores, {result['machine']['processor']}. {verdict}\n\n"
        f"- Asked: {answers}.\n"
        f"- Unexpected: {result['failures'] or 'nothing'}. Slowest: {result['slowest_s']} s.\n"
        f"- Answers recorded exactly once: {result['answers_recorded_once']:,}; "
        f"otherwise: {result['answers_recorded_otherwise']}.\n\n"
        "The second half, fitted by a straight line; processes of a kind are added up. What is not "
        "judged is meant to rise: the log; the broker, for the 20 minutes that claims are kept; "
        "Flower, until it holds the 10,000 tasks that it shows.\n\n"
        "| what | at first | at the end | rise | per hour | flat |\n|---|---|---|---|---|---|\n"
    )
    words = {True: "yes", False: "**no**", None: ""}
    return head + "".join(
        f"| {line['name']} | {line['first']:,.6g} {line['unit']} | {line['last']:,.6g} | "
        f"{line['rise']:+.3g} | {line['per_hour']:+.3g} | {words[line['is_flat']]} |\n"
        for line in result["lines"]
    )


if __name__ == "__main__":
    main()

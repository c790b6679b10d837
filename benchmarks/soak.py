"""`make soak`: puts mixed load on the service for minutes; finds leaks, hangs and lost answers.

`python -m benchmarks.soak --minutes 10` writes `results/soak.json` and `results/soak.md`.
"""

import argparse
import collections
import contextlib
import dataclasses
import datetime as dt
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import inputs, machine
from benchmarks.processes import Program, wait_until_ready
from benchmarks.scenarios.flaky_receiver import FlakyReceiver, flaky_receiver
from benchmarks.scenarios.soak_load import Load, Tally
from benchmarks.servers import SERVICE
from benchmarks.soak_judgement import SHORT_RETENTION_ENV, LimitCheck, judge, limit_checks
from benchmarks.soak_report import markdown
from benchmarks.soak_samples import (
    Sample,
    merged,
    sample_broker,
    sample_disk,
    sample_flower,
    sample_processes,
    sample_server,
)
from benchmarks.subject import Workspace
from benchmarks.subjects import SUBJECTS
from scripts.ports import reserve_port
from shared.redis.connections import connect
from shared.redis.servers import with_server_urls
from shared.settings import Settings
from shared.webhooks.secret_store import SERVICE as SERVICE_SECRET
from shared.webhooks.secret_store import WebhookSecret, WebhookSecrets
from shared.webhooks.signing import new_secret

RESULTS = Path(__file__).parent / "results"
START_TIMEOUT_S = 120.0
WEBHOOK_TIMEOUT_S = 240.0
"""Longer than three attempts of a webhook and the pauses of its receiver take."""
WRONG = ("missing", "renamed", "unasked", "forged")
"""Webhooks that must not be: a repeated one has its id again, which is allowed."""

SAMPLES = 120
SHORTEST_INTERVAL_S = 1.0


def main() -> None:
    """Run the soak, write and print its report; the exit code is 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--models", type=Path, help="a registry with an active model to serve")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cps-"))
    try:
        result = soak(folder, 60 * args.minutes, args.models)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "soak.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result)
    (args.output / "soak.md").write_text(text, encoding="utf-8")
    print(text)
    sys.exit(0 if result["is_well"] else 1)


def soak(folder: Path, seconds: float, models: Path | None) -> dict[str, Any]:
    """Start the service in a folder, put load on it, sample it, and stop it.

    Args:
        folder: folder of the service; a short path, because Unix sockets are in it.
        seconds: duration of the load.
        models: a registry with an active model; None: a model is trained.
    """
    workspace = Workspace(
        folder=folder, models_path=models or folder / "models", pipeline=folder / "pipeline.joblib"
    )
    home = folder / "home"
    home.mkdir()
    if models is None:
        inputs.train_model(workspace.models_path, small=False)
    described = {"machine": machine.describe_machine(), "versions": machine.versions()}
    port = reserve_port()
    (command,) = SUBJECTS[SERVICE].programs(workspace, port)
    env = {**command.env, **SHORT_RETENTION_ENV, "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32"}
    command = dataclasses.replace(command, env=env)
    url = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(flaky_receiver(_webhook_secret(home)))
        program = Program(command, folder / "up.log")
        stack.callback(program.stop)
        wait_until_ready(f"{url}/readyz", [program], START_TIMEOUT_S)
        sampler = SoakSampler(program, home, f"http://127.0.0.1:{command.env['FLOWER_PORT']}")
        load = Load(url, callback_url=receiver.url)
        load.start()
        try:
            samples = _sample(sampler, seconds)
        finally:
            load.stop()
        samples.append((seconds, sampler.take()))
        counts = _audit_counts(home / "audit")
        webhooks = _webhooks(load.tally, receiver)
    return {**described, "seconds": seconds, **_verdict(samples, load.tally, counts, webhooks)}


def _webhook_secret(home: Path) -> str:
    """Give a service its secret of webhooks, and return it."""
    secret = new_secret()
    entry = WebhookSecret(owner=SERVICE_SECRET, secret=secret, created_at=dt.datetime.now(dt.UTC))
    WebhookSecrets.of(Settings(home=home)).change(lambda _: [entry])
    return secret


def _webhooks(tally: Tally, receiver: FlakyReceiver) -> dict[str, int]:
    """Wait for the last webhooks, and count them."""
    asked, until = set(tally.reported), time.monotonic() + WEBHOOK_TIMEOUT_S
    while asked - receiver.accepted.keys() and time.monotonic() < until:
        time.sleep(1.0)
    return {
        "asked": len(asked),
        "missing": len(asked - receiver.accepted.keys()),
        "repeated": sum(count > 1 for count in receiver.accepted.values()),
        "renamed": sum(len(names) > 1 for names in receiver.names.values()),
        "unasked": len(receiver.names.keys() - asked),
        "forged": receiver.forged,
        "refused_by_receiver": receiver.refused,
    }


def _verdict(
    samples: Sequence[tuple[float, Sample]],
    tally: Tally,
    counts: Mapping[str, int],
    webhooks: Mapping[str, int],
) -> dict[str, Any]:
    """Evaluate samples, answers, audit records and webhooks."""
    lines = judge(samples)
    requests = tally.answers.total()
    limits = limit_checks([sample for _, sample in samples], requests, tally.answers)
    wrong_records = [each for each in tally.recorded if counts[each] != 1]
    wrong = [line.name for line in lines if line.is_flat is False]
    wrong += [bound.name for bound in limits if bound.holds is False]
    return {
        "answers": dict(tally.answers),
        "failures": dict(tally.failures),
        "slowest_s": round(tally.slowest_s, 2),
        "answers_recorded_once": len(tally.recorded) - len(wrong_records),
        "answers_recorded_otherwise": len(wrong_records),
        "webhooks": webhooks,
        "lines": [dataclasses.asdict(line) for line in lines],
        "limits": [_described(bound) for bound in limits],
        "wrong": wrong,
        "is_well": not (
            tally.failures or wrong_records or wrong or any(webhooks[each] for each in WRONG)
        ),
        "samples": [{"at_s": round(at, 1)} | sample for at, sample in samples],
    }


def _described(bound: LimitCheck) -> dict[str, Any]:
    return dataclasses.asdict(bound) | {"holds": bound.holds}


class SoakSampler:
    """Samples processes, Redis servers, Flower and the audit log of a service.

    Args:
        program: the service.
        home: its home folder.
        flower_url: address of its Flower.
    """

    def __init__(self, program: Program, home: Path, flower_url: str) -> None:
        settings = with_server_urls(Settings(home=home))
        self._program = program
        self._home = home
        self._flower_url = flower_url
        self._broker, self._cache = connect(settings.redis_url), connect(settings.cache_url)

    def take(self) -> Sample:
        """Take one sample.

        Raises:
            ProgramError: the service has ended.
        """
        self._program.check()
        parts = (
            sample_processes(self._program),
            sample_broker(self._broker),
            sample_server("cache", self._cache),
            sample_flower(self._flower_url),
            sample_disk(self._home / "audit"),
        )
        return merged(parts)


def _sample(sampler: SoakSampler, seconds: float) -> list[tuple[float, Sample]]:
    """Take samples at a fixed interval; return each with its time since the start."""
    interval_s = max(SHORTEST_INTERVAL_S, seconds / SAMPLES)
    samples, started_at = [], time.monotonic()
    while (at_s := time.monotonic() - started_at) < seconds:
        samples.append((at_s, sampler.take()))
        time.sleep(interval_s)
    return samples


def _audit_counts(folder: Path) -> collections.Counter[str]:
    """Count the records of each id in the audit log of single answers."""
    counts: collections.Counter[str] = collections.Counter()
    for path in folder.glob("predictions_*.jsonl"):
        with path.open(encoding="utf-8") as lines:
            counts.update(json.loads(line)["id"] for line in lines)
    return counts


if __name__ == "__main__":
    main()

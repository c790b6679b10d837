"""Overload: single cars at two and five times the capacity of the service.

`python -m benchmarks.faults.overload` writes `results/overload.md`. Generator and service share the
processors, so the generator's own limit is reported: requests that it could not send.
"""

import argparse
import asyncio
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import inputs, machine
from benchmarks.faults.open_loop import OpenLoop, Tally
from benchmarks.faults.running_service import RunningService
from benchmarks.processes import private_mb

RESULTS = Path(__file__).parents[1] / "results"
IDLE_RATE, IDLE_S, CAPACITY_S = 20.0, 6.0, 6.0
FACTORS = (2, 5)
EXTRAS = "?include=contributions,depreciation,comparables"
LOADS = {"single cars": "", "single cars with all extras": EXTRAS}
P95_FACTOR, REFUSAL_S = 5.0, 0.1
"""Targets: p95 of accepted requests against idle, and seconds until a refusal."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What was measured at one rate."""

    load: str
    rate: float
    name: str
    tally: Tally
    seconds: float
    api_mb: tuple[float, float]
    broker_mb: tuple[float, float]

    @property
    def accepted(self) -> list[float]:
        """Latencies of 200 and 202."""
        return self.tally.ok + self.tally.jobs


def p95(values: Sequence[float]) -> float:
    """The 95th percentile; 0 without values."""
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else sum(values)


def main() -> None:
    """Measure, write the results and print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.overload")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each overload")
    parser.add_argument("--models", type=Path, help="a registry with an active model")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cpo-"))
    try:
        models = args.models or folder / "models"
        if args.models is None:
            inputs.train_model(models, small=False)
        phases = measure(RunningService(folder, models), args.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    described = machine.describe_machine()
    text = markdown(phases, f"{described['cores']} cores, {described['processor']}")
    (args.output / "overload.md").write_text(text, encoding="utf-8")
    print(text)


def measure(service: RunningService, seconds: float) -> list[Phase]:
    """Start the service and measure every load."""
    service.start()
    try:
        return [phase for name in LOADS for phase in asyncio.run(_measure(service, name, seconds))]
    finally:
        service.stop()


async def _measure(service: RunningService, load: str, seconds: float) -> list[Phase]:
    generator = OpenLoop(service.port, LOADS[load])

    async def phase(name: str, rate: float, duration_s: float) -> Phase:
        before = _memory(service)
        tally = await generator.run(rate, duration_s)
        after = _memory(service)
        return Phase(
            load=load,
            rate=rate or len(tally.ok) / duration_s,
            name=name,
            tally=tally,
            seconds=duration_s,
            api_mb=(before[0], after[0]),
            broker_mb=(before[1], after[1]),
        )

    await generator.run(IDLE_RATE, 2.0)  # compiles, fills pools
    idle = await phase("idle", IDLE_RATE, IDLE_S)
    capacity = await phase("capacity, closed loop of 64", 0.0, CAPACITY_S)
    phases = [idle, capacity]
    for factor in FACTORS:
        phases.append(await phase(f"{factor} times", factor * capacity.rate, seconds))
        await asyncio.sleep(3.0)
    generator.close()
    return phases


def _memory(service: RunningService) -> tuple[float, float]:
    """Private memory of the API and data of the broker, MB."""
    api = sum(private_mb(process.pid) for process in service.processes("api"))
    return api, service.broker.info("memory")["used_memory"] / 1e6


def markdown(phases: Sequence[Phase], described: str) -> str:
    """The results as a table."""
    idle = {phase.load: p95(phase.accepted) for phase in phases if phase.name == "idle"}
    rows = "".join(_row(phase, idle[phase.load]) for phase in phases)
    return (
        "# Overload\n\n"
        f"`make overload` on {described}. Requests start at their scheduled times, however "
        "slow the answers are; latencies count from these times, in milliseconds. The generator "
        "shares the processors with the service: requests for which none of its 900 connections "
        "was free are not sent.\n\n"
        f"Targets: p95 of accepted requests at most {P95_FACTOR:g} times that of the idle service, "
        f"refusals within {1000 * REFUSAL_S:g} ms, memory flat.\n\n"
        "| load | rate | per second | not sent | 200 | 202 | refused | wrong | p95 accepted | "
        "against idle | p95 refused | of it in the service | API MB | broker MB |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        f"{rows}"
    )


def _row(phase: Phase, idle_s: float) -> str:
    tally = phase.tally
    accepted_s = p95(phase.accepted)
    return (
        f"| {phase.load} | {phase.name} | {phase.rate:,.0f} | {tally.unsent:,} "
        f"| {len(tally.ok):,} | {len(tally.jobs):,} | {len(tally.refused):,} "
        f"| {len(tally.wrong):,} "
        f"| {1000 * accepted_s:,.1f} | {accepted_s / idle_s if idle_s else 0:.1f} "
        f"| {1000 * p95(tally.refused):,.1f} | {1000 * p95(tally.refused_in_service):,.1f} "
        f"| {phase.api_mb[0]:.0f} to {phase.api_mb[1]:.0f} "
        f"| {phase.broker_mb[0]:.0f} to {phase.broker_mb[1]:.0f} |\n"
    )


if __name__ == "__main__":
    main()

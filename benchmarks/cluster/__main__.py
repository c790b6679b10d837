"""`make cluster-test`: guarantees across hosts; writes `results/cluster.md` and `cluster.json`.

`--quick` does less of everything. `--only WORDS` carries out the checks whose names contain the
words. `--slack 20` multiplies limits of time, for a busy machine. The exit code is 1 if a
guarantee is broken.
"""

import argparse
import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.cluster.accounts import Accounts
from benchmarks.cluster.cluster import running_cluster
from benchmarks.cluster.failover import check_failover
from benchmarks.cluster.network import Network, enter
from benchmarks.cluster.outages import (
    check_clocks,
    check_disk,
    check_partition,
    check_return,
    check_store,
)
from benchmarks.cluster.rolling_stop import check_rolling_stop
from benchmarks.cluster.run import FULL, QUICK, Check, Run, Size, carry_out
from benchmarks.cluster.shared_state import check_answers, check_keys, check_models, check_names
from benchmarks.cluster.table import Table, write
from model_store.registry.bundle import save_bundle
from model_store.registry.registry import ModelRegistry
from tests.unit.model_store import small_models

RESULTS = Path(__file__).parents[1] / "results"
CHECKS: tuple[tuple[str, Check], ...] = (
    ("answers and kills", check_answers),
    ("models", check_models),
    ("keys", check_keys),
    ("names", check_names),
    ("clocks 5 s apart", check_clocks),
    ("S3 unreachable", check_store),
    ("Redis reachable from one API", check_partition),
    ("full disk", check_disk),
    ("hosts that come back", check_return),
    ("rolling stop", check_rolling_stop),
)
"""On one cluster, in this order: callers of the last one do not keep their answers."""
WITH_SENTINELS: tuple[tuple[str, Check], ...] = (("failover", check_failover),)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is checked: the size, and words of the names of checks; none: all."""

    network: Network
    table: Table
    size: Size
    only: Sequence[str]

    def chosen(self, checks: Sequence[tuple[str, Check]]) -> list[tuple[str, Check]]:
        """Those of the checks that are carried out."""
        only = self.only
        return [one for one in checks if not only or any(word in one[0] for word in only)]


def main() -> None:
    """Run, write and print the table; the exit code is 1 if a guarantee is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small volumes and short outages")
    parser.add_argument("--rows", type=int, help="rows of the batch")
    parser.add_argument("--slack", type=float, default=1.0, help="multiplies limits of time")
    parser.add_argument("--only", action="append", default=[], metavar="WORDS")
    parser.add_argument("--models", type=Path, help="a registry with an active model and others")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the run")
    args = parser.parse_args()
    enter(sys.argv[1:])
    size = dataclasses.replace(QUICK if args.quick else FULL, slack=args.slack)
    if args.rows is not None:
        work = dataclasses.replace(size.work, rows=args.rows)
        size = dataclasses.replace(size, work=work)
    folder = Path(tempfile.mkdtemp(prefix="cpc-"))
    table = Table(_say)
    started = time.monotonic()
    network = Network()
    try:
        registry = args.models or _train(folder / "models")
        _run(folder, registry, Plan(network, table, size, args.only))
    finally:
        network.close()
        if args.keep:
            _say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
        facts = {
            "command": " ".join(["python -m benchmarks.cluster", *sys.argv[1:]]),
            "machine": machine.describe_machine(),
            "versions": machine.versions(),
            "places": "network namespaces" if network.are_isolated else "loopback addresses",
            "size": dataclasses.asdict(size),
            "seconds": round(time.monotonic() - started, 1),
        }
        print(write(args.output, table.lines, facts), flush=True)
    sys.exit(0 if table.is_kept else 1)


def _run(folder: Path, registry: Path, run: Plan) -> None:
    """Carry out the chosen checks, on one cluster and on one with sentinels."""
    for name, checks, with_sentinels in (("one", CHECKS, False), ("three", WITH_SENTINELS, True)):
        if chosen := run.chosen(checks):
            _say("starting the hosts")
            with running_cluster(
                folder / name, registry, run.network, with_sentinels=with_sentinels
            ) as cluster:
                carry_out(Run(cluster, Accounts(cluster), run.table, run.size), chosen)


def _train(folder: Path) -> Path:
    """Two small versions, of which one is active: the guarantees are those of any model."""
    folder.mkdir()
    for _ in range(2):
        version = save_bundle(small_models.train(), folder)
        ModelRegistry(folder).activate(version.id, by="cluster")
    return folder


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    main()

"""Checks of a broker with sentinels: nothing accepted is lost in a failover."""

import time
from collections.abc import Callable

from benchmarks.cluster.run import Run, passes
from tests.conftest import wait_until
from tests.faults.failover_load import posting, unfinished
from tests.redis_cluster import (
    DEADLINE_S,
    SentinelService,
    ask_for_failover,
    demote_by_hand,
    kill_primary,
)

REFUSING_S, END_S, LOAD_S = 10.0, 180.0, 4.0
MORE_JOBS = 20
FAILOVERS: dict[str, Callable[[SentinelService], None]] = {
    "SENTINEL FAILOVER": ask_for_failover,
    "the primary is killed": kill_primary,
    "REPLICAOF without the sentinels": demote_by_hand,
}


def check_failover(run: Run) -> None:
    """Jobs are posted to both APIs while the primary is replaced in each way."""
    brokers = run.cluster.sentinels
    assert brokers is not None
    for name, fail_over in FAILOVERS.items():
        _check(run, brokers, name, fail_over)
    ended = {host.name: host.ended() for host in run.cluster.hosts if host.ended()}
    run.table.add("no process ends in a failover", "none", str(ended or "none"), is_kept=not ended)


def _check(
    run: Run, brokers: SentinelService, name: str, fail_over: Callable[[SentinelService], None]
) -> None:
    wait_until(brokers.replicas_in_step, DEADLINE_S, "replicas in step")
    with posting(*run.cluster.apis) as seen:
        time.sleep(LOAD_S)
        fail_over(brokers)
        accepted = len(seen.accepted)
        wait_until(
            lambda: len(seen.accepted) > accepted + MORE_JOBS, DEADLINE_S, "jobs are accepted"
        )
        time.sleep(LOAD_S)
    limit_s = REFUSING_S * run.size.slack
    run.table.add(
        f"{name}: refusals end",
        f"only 503 with Retry-After, for at most {limit_s:g} s",
        f"{len(seen.refused_at)} x 503 within {seen.refusing_s:.1f} s, {seen.without_retry_after} "
        f"without Retry-After; others: {seen.others[:2] or 'none'}",
        is_kept=seen.refusing_s <= limit_s and not seen.others and not seen.without_retry_after,
    )
    with run.cluster.apis[1].client() as client:
        passes(lambda: not unfinished(client, seen.accepted), END_S)
        lost = unfinished(client, seen.accepted)
    run.table.add(
        f"{name}: no accepted job is lost",
        "0 lost",
        f"{len(lost)} of {len(seen.accepted):,} lost {list(lost.items())[:2] or ''}",
        is_kept=not lost,
    )
    records = run.accounts.records()
    counts = [records[each] for each in seen.accepted]
    run.table.add(
        f"{name}: every answer is recorded",
        "0 missing",
        f"{counts.count(0)} missing; {sum(count > 1 for count in counts)} recorded again, because "
        "their end was not replicated",
        is_kept=0 not in counts,
    )

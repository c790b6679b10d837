"""Throughput and latencies: differences of the totals in metric files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from shared.operations.metric_totals import Totals, read_totals
from shared.operations.traffic import KEPT_S, TrafficRing, quantile

WRITER = """
from shared.metrics import BATCH_ROWS, CACHE_HITS, CACHE_MISSES, observe_http, observe_valuations
observe_http("POST", "/predict", 200, 0.004, 0.004, 0.3)
observe_http("GET", "/jobs", 503, 0.02)
observe_valuations([100_000.0, 200_000.0])
CACHE_HITS.inc(3)
CACHE_MISSES.inc()
BATCH_ROWS.labels(outcome="valued").inc(40)
BATCH_ROWS.labels(outcome="rejected").inc(2)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Metric files of two processes."""
    path = tmp_path_factory.mktemp("metrics")
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", WRITER], env=env, check=True)
    return path


def test_the_totals_are_those_of_all_processes(folder: Path) -> None:
    found = read_totals(folder)
    assert dict(found.counts) == {
        "requests": 8, "errors": 2, "valuations": 4, "cache_hits": 6, "cache_misses": 2, "rows": 84,
    }  # fmt: skip
    assert dict(found.requests) == {"/predict": 6, "/jobs": 2}
    predict = {bound: count for bound, count in found.durations["/predict"].items() if count}
    assert predict == {0.005: 4, 0.5: 2}


def test_damaged_and_missing_files_count_nothing(folder: Path, tmp_path: Path) -> None:
    assert read_totals(tmp_path / "missing").counts["requests"] == 0
    for path in folder.glob("*.db"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "counter_99.db").write_bytes(b"\xff" * 64)
    (tmp_path / "histogram_99.db").write_bytes(b"")
    for number, key in enumerate(("garbage", '[1, "http_requests_total", {}, ""]', "5")):
        damaged = MmapedDict(str(tmp_path / f"counter_{100 + number}.db"))
        damaged.write_value(key, 1.0, 0.0)
    assert read_totals(tmp_path).counts["requests"] == 8


def totals(requests: int, buckets: dict[float, float] | None = None, **counts: int) -> Totals:
    names = ("errors", "valuations", "cache_hits", "cache_misses", "rows")
    everything = dict.fromkeys(names, 0) | counts | {"requests": requests}
    return Totals(everything, {"/predict": requests}, {"/predict": buckets or {}})


def test_rates_are_those_of_the_last_five_minutes() -> None:
    ring = TrafficRing()
    ring.add(0.0, totals(0))
    assert ring.traffic() is None
    ring.add(100.0, totals(1_000, {0.01: 900, 0.1: 100}, cache_hits=30, cache_misses=10))
    found = ring.traffic()
    assert found is not None
    assert (found.requests_per_s, found.span_s, found.cache_hit_ratio) == (10.0, 100.0, 0.75)
    assert found.p50_s == pytest.approx(0.0056, abs=1e-4)
    assert found.p95_s == pytest.approx(0.055)
    assert [point.per_s for point in found.points] == [10.0]
    # What was before the window does not count any more.
    ring.add(390.0, totals(1_000, {0.01: 900, 0.1: 100}, cache_hits=30, cache_misses=10))
    later = ring.traffic()
    assert later is not None
    assert (later.requests_per_s, later.cache_hit_ratio, later.p95_s) == (0.0, None, None)


def test_a_service_that_was_started_again_counts_from_zero() -> None:
    ring = TrafficRing()
    ring.add(0.0, totals(500, rows=90))
    ring.add(10.0, totals(20, rows=100))
    found = ring.traffic()
    assert found is not None
    assert (found.requests_per_s, found.rows_per_s) == (2.0, 1.0)


def test_old_samples_are_forgotten() -> None:
    ring = TrafficRing()
    for second in range(0, 2 * int(KEPT_S), 2):
        ring.add(float(second), totals(second))
    found = ring.traffic()
    assert found is not None
    assert len(found.points) <= KEPT_S / 10
    assert {point.per_s for point in found.points} == {1.0}
    assert found.points[0].ago_s > found.points[-1].ago_s == 0.0


def test_a_long_gap_is_a_difference_too() -> None:
    ring = TrafficRing()
    ring.add(0.0, totals(0))
    ring.add(800.0, totals(80))
    found = ring.traffic()
    assert found is not None
    assert (found.span_s, found.requests_per_s) == (800.0, 0.1)


def test_quantiles_lie_inside_their_bucket() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({0.1: 0, float("inf"): 0}, 0.5) is None
    assert quantile({0.1: 5, 0.2: 5}, 0.75) == pytest.approx(0.15)
    assert quantile({0.1: 10}, 1.0) == pytest.approx(0.1)
    assert quantile({0.1: 1, 30.0: 0, float("inf"): 9}, 0.95) == 30.0

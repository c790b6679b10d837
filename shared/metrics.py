"""Every Prometheus metric of the service. Labels are bounded: routes, states, outcomes, queues.

With `PROMETHEUS_MULTIPROC_DIR` in the environment before Python starts, all processes of a host
write to that folder (`shared/metric_files.py`), and each of them can expose the metrics of all.
"""

import collections
import dataclasses
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from prometheus_client import REGISTRY as PROCESS_REGISTRY
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from shared.metric_files import FOLDER_VARIABLE, share_metrics
from shared.process_figures import HOME_VARIABLE
from shared.process_metrics import ProcessCollector

share_metrics()

LATENCY_BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
PRICE_BUCKETS_MAD = (10_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000, 10_000_000)
ERROR_BUCKETS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
RATIO_BUCKETS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.02, 1.05, 1.1, 1.2, 1.3, 1.5, 2.0)
GROUP_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)

HTTP_REQUESTS = Counter(
    "http_requests_total", "HTTP requests answered.", ["method", "endpoint", "status"]
)
HTTP_DURATION = Histogram(
    "http_request_duration_seconds",
    "Time to answer an HTTP request.",
    ["method", "endpoint"],
    buckets=LATENCY_BUCKETS_S,
)
PREDICTIONS = Counter(
    "predictions_total", "Valuations answered, one per car; status success or error.", ["status"]
)
_VALUATIONS = PREDICTIONS.labels(status="success")
PREDICTED_PRICES = Histogram(
    "predicted_prices_mad", "Estimated prices in MAD.", buckets=PRICE_BUCKETS_MAD
)
CACHE_HITS = Counter("cache_hits_total", "Valuations answered from the result cache.")
CACHE_MISSES = Counter("cache_misses_total", "Valuations not found in the result cache.")
CACHE_FAILURES = Counter("cache_failures_total", "Failed calls to the cache.", ["operation"])
QUEUE_WAIT = Histogram(
    "queue_wait_seconds",
    "Time from submission to the start of the work.",
    ["queue"],
    buckets=LATENCY_BUCKETS_S,
)
DISPATCH_GROUP = Histogram(
    "dispatch_group_cars",
    "Waiting requests that travelled in one queue message.",
    buckets=GROUP_BUCKETS,
)
DISPATCH_LATE_REPLIES = Counter(
    "dispatch_late_replies_total", "Replies for a request that no longer waited.", ["outcome"]
)
INFERENCE = Histogram(
    "inference_seconds",
    "Time to estimate one group or chunk.",
    ["queue"],
    buckets=LATENCY_BUCKETS_S,
)
CONNECTIONS_CLOSED = Counter(
    "idle_connections_closed_total",
    "Idle connections that were closed to make room for new ones.",
)
JOBS = Counter("jobs_total", "Jobs that ended, by state.", ["state"])
JOBS_RESENT = Counter("jobs_resent_total", "Jobs sent again after their lease ran out.")
JOBS_POSTPONED = Counter(
    "jobs_postponed_total", "Attempts of jobs that wait for the audit log, a disk or a model."
)
DEAD_LETTERS = Counter(
    "dead_letters_total", "Work that failed the maximum number of times.", ["kind"]
)
OWNERS_LOST = Counter(
    "owners_lost_total", "Worker processes that died or hung, found by their missing heartbeat."
)
RECORDS_UNREADABLE = Counter(
    "records_unreadable_total",
    "Stored records that this version cannot read: a newer one wrote them, or they are damaged.",
    ["record"],
)
# These series exist from the start: an alert sees the first event as an increase.
for _kind in ("job", "step"):
    DEAD_LETTERS.labels(kind=_kind)
for _record in ("job", "batch", "request", "reply", "webhook"):
    RECORDS_UNREADABLE.labels(record=_record)
BROKER_REFUSALS = Counter(
    "broker_full_total",
    "Requests refused because the rest of the broker's memory is reserved for accepted work.",
)
WEBHOOK_ATTEMPTS = Counter(
    "webhook_attempts_total",
    "Attempts to send a webhook, by outcome; `docs/webhooks.md` lists them.",
    ["outcome"],
)
WEBHOOKS = Counter(
    "webhooks_total",
    "Webhooks that need no further attempt, by result: delivered, gone (410), given-up; dropped: "
    "not kept any longer, because too many were given up.",
    ["result"],
)
WEBHOOK_SECONDS = Histogram(
    "webhook_seconds", "Time of one attempt to send a webhook.", buckets=LATENCY_BUCKETS_S
)
for _result in ("delivered", "gone", "given-up", "dropped"):
    WEBHOOKS.labels(result=_result)
BATCH_ROWS = Counter(
    "batch_rows_total",
    "Rows of batches, by outcome: valued, validated, rejected, failed.",
    ["outcome"],
)
BATCH_CHUNKS = Counter(
    "batch_chunks_total",
    "Chunks of batches, by outcome: done, repeated, resent, dead.",
    ["outcome"],
)
for _outcome in ("done", "repeated", "resent", "dead"):
    BATCH_CHUNKS.labels(outcome=_outcome)
BATCH_STEPS_PAUSED = Counter(
    "batch_steps_paused_total",
    "Steps of batches put off because the store, the disk or the audit log failed.",
)
BATCHES = Counter("batches_total", "Batches that ended, by state.", ["state"])
AUDIT_RECORDS = Counter("audit_records_total", "Audit records written.")
AUDIT_FAILURES = Counter("audit_write_failures_total", "Audit writes that failed.")
AUDIT_CHECKPOINT_FAILURES = Counter(
    "audit_checkpoint_failures_total", "Checkpoints of the audit log that could not be written."
)
MODEL_RELOADS = Counter("model_reloads_total", "Model reloads of workers.", ["outcome"])
for _outcome in ("success", "failure"):
    MODEL_RELOADS.labels(outcome=_outcome)


KEY_REQUESTS = Counter("key_requests_total", "Requests by the id of their API key.", ["key"])
KEY_REFUSALS = Counter(
    "key_limited_requests_total",
    "Requests refused by a limit of their API key, by key and limit.",
    ["key", "limit"],
)
MAX_KEY_LABELS = 1000
OTHER_KEYS = "other"
_labelled_keys: set[str] = set()


OUTCOMES = Counter(
    "outcomes_total",
    "Sales reported for a valuation, by what they changed: new, repeated, correction.",
    ["model_version", "kind"],
)
OUTCOME_ERROR = Histogram(
    "outcome_absolute_error_ratio",
    "Absolute error of the estimate as a share of the sale price; first reports only.",
    ["model_version"],
    buckets=ERROR_BUCKETS,
)
OUTCOME_RATIO = Histogram(
    "outcome_price_ratio",
    "Sale price over estimate; first reports only.",
    ["model_version"],
    buckets=RATIO_BUCKETS,
)
OUTCOME_INSIDE = Counter(
    "outcome_inside_interval_total",
    "Sales by whether the price lay in the 90 % interval; first reports only.",
    ["model_version", "inside"],
)


MODEL_ROLLBACKS = Counter(
    "model_automatic_rollbacks_total",
    "Versions that were rolled back because of their errors on reported sales.",
)
MODEL_WORSE = Counter(
    "model_worse_on_sales_total",
    "Measurements in which the active version was worse on reported sales and stayed active.",
)
RETRAININGS = Counter(
    "retrainings_total",
    "Scheduled retrainings, by decision: activated, kept, unchanged, failed.",
    ["decision"],
)
MODEL_WATCH_FAILURES = Counter(
    "model_watch_failures_total",
    "Failed measurements of the active model, by part: drift, sales, rollback.",
    ["part"],
)
for _decision in ("activated", "kept", "unchanged", "failed"):
    RETRAININGS.labels(decision=_decision)
for _part in ("drift", "sales", "rollback"):
    MODEL_WATCH_FAILURES.labels(part=_part)


SHADOW_VALUATIONS = Counter(
    "shadow_valuations_total",
    "Cars that the shadow version was tried on, by outcome: success, failure, dropped.",
    ["version", "outcome"],
)
SHADOW_RATIO = Histogram(
    "shadow_price_ratio",
    "Price of the shadow version over the answered one.",
    ["version"],
    buckets=RATIO_BUCKETS,
)
SHADOW_OVERLAP = Histogram(
    "shadow_interval_overlap",
    "Shared part of both 90 % intervals, 0 to 1.",
    ["version"],
    buckets=(0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0),
)
SHADOW_SECONDS = Histogram(
    "shadow_seconds", "Time of one trial of the shadow.", ["version"], buckets=LATENCY_BUCKETS_S
)


class PriceHistogram(NamedTuple):
    """Many prices, counted for the histogram of prices."""

    counts: Sequence[int]
    """Prices per bucket; the last bucket is above all bounds."""
    sum_mad: float

    @classmethod
    def of(cls, prices_mad: Sequence[float]) -> "PriceHistogram":
        """Count prices; a bound belongs to the bucket below it."""
        ordered = sorted(prices_mad)
        ends = [bisect_right(ordered, bound) for bound in PRICE_BUCKETS_MAD]
        counts = [end - start for start, end in pairwise((0, *ends, len(ordered)))]
        return cls(counts, float(sum(ordered)))


def observe_http(method: str, endpoint: str, status: int, *took_s: float) -> None:
    """Count and time responses of one kind."""
    requests, duration = _http_series(method, endpoint, status)
    requests.inc(len(took_s))
    _observe_all(duration, took_s)


@lru_cache(maxsize=1024)
def _http_series(method: str, endpoint: str, status: int) -> tuple[Counter, Histogram]:
    """The series of one kind of response; a look-up by labels costs as much as the count."""
    return HTTP_REQUESTS.labels(method, endpoint, status), HTTP_DURATION.labels(method, endpoint)


def count_key_requests(key_id: str, count: int) -> None:
    """Count requests of a key; from `MAX_KEY_LABELS` keys on, further ones are counted together."""
    KEY_REQUESTS.labels(_key_label(key_id)).inc(count)


def count_key_refusal(key_id: str, limit: str) -> None:
    """Count a request that a limit of its key refused."""
    KEY_REFUSALS.labels(_key_label(key_id), limit).inc()


def _key_label(key_id: str) -> str:
    if key_id not in _labelled_keys:
        if len(_labelled_keys) >= MAX_KEY_LABELS:
            return OTHER_KEYS
        _labelled_keys.add(key_id)
    return key_id


def observe_valuations(prices_mad: Sequence[float]) -> None:
    """Count answered valuations and their prices."""
    _VALUATIONS.inc(len(prices_mad))
    _observe_all(PREDICTED_PRICES, prices_mad)


def _observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """Observe many values with one write per bucket."""
    bounds, buckets = histogram._upper_bounds, histogram._buckets  # noqa: SLF001
    histogram._sum.inc(sum(values))  # noqa: SLF001
    for index, count in collections.Counter(bisect_left(bounds, one) for one in values).items():
        buckets[index].inc(count)


def observe_price_histogram(histogram: PriceHistogram) -> None:
    """Count the valuations of a histogram, with one write per bucket."""
    _VALUATIONS.inc(sum(histogram.counts))
    # The library can observe single values only.
    buckets = PREDICTED_PRICES._buckets  # noqa: SLF001
    for bucket, count in zip(buckets, histogram.counts, strict=True):
        if count:
            bucket.inc(count)
    PREDICTED_PRICES._sum.inc(histogram.sum_mad)  # noqa: SLF001


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ServiceSnapshot:
    """The state of the service; None where it could not be read."""

    model_version: str | None
    model_trained_on: str
    cached_estimates: int | None
    queue_messages: Mapping[str, int]
    queue_oldest_age_s: Mapping[str, float]
    workers: Mapping[str, int]
    checks: Mapping[tuple[str, bool], bool]
    """Whether each readiness check succeeds, by its name and whether it is required."""
    data_age_months: int | None = None
    drift_cars: int | None = None
    """Cars of the last week; None: not measured."""
    drift_psi: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """By field."""
    drift_psi_given: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """By field, among the cars that state it."""
    sale_errors: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Median error on reported sales, by version."""
    sale_reports: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Number of them, by version."""
    webhooks: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """`WebhookFigures` by their names."""
    callers_waiting: int | None = None
    """Requests for single cars that wait in the process that is asked."""
    backlog_rows: int | None = None
    """Rows of open batches that are not done."""
    oldest_open_batch_s: float | None = None
    """Age of the oldest open batch, seconds; 0 without any."""


class SnapshotCollector(Collector):
    """Gauges that are read at each scrape, without state between processes."""

    def __init__(self, snapshot: ServiceSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """The gauges of the snapshot."""
        state, version = self._snapshot, self._snapshot.model_version
        loaded = float(version is not None)
        yield GaugeMetricFamily(
            "model_loaded", "1 while a model version is active, 0 otherwise.", value=loaded
        )
        labels = ["version", "trained_date"]
        info = GaugeMetricFamily(
            "model_version_info", "1 for the active model version.", None, labels
        )
        if version is not None:
            info.add_metric([version, state.model_trained_on], 1)
        yield info
        if (cached := state.cached_estimates) is not None:
            yield GaugeMetricFamily(
                "cache_size_predictions", "Estimates in the result cache.", value=cached
            )
        age = "Age of the oldest message that waits."
        for name, meaning, values in (
            ("queue_messages", "Messages that wait.", state.queue_messages),
            ("queue_oldest_message_age_seconds", age, state.queue_oldest_age_s),
            ("workers_up", "Workers with a recent heartbeat.", state.workers),
        ):
            family = GaugeMetricFamily(name, meaning, labels=["queue"])
            for queue, value in values.items():
                family.add_metric([queue], value)
            yield family
        yield from self._work_figures()
        yield from self._model_figures()
        yield from self._webhook_figures()
        checks = GaugeMetricFamily(
            "readiness_check_ok",
            "1 if a check of /readyz succeeds, 0 otherwise.",
            labels=["check", "required"],
        )
        for (name, is_required), is_ok in state.checks.items():
            checks.add_metric([name, "yes" if is_required else "no"], float(is_ok))
        yield checks

    def _work_figures(self) -> Iterator[Metric]:
        """The gauges by which the number of processes can follow the work."""
        state = self._snapshot
        callers = "Requests for single cars that wait for a worker; of the API that is asked."
        oldest = "Age of the oldest batch that has not ended; 0 without any."
        for name, meaning, value in (
            ("carprice_callers_waiting", callers, state.callers_waiting),
            ("carprice_backlog_rows", "Rows of open batches not yet done.", state.backlog_rows),
            ("carprice_oldest_open_batch_seconds", oldest, state.oldest_open_batch_s),
        ):
            family = GaugeMetricFamily(name, meaning, labels=[])
            if value is not None:
                family.add_metric([], value)
            yield family

    def _webhook_figures(self) -> Iterator[Metric]:
        """The gauges of webhooks."""
        age = "Age of the oldest webhook that is neither delivered nor given up."
        delay = "Age of the oldest end that the process `webhooks` has not taken in."
        for name, meaning, figure in (
            ("webhooks_pending", "Webhooks neither delivered nor given up.", "pending"),
            ("webhooks_given_up", "Webhooks that were given up in the last week.", "failed"),
            ("webhooks_oldest_pending_age_seconds", age, "oldest_pending_s"),
            ("webhooks_intake_delay_seconds", delay, "intake_delay_s"),
        ):
            family = GaugeMetricFamily(name, meaning, labels=[])
            if figure in self._snapshot.webhooks:
                family.add_metric([], self._snapshot.webhooks[figure])
            yield family

    def _model_figures(self) -> Iterator[Metric]:
        """The gauges of drift, age of the data and errors on sales."""
        state = self._snapshot
        age = "Months since the month whose prices the active version quotes."
        cars = "Different cars of the last week that were compared with the training data."
        for name, meaning, value in (
            ("model_data_age_months", age, state.data_age_months),
            ("drift_cars", cars, state.drift_cars),
        ):
            single = GaugeMetricFamily(name, meaning, labels=[])
            if value is not None:
                single.add_metric([], value)
            yield single
        psi = "PSI of a field against the training data; missing with too few cars."
        given = "As drift_psi, among the cars that state the field."
        error = "Median absolute error on reported sales, as a share of the sale price."
        for name, meaning, label, values in (
            ("drift_psi", psi, "field", state.drift_psi),
            ("drift_given_psi", given, "field", state.drift_psi_given),
            ("sales_median_error_ratio", error, "model_version", state.sale_errors),
            ("sales_reported", "Reported sales.", "model_version", state.sale_reports),
        ):
            family = GaugeMetricFamily(name, meaning, labels=[label])
            for key, number in values.items():
                family.add_metric([key], number)
            yield family


def host_registry() -> CollectorRegistry:
    """The metrics of all processes of this host, or of this process alone."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder or not Path(folder).is_dir():
        return PROCESS_REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    if home := os.environ.get(HOME_VARIABLE):
        registry.register(_process_collector(home))
    return registry


@cache
def _process_collector(home: str) -> ProcessCollector:
    """One for all scrapes: it remembers which processes of the machine are others'."""
    return ProcessCollector(home)


def exposition(snapshot: ServiceSnapshot) -> bytes:
    """The text for Prometheus: all processes of this host, then the snapshot."""
    return generate_latest(host_registry()) + generate_latest(snapshot_registry(snapshot))


def snapshot_registry(snapshot: ServiceSnapshot) -> CollectorRegistry:
    """The gauges of a snapshot."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(snapshot))
    return registry

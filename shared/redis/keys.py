"""Every key in Redis, the cache key of an estimate included."""

import hashlib
from collections.abc import Sequence

from shared.domain.car import CarFeatures
from shared.domain.valuation import Extra

PREFIX = "carprice:1:"
"""Holds the version of the layout."""

ESTIMATE_SCHEMA = 2
"""Version of the stored form of estimates, so that no process reads another form."""


def job(job_id: str) -> str:
    """Hash of one job."""
    return f"{PREFIX}job:{job_id}"


def job_tombstone(job_id: str) -> str:
    """Outlives the job: its caller, so that "expired" and "never existed" differ."""
    return f"{PREFIX}job-seen:{job_id}"


OPEN_JOBS = f"{PREFIX}jobs:open"
"""Sorted set of the jobs that have not ended, by the time their lease expires."""

JOB_ORDER = f"{PREFIX}jobs:order"
"""Sorted set of the jobs that have not ended, by the time they were accepted."""

JOB_CHANNEL = f"{PREFIX}jobs:ended"
"""Channel on which the ids of ended jobs and batches are published."""

PROGRESS_CHANNEL = f"{PREFIX}jobs:progress"
"""Channel on which the ids of jobs and batches are published whose progress has changed."""


def jobs_by_caller(caller: str) -> str:
    """Sorted set of the jobs of one caller, by id and so by time; all scores are 0."""
    return f"{PREFIX}jobs-of:{caller}"


def batches_by_caller(caller: str) -> str:
    """As `jobs_by_caller`, of batches."""
    return f"{PREFIX}batches-of:{caller}"


def batch_export(batch_id: str, form: str) -> str:
    """Exists while another format of a batch's results is queued or being written."""
    return f"{PREFIX}batch-form:{batch_id}:{form}"


def reply_list(process_id: str) -> str:
    """List on which one API process receives the workers' replies."""
    return f"{PREFIX}reply:{process_id}"


def estimate(model_version: str, car: CarFeatures, extras: Sequence[Extra]) -> str:
    """Cached estimate of one car, with its extras, by one model version.

    Cars that are equal in normal form share a key, however they were spelled.
    """
    text = f"{ESTIMATE_SCHEMA}\x1f{car.canonical()}\x1f{','.join(sorted(extras))}"
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{PREFIX}estimate:{model_version}:{digest}"


def idempotency(caller: str, key: str) -> str:
    """What was answered to a caller's Idempotency-Key."""
    return f"{PREFIX}idempotency:{caller}:{key}"


def batch(batch_id: str) -> str:
    """Hash of one batch: state and counters."""
    return f"{PREFIX}batch:{batch_id}"


def batch_chunks(batch_id: str) -> str:
    """Set of the chunks of a batch that are done."""
    return f"{PREFIX}batch-chunks:{batch_id}"


def batch_leases(batch_id: str) -> str:
    """Sorted set of the steps of a batch that are under way, by the end of their lease."""
    return f"{PREFIX}batch-leases:{batch_id}"


def batch_attempts(batch_id: str) -> str:
    """Hash of how often each step of a batch was started, and sent again without a result."""
    return f"{PREFIX}batch-tries:{batch_id}"


OPEN_BATCHES = f"{PREFIX}batches:open"
"""Sorted set of the batches that have not ended, by the time they were accepted."""

BATCH_SCAN_MARKER = f"{PREFIX}batches:scanned"
"""Exists for a while after the blobs were scanned; missing after Redis has lost its data."""

WORKERS = f"{PREFIX}workers"
"""Sorted set of the worker processes by the time of their last heartbeat."""


def audit_claim(message_id: str) -> str:
    """Hash of a message: when a worker first and last claimed its audit records, and `done`."""
    return f"{PREFIX}audit-claim:{message_id}"


def completions(window: int) -> str:
    """Counter of the jobs that ended in one time window, for the estimate of the waiting time."""
    return f"{PREFIX}completions:{window}"

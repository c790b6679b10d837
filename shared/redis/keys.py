"""Every key in Redis, in one place. The prefix holds the layout's version."""

PREFIX = "carprice:1:"


def job(job_id: str) -> str:
    """Hash of one job."""
    return f"{PREFIX}job:{job_id}"


def job_tombstone(job_id: str) -> str:
    """Outlives the job: its caller, so that "expired" and "never existed" differ."""
    return f"{PREFIX}job-seen:{job_id}"


OPEN_JOBS = f"{PREFIX}jobs:open"
"""Sorted set of the jobs that have not ended, by the time their lease runs out."""

JOB_ORDER = f"{PREFIX}jobs:order"
"""Sorted set of the jobs that have not ended, by the time they were accepted."""

JOB_CHANNEL = f"{PREFIX}jobs:ended"
"""Channel on which the ids of ended jobs and batches are published."""

PROGRESS_CHANNEL = f"{PREFIX}jobs:progress"
"""Channel on which the ids of jobs and batches are published that have got on."""


def jobs_by_caller(caller: str) -> str:
    """Sorted set of the jobs of one caller, by id and so by time; all scores are 0."""
    return f"{PREFIX}jobs-of:{caller}"


def batches_by_caller(caller: str) -> str:
    """As `jobs_by_caller`, of batches."""
    return f"{PREFIX}batches-of:{caller}"


def batch_export(batch_id: str, form: str) -> str:
    """Stands while a derived form of a batch's results is ordered or being made."""
    return f"{PREFIX}batch-form:{batch_id}:{form}"


def reply_list(process_id: str) -> str:
    """List on which one API process receives the workers' replies."""
    return f"{PREFIX}reply:{process_id}"


def estimate(model_version: str, digest: str) -> str:
    """Cached estimate of one car by one model version."""
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
    """Hash of how often each step of a batch was begun, and sent again in vain."""
    return f"{PREFIX}batch-tries:{batch_id}"


OPEN_BATCHES = f"{PREFIX}batches:open"
"""Sorted set of the batches that have not ended, by the time they were accepted."""

BATCH_SCAN_MARKER = f"{PREFIX}batches:scanned"
"""Stands while the blobs were looked through not long ago; gone with a lost memory."""

WORKERS = f"{PREFIX}workers"
"""Sorted set of the worker processes by the time of their last sign of life."""


def audit_claim(message_id: str) -> str:
    """Hash: who records the answers of a message, since when, and whether it is done."""
    return f"{PREFIX}audit-claim:{message_id}"


def completions(window: int) -> str:
    """Counter of the jobs that ended in one window of time, for the estimate of the wait."""
    return f"{PREFIX}completions:{window}"

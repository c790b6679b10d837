"""Every key in Redis, the cache key of an estimate included."""

import hashlib
import os
from collections.abc import Sequence

from shared.domain.car import CarFeatures
from shared.domain.valuation import Extra

NAMESPACE = os.environ.get("REDIS_PREFIX", "").strip()
"""First part of the names of all keys, queues and channels, so that several installations can share
a server. A constant of the process, because scripts and formats of keys contain it."""

PREFIX = f"{NAMESPACE}carprice:1:"
"""Holds the version of the layout."""

ESTIMATE_SCHEMA = 5
"""Version of the stored form of estimates, so that no process reads another form."""


def queue(name: str) -> str:
    """List of the messages of a Celery queue."""
    return f"{NAMESPACE}{name}"


job = (PREFIX + "job:{}").format
"""Hash of one job."""

job_tombstone = (PREFIX + "job-seen:{}").format
"""The job's caller; kept longer than the job, so that "expired" and "never existed" differ. After
the caller has deleted the job, `DELETED_MARK` follows."""

DELETED_MARK = "\0deleted"


OPEN_JOBS = f"{PREFIX}jobs:open"
"""Sorted set of the jobs that have not ended, by the time their lease expires."""

JOB_ORDER = f"{PREFIX}jobs:order"
"""Sorted set of the jobs that have not ended, by the time they were accepted."""

OPEN_USAGE = f"{PREFIX}jobs:open-usage"
"""Hash of what the open jobs take up: `need`, bytes that ending all of them may take; by caller
`n:`, `m:` and `d:`, their number, bytes in Redis with those needed, and bytes in the blob store."""

ended_usage = (PREFIX + "jobs-kept-of:{}").format
"""Hash of what a caller's ended jobs take up: `m:` and `d:` as in `OPEN_USAGE`, and `t:`, bytes of
the tombstones of deleted jobs, by the Unix time until which they count."""

USAGE_RECOUNT_MARKER = f"{PREFIX}jobs:recounted"
"""Exists for a while after the usage of the open jobs was counted again."""

PAYLOAD_SCAN_MARKER = f"{PREFIX}jobs:payloads-scanned"
"""Exists for a while after the payloads of jobs in the blob store were scanned."""

ESTIMATE_SCAN_MARKER = f"{PREFIX}estimates:scanned"
"""Exists for a while after the kept estimates were scanned for expired ones."""

ENDED_QUEUE = f"{PREFIX}jobs:ended-ids"
"""List of the jobs that have ended and go into a segment, in the order of their ends."""

SEGMENTS = f"{PREFIX}job-segments"
"""Hash of the segments of ended jobs, by id: `shared.blobs.ended_jobs.segments.Segment`, packed."""

SEGMENTS_BY_TIME = f"{PREFIX}job-segments:by-time"
"""Sorted set of the segments by the time of their largest id."""

SEGMENTS_DUE = f"{PREFIX}job-segments:due"
"""Sorted set of the segments by the time at which something of them is to be deleted."""

segments_of = (PREFIX + "job-segments-of:{}").format
"""As `SEGMENTS_BY_TIME`, of those with jobs of one caller."""

SEGMENT_DELETIONS = f"{PREFIX}job-segments:deletions"
"""Set of the jobs that are to be removed from a segment: its id, a blank, id of the job."""

SEGMENT_PENDING = f"{PREFIX}job-segments:pending"
"""The segment that is being written, or whose jobs are being removed from Redis."""

SEGMENT_LEASE = f"{PREFIX}job-segments:lease"
"""Who may write segments; expires."""

SEGMENT_SCAN_MARKER = f"{PREFIX}job-segments:scanned"
"""Exists for a while after the segments in the blob store were compared with those here."""

SEGMENTS_KNOWN = f"{PREFIX}job-segments:known"
"""Exists since all segments in the blob store were entered; missing after Redis lost its data."""

ENDED_CHANNEL = f"{PREFIX}jobs:ended"
"""Channel on which the ids of ended batches are published, and those of jobs that an API stored
which does not know `ENDED_JOBS_CHANNEL`."""

ENDED_JOBS_CHANNEL = f"{PREFIX}jobs:ends"
"""Channel on which ended jobs are published with their results; see `job_store.endings`."""

PROGRESS_CHANNEL = f"{PREFIX}jobs:progress"
"""Channel on which the ids of jobs, joined by commas, or that of a batch are published when their
progress has changed."""

jobs_by_caller = (PREFIX + "jobs-of:{}").format
"""Sorted set of the jobs of one caller, by id and so by time; all scores are 0."""

batches_by_caller = (PREFIX + "batches-of:{}").format
"""As `jobs_by_caller`, of batches."""


batch_bytes_of = (PREFIX + "batch-bytes-of:{}").format
"""Hash of what the batches of one caller take up in the blob store, bytes, by their ids."""


def batch_export(batch_id: str, name: str) -> str:
    """Exists while an export of a batch, by the name of its file, is queued or being written."""
    return f"{PREFIX}batch-form:{batch_id}:{name}"


reply_list = (PREFIX + "reply:{}").format
"""List on which one API process receives the workers' replies."""


def estimate(model_version: str, car: CarFeatures, extras: Sequence[Extra], month: int) -> str:
    """Cached estimate of one car, with its extras, by one model version, for one month.

    Cars that are equal in normal form share a key, however they were spelled. Intervals widen with
    the age of the data, so an estimate of last month is not this month's.

    Args:
        model_version: the version.
        car: the car.
        extras: what was asked for in addition to the price.
        month: for which the estimate holds, see `Estimate.month`.
    """
    text = f"{ESTIMATE_SCHEMA}\x1f{car.canonical()}\x1f{','.join(sorted(extras))}\x1f{month}"
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{PREFIX}estimate:{model_version}:{digest}"


def idempotency(caller: str, key: str) -> str:
    """Digest of the body and id of the first request with a caller's Idempotency-Key."""
    return f"{PREFIX}idempotency:{caller}:{key}"


batch = (PREFIX + "batch:{}").format
"""Hash of one batch: state and counters."""

batch_chunks = (PREFIX + "batch-chunks:{}").format
"""Set of the chunks of a batch that are done."""

batch_leases = (PREFIX + "batch-leases:{}").format
"""Sorted set of the steps of a batch that are under way, by the end of their lease."""

batch_attempts = (PREFIX + "batch-tries:{}").format
"""Hash of how often each step of a batch was started, and sent again without a result."""


LOST_WORK = f"{PREFIX}lost-work"
"""What the last sweep found without a message, and when; see `shared.queue.lost_work`."""

OPEN_BATCHES = f"{PREFIX}batches:open"
"""Sorted set of the batches that have not ended, by the time they were accepted."""

BATCH_SCAN_MARKER = f"{PREFIX}batches:scanned"
"""Exists for a while after the blobs were scanned; missing after Redis has lost its data."""

RETAINED_BATCHES = f"{PREFIX}batches:retained"
"""Hash of what is known about ended batches; see `shared.redis.batch_ledger.retained`."""

BATCH_SCAN_PLACE = f"{PREFIX}batches:scan-place"
"""The last batch that a scan has looked at; missing while none is under way."""

BATCH_SCAN_LOCK = f"{PREFIX}batches:scan-lock"
"""Exists while a process goes on with the scan."""

WORKERS = f"{PREFIX}workers"
"""Sorted set of the worker processes by the time of their last heartbeat."""

SERVING_PROCESSES = f"{PREFIX}serving"
"""Set of the processes that report which model version they serve; ended ones may be in it."""

serving = (PREFIX + "serving:{}").format
"""Model version that one process serves; expires when it reports no more."""

model_trials = (PREFIX + "model-trials:{}").format
"""Results of the trials of versions in one worker process, as JSON; expires as `serving`."""

MODEL_TRIAL = f"{PREFIX}model-trial"
"""Version that workers are asked to load, because it is about to be activated; expires."""

MODEL_FIGURES = f"{PREFIX}model-figures"
"""Figures about the active model, as JSON; expires."""

WRITE_PROBE = f"{PREFIX}write-probe"
"""Written by the readiness checks; nothing reads it."""

OWNERS = f"{PREFIX}owners"
"""Sorted set of the processes that hold work, by the broker's time of their last heartbeat."""

OWNER_WORK = f"{PREFIX}owner-work"
"""Hash of what each owner carries out under a claim: the message and the time of the claim."""

owner_channel = (PREFIX + "owner:{}").format
"""Channel to which an owner is subscribed while it lives; nothing is published on it."""

popped = (PREFIX + "popped:{}").format
"""List of the last messages that an owner took from its queue, newest first."""

unacked = (PREFIX + "unacked:{}").format
"""Kombu's hash of the messages that an owner has taken and not acknowledged."""

unacked_index = (PREFIX + "unacked-index:{}").format
"""Kombu's sorted set of the tags in `unacked`, by the time at which they were taken."""

DEAD_LETTERS = f"{PREFIX}dead-letters"
"""Sorted set of the dead letters by the time at which the work was given up."""

dead_letter = (PREFIX + "dead-letter:{}").format
"""Hash of one dead letter."""

batch_failures = (PREFIX + "batch-failures:{}").format
"""Hash of the kind of the last failure of each step of a batch."""

audit_claim = (PREFIX + "audit-claim:{}").format
"""Hash of a message: when a worker first and last claimed its audit records, who, and `done`."""

AUDIT_HOSTS = f"{PREFIX}audit-hosts"
"""Set of the ids of the hosts that have an audit log, while several hosts share state."""

audit_host = (PREFIX + "audit-host:{}").format
"""Exists while a host answers questions about its audit log."""

audit_questions = (PREFIX + "audit-questions:{}").format
"""List of the questions to a host."""

audit_answers = (PREFIX + "audit-answers:{}").format
"""List of the answers to a question."""

audit_segments = (PREFIX + "audit-segments:{}").format
"""Hash of a batch: by chunk, the host that records it, and whether it has."""

completions = (PREFIX + "completions:{}").format
"""Counter of the jobs that ended in one time window, for the estimate of the waiting time."""


rate_bucket = (PREFIX + "rate:{}").format
"""Hash of the token buckets of one API key."""

batch_quota = (PREFIX + "batch-quota:{}").format
"""Hash of a batch whose rows its key pays: `key`, its cars `per_day`, the cars `paid` so far."""

fair_queue = (PREFIX + "fair:{}:").format
"""Prefix of the keys of a fair queue; `fair_queue_scripts` names them."""


def fair_waiting(name: str) -> str:
    """Sorted set of the jobs and steps that wait in a fair queue, by the time they were entered."""
    return f"{fair_queue(name)}members"


CALLER_WEIGHTS = f"{PREFIX}fair:weights"
"""Hash of the weights of callers in fair queues; a caller that is missing has weight 1."""

ENDED_WITH_CALLBACK = f"{PREFIX}webhooks:ended"
"""List of the ends of jobs and batches with a callback, oldest first; the scripts that end them
add to it, the sender takes from it."""

WEBHOOK_RECEIVERS = f"{PREFIX}webhooks:receivers"
"""Sorted set of the receivers with pending webhooks, by the time at which one may be sent."""

WEBHOOK_DEADLINES = f"{PREFIX}webhooks:deadlines"
"""Sorted set of the pending webhooks, by the time at which they are given up."""

WEBHOOKS_SET_ASIDE = f"{PREFIX}webhooks:set-aside"
"""Sorted set of the ends that a sender could not read, by the time at which it found them."""

WEBHOOKS_FAILED = f"{PREFIX}webhooks:failed"
"""Sorted set of the webhooks that were given up, by the time at which they were."""

webhooks_failed_of = (PREFIX + "webhooks-failed-of:{}").format
"""The same of one caller. It may name some that are in the former no more."""

webhook = (PREFIX + "webhook:{}").format
"""Record of one webhook."""

webhooks_of = (PREFIX + "webhooks-of:{}").format
"""Sorted set of the pending webhooks of one receiver, by the time at which they are due."""

webhook_receiver = (PREFIX + "webhook-receiver:{}").format
"""Hash of a receiver: failures in succession, until when nothing is sent, its last answer."""

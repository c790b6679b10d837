"""What a failure does to a step of a batch: it is tried again, and not for ever."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.adapters.redis_batches import BatchLedger
from shared.domain.errors import AuditUnavailable, BrokerUnavailable
from shared.domain.ids import BatchId
from shared.logging import get_logger

ATTEMPTS_EXHAUSTED = "attempts-exhausted"
OUTAGE_RETRY_DELAY_S = 5.0
"""After a full disk or the like: the step is not at fault, and is tried until it works."""

log = get_logger("batch.retry")


@contextmanager
def retry_on_failure(
    store: BatchLedger, batch_id: BatchId, step: str, attempt: int
) -> Iterator[None]:
    """Have the step sent again if it fails; a failure of its own counts as an attempt."""
    try:
        yield
    except BrokerUnavailable as error:
        # The ledger cannot be told: the lease runs out by itself.
        log.warning("batch_step_interrupted", batch_id=batch_id, step=step, error=str(error))
        raise
    except FileNotFoundError as error:
        log.warning("batch_blob_missing", batch_id=batch_id, step=step, error=str(error))
        store.postpone(batch_id, step, attempt, count_attempt=True)
    except (OSError, AuditUnavailable) as error:
        log.warning("batch_step_paused", batch_id=batch_id, step=step, error=str(error))
        store.postpone(batch_id, step, OUTAGE_RETRY_DELAY_S, count_attempt=False)
    except Exception:
        log.exception("batch_step_failed", batch_id=batch_id, step=step, attempt=attempt)
        store.postpone(batch_id, step, attempt, count_attempt=True)

"""Bodies of webhooks: the end of a job or batch, in the terms of the API."""

import dataclasses
from typing import Any

import orjson

from api.jobs.schemas import ModelIdentity, dump_summary, iso, serialize_job
from shared.domain.errors import StorageUnavailable, UnreadableRecord
from shared.domain.ids import JobId
from shared.domain.job import JobKind, JobState
from shared.i18n.languages import Language, stored_language
from shared.messages.texts import describe_batch_error, describe_problem
from shared.redis.job_store.store import JobStore
from shared.redis.webhooks.records import RecordedEnd

RESULT_MAX_BYTES = 16_384
"""Largest result of a job that its webhook contains: Standard Webhooks asks for small bodies."""

RESULT_MAX_CARS = 16
"""Results of longer lists are larger for sure, and are not even read."""


@dataclasses.dataclass(frozen=True, slots=True)
class WebhookBodies:
    """Makes the bodies of webhooks.

    Args:
        jobs: has the results of jobs.
        identity: `ActiveVersionCache.identity`.
    """

    jobs: JobStore
    identity: ModelIdentity

    def body(self, end: RecordedEnd) -> bytes:
        """The body of the webhook that reports an end.

        Raises:
            BrokerUnavailable: the result cannot be read now.
        """
        summary = end.summary
        lang = stored_language(end.callback.language)
        data: dict[str, Any] = dump_summary(summary)
        if summary.kind is JobKind.BATCH:
            data["outcome"] = end.outcome
            data["counts"] = dict(
                zip(("valid", "invalid", "failed"), end.counts or (), strict=True)
            )
            data["links"]["results"] = f"/batches/{summary.id}/results"
        elif summary.state is JobState.SUCCEEDED:
            data |= self._result(end, lang)
        if end.error:
            data["error"] = _error(end, lang)
        event = f"{summary.kind}.{str(summary.state).lower()}"
        return orjson.dumps({"type": event, "timestamp": iso(summary.finished_at), "data": data})

    def _result(self, end: RecordedEnd, lang: Language) -> dict[str, Any]:
        """The result of a job as a member; none if it is large, or cannot be read any more."""
        if end.cars > RESULT_MAX_CARS:
            return {}
        try:
            job = self.jobs.load(JobId(end.summary.id))
        except (UnreadableRecord, StorageUnavailable):
            return {}
        if job is None or job.state is not JobState.SUCCEEDED:
            return {}
        result = serialize_job(job, None, end.callback.coverage, self.identity, lang)["result"]
        return {"result": result} if len(orjson.dumps(result)) <= RESULT_MAX_BYTES else {}


def _error(end: RecordedEnd, lang: Language) -> dict[str, str]:
    """Why the job or batch failed."""
    if end.summary.kind is JobKind.BATCH:
        title = detail = describe_batch_error(end.error, lang)
    else:
        title, detail = describe_problem(end.error, {"id": end.summary.id}, lang)
    return {"code": end.error, "title": title, "detail": detail}

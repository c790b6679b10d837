"""Operations: health, readiness, metrics, statistics."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import wraps

from flask import Response, request
from marshmallow import Schema, fields
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS_TYPE

from api.http.context import caller_id, services
from api.http.requests import load_query
from api.http.responses import ApiBlueprint, described, json_response, query_parameters
from api.middleware.authentication import Scope, is_admin, require_scope
from shared.domain.errors import FieldProblem, InvalidInput
from shared.messages.rules import DAY
from shared.metrics import exposition, host_registry, snapshot_registry
from shared.tracing.current import tracer
from shared.tracing.exemplars import accepts_openmetrics, openmetrics

blueprint = ApiBlueprint("operations", __name__, description="Health, metrics and statistics.")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class HealthSchema(Schema):
    """The answer of `/health`."""

    status = fields.String(required=True, metadata={"enum": ["ok", "error"]})
    model_loaded = fields.Boolean(required=True)
    cache_enabled = fields.Boolean(required=True)


class CheckSchema(Schema):
    """The state of one dependency."""

    name = fields.String(required=True)
    ok = fields.Boolean(required=True)
    required = fields.Boolean(required=True)
    latency_ms = fields.Float(required=True)
    detail = fields.String(required=True)


class ReadinessSchema(Schema):
    """The answer of `/readyz`."""

    status = fields.String(required=True, metadata={"enum": ["ready", "degraded", "not-ready"]})
    checks = fields.List(fields.Nested(CheckSchema), required=True)


class CacheStatsSchema(Schema):
    """The answer of `/cache/stats`; without a cache only `enabled` and `error`."""

    enabled = fields.Boolean(required=True)
    error = fields.String()
    total_predictions_cached = fields.Integer()
    memory_used_mb = fields.Float()
    memory_max_mb = fields.Float(metadata={"description": "0: no limit"})
    eviction_policy = fields.String()
    evicted = fields.Integer()
    connected_clients = fields.Integer()
    total_commands_processed = fields.Integer()
    hits = fields.Integer()
    near_hits = fields.Integer(metadata={"description": "Of this process's own cache"})
    near_entries = fields.Integer()
    misses = fields.Integer()
    hit_rate = fields.Float(metadata={"description": "Percent"})
    ttl_s = fields.Integer(metadata={"description": "Seconds for which an estimate is kept"})


class PredictionStatsSchema(Schema):
    """The answer of `/predictions/stats`; prices in MAD."""

    date = fields.Date(required=True)
    message = fields.String(metadata={"description": "Of a day without predictions"})
    total_predictions = fields.Integer(required=True)
    successful_predictions = fields.Integer(required=True)
    failed_predictions = fields.Integer(required=True)
    cache_hits = fields.Integer(required=True)
    cache_hit_rate = described(fields.Float, "Percent")
    average_price = fields.Float(required=True)
    min_price = fields.Float(required=True)
    max_price = fields.Float(required=True)
    average_response_time_ms = fields.Float(required=True)
    model_versions = described(
        fields.Dict, "Predictions of each version", keys=fields.String(), values=fields.Integer()
    )


class DayQuery(Schema):
    """Query parameters of the statistics of a day."""

    date = fields.String(
        metadata={
            "description": "UTC day, YYYY-MM-DD; today by default, or if empty",
            "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$",
            "example": "2026-11-22",
        }
    )


@blueprint.get("/health")
@blueprint.doc(operationId="get_health", summary="Is a model loaded?")
@blueprint.response(200, HealthSchema)
@blueprint.problems((422,))
def health() -> Response:
    """Answer with the fields of the reference API."""
    load_query()
    loaded = services().active_model.version_id() is not None
    return json_response(
        {
            "status": "ok" if loaded else "error",
            "model_loaded": loaded,
            "cache_enabled": services().cache.size() is not None,
        }
    )


@blueprint.get("/livez")
@blueprint.doc(operationId="get_liveness", summary="Is the process up?")
@blueprint.response(200, Schema.from_dict({"status": fields.String()}, name="LivenessSchema"))
@blueprint.problems((422,))
def live() -> Response:
    """Answer 200 while the process runs; dependencies are not checked."""
    load_query()
    return json_response({"status": "alive"})


@blueprint.get("/readyz")
@blueprint.doc(operationId="get_readiness", summary="Can this process accept and record work?")
@blueprint.response(200, ReadinessSchema)
@blueprint.alt_response(503, schema=ReadinessSchema, description="A required check fails")
@blueprint.problems((422,))
def ready() -> Response:
    """Check every dependency now; 503 only if this process can neither accept nor record work."""
    load_query()
    checks = services().health.checks()
    is_ready = all(check.ok for check in checks if check.required)
    status = "ready" if all(check.ok for check in checks) else "degraded"
    body = {"status": status if is_ready else "not-ready", "checks": checks}
    return json_response(body, 200 if is_ready else 503)


def _for_operators(view: Callable[[], Response]) -> Callable[[], Response]:
    """A view that needs a key with the scope `admin` if `METRICS_PUBLIC` is off, or `DEMO` on."""
    closed = require_scope(Scope.ADMIN)(view)

    @wraps(view)
    def checked() -> Response:
        settings = services().settings
        is_public = settings.metrics_public == "on" and not settings.is_demo
        return view() if is_public else closed()

    return checked


@blueprint.get("/metrics")
@blueprint.doc(operationId="get_metrics", summary="Prometheus metrics")
@blueprint.response(200, {"type": "string"}, content_type="text/plain")
@blueprint.problems((422,))
@_for_operators
def metrics() -> Response:
    """Export the metrics of all processes of this host in the text format.

    While requests are traced, Prometheus gets the format that names traces of observations.
    """
    load_query()
    snapshot, own = services().health.snapshot(), tracer()
    if own is not None and accepts_openmetrics(request.headers.get("Accept", "")):
        registries = [host_registry(), snapshot_registry(snapshot)]
        text = openmetrics(registries, own.exemplars.of_host())
        return Response(text, content_type=OPENMETRICS_TYPE)
    return Response(exposition(snapshot), content_type=CONTENT_TYPE_LATEST)


@blueprint.get("/cache/stats")
@blueprint.doc(operationId="get_cache_statistics", summary="Result cache")
@blueprint.response(200, CacheStatsSchema)
@blueprint.problems((422,))
@_for_operators
def cache_stats() -> Response:
    """Return size, memory and hit rate of the result cache."""
    load_query()
    return json_response(services().cache.stats())


@blueprint.get("/predictions/stats")
@blueprint.doc(
    operationId="get_prediction_statistics",
    summary="Predictions of a day",
    parameters=[query_parameters(DayQuery)],
)
@blueprint.response(200, PredictionStatsSchema)
@blueprint.problems(status_422="Not a day", status_503="The log is being read; try again")
@require_scope(Scope.PREDICT, Scope.ADMIN)
def prediction_stats() -> Response:
    """Return counts, prices and latency of a day, from the audit log.

    Callers see their own valuations; a key with the scope `admin` sees those of all callers.
    """
    day = load_query(DayQuery).get("date") or datetime.now(UTC).date().isoformat()
    caller = None if is_admin() else caller_id()
    return json_response(services().audit_stats.of_day(_valid_day(day), caller))


def _valid_day(text: str) -> str:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise InvalidInput([FieldProblem("?date", "invalid-parameter", expected=DAY, value=text)])

"""`POST /predict`: the synchronous shortcut."""

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from api.answers import documents_problems, json_response, query_parameters
from api.auth import Scope, needs
from api.current import caller_id, services
from api.schemas.jobs import JobSchema, dump_job
from api.schemas.requests import ValuationQuery, load_json, load_query, preferred_wait_s
from api.schemas.valuations import ValuationSchema, dump_valuation
from shared.domain.job import Job, Valuation
from shared.schemas.car import CarRequestSchema, load_car_request

blueprint = Blueprint("valuations", __name__, description="The price of one car, at once.")
QUERY = ValuationQuery()
CACHE_STATUS = "Cache-Status"


@blueprint.post("/predict")
@blueprint.doc(
    summary="Value one car",
    parameters=[query_parameters(ValuationQuery)],
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": CarRequestSchema}},
    },
)
@blueprint.response(200, ValuationSchema, description="The valuation")
@blueprint.alt_response(202, schema=JobSchema, description="Not ready in time: poll `Location`")
@documents_problems(
    blueprint,
    status_415="Not JSON",
    status_422="Invalid car or parameter",
    status_503="No model, queue down or full, or the answer cannot be recorded",
)
@needs(Scope.PREDICT)
def predict() -> Response:
    """Price, interval, verdict on an asking price; waits 5 s at most unless `Prefer: wait=N`."""
    query = load_query(QUERY)
    request = load_car_request(load_json(), extras=query["include"])
    answer = services().valuations.value(request, caller_id(), wait_s())
    if isinstance(answer, Job):
        return accepted(answer, query["coverage"])
    response = json_response(dump_valuation(answer, query["coverage"]))
    response.headers[CACHE_STATUS] = cache_status(answer)
    return response


def wait_s() -> float:
    """How long this caller is ready to wait."""
    settings = services().settings
    wanted = preferred_wait_s()
    return settings.predict_wait_s if wanted is None else min(wanted, settings.max_wait_s)


def cache_status(valuation: Valuation) -> str:
    """The `Cache-Status` header (RFC 9211)."""
    if valuation.cached:
        return f"carprice; hit; ttl={valuation.cache_ttl_s}"
    return "carprice; fwd=miss; stored"


def accepted(job: Job, coverage: float) -> Response:
    """202: the job goes on, and here is where to find it."""
    body: dict[str, Any] = dump_job(job, services().jobs.place(job), coverage)
    response = json_response(body, 202)
    response.headers["Location"] = f"/jobs/{job.id}"
    response.headers["Retry-After"] = "1"
    return response

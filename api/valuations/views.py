"""`POST /predict`, when Flask answers it."""

from http import HTTPStatus

from flask import Response, request

from api.events.departures import ClientLeftError
from api.http.context import caller_id, language, services, visitor_address
from api.http.requests import PredictQuery, load_json, load_query, resolve_wait_s
from api.http.responses import PREFER_HEADER, ApiBlueprint, json_response, query_parameters
from api.jobs.schemas import JobSchema, accepted_response
from api.middleware.authentication import Scope, require_scope
from api.middleware.problems import answer_nobody
from api.valuations.schemas import CACHE_STATUS, ValuationSchema, cache_status, dump_valuation
from shared.blobs.estimate_files import KeptEstimate
from shared.domain.job import Job, QueuePosition
from shared.domain.valuation import Valuation
from shared.fields.car import CarRequestSchema
from shared.fields.requests import load_car_request

blueprint = ApiBlueprint("valuations", __name__, description="The price of one car, at once.")
blueprint.register_error_handler(ClientLeftError, answer_nobody)


@blueprint.post("/predict")
@blueprint.doc(
    operationId="predict",
    summary="Value one car",
    parameters=[query_parameters(PredictQuery), PREFER_HEADER],
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": CarRequestSchema}},
    },
)
@blueprint.response(200, ValuationSchema, description="The valuation")
@blueprint.alt_response(201, schema=ValuationSchema, description="With `keep`: it is kept, too")
@blueprint.alt_response(202, schema=JobSchema, description="Not ready in time: poll `Location`")
@blueprint.problems(
    (413, 415),
    status_422="Invalid car or parameter",
    status_503="No model, queue down or full, or the answer cannot be recorded or kept",
)
@require_scope(Scope.PREDICT, Scope.ESTIMATE, cars=1)
def predict() -> Response:
    """Price, interval, verdict on an asking price; waits 5 s at most unless `Prefer: wait=N`."""
    query = load_query(PredictQuery)
    car_request = load_car_request(load_json(), extras=query["include"])
    wait_s = resolve_wait_s(request.headers.get("Prefer", ""), services().settings)
    answer = services().valuations.value_from_thread(car_request, caller_id(), wait_s)
    is_kept = query["keep"] and keep(answer) is not None
    if isinstance(answer, Job):
        return accepted(answer, services().jobs.queue_position(answer), query["coverage"])
    response = json_response(dump_valuation(answer, query["coverage"]))
    response.headers[CACHE_STATUS] = cache_status(answer)
    if is_kept:
        response.status_code = HTTPStatus.CREATED
        response.headers["Location"] = f"/valuations/{answer.id}"
    return response


def keep(answer: Valuation | Job) -> KeptEstimate | None:
    """Keep an answer for the caller of the current request, as `Estimates.keep` does."""
    return services().estimates.keep(answer, caller_id(), visitor_address())


def accepted(job: Job, position: QueuePosition | None, coverage: float) -> Response:
    """202 with the job that the request has become, and where to poll it."""
    identity = services().active_model.identity
    return accepted_response(job, position, coverage, identity, language()).to_flask()

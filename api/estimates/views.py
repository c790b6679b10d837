"""`GET /valuations/{id}`: an estimate as it was answered; who may read it."""

from flask import Response, g

from api.http.conditional import conditional
from api.http.context import caller_id, language, services
from api.http.requests import CoverageQuery, load_query
from api.http.responses import (
    USUAL_PROBLEMS,
    ApiBlueprint,
    json_response,
    no_content,
    query_parameters,
)
from api.jobs.schemas import JobSchema
from api.middleware.authentication import Scope, is_admin, require_scope
from api.valuations.schemas import ValuationSchema, serialize_valuation
from api.valuations.views import accepted
from shared.blobs.estimate_files import KeptEstimate
from shared.domain.errors import DomainError, JobDeleted, ValuationFailed
from shared.domain.job import Job, JobState

blueprint = ApiBlueprint("estimates", __name__, description="Estimates that are kept.")


@blueprint.get("/valuations/<valuation_id>")
@blueprint.doc(
    operationId="get_valuation",
    summary="Read a kept estimate",
    parameters=[query_parameters(CoverageQuery)],
)
@blueprint.response(200, ValuationSchema, description="The valuation as it was answered")
@blueprint.alt_response(202, schema=JobSchema, description="Not made yet: poll `Location`")
@blueprint.problems(
    status_401="It is not shared, and there is no key or an unknown one",
    status_403=USUAL_PROBLEMS[403],
    status_404="None is kept under this id, or another caller has it",
    status_410="It was kept for `ESTIMATE_DAYS`, which are over",
    status_422=USUAL_PROBLEMS[422],
    status_429=USUAL_PROBLEMS[429],
    status_500="Its valuation has failed",
    status_503="The store does not answer",
)
def get_valuation(valuation_id: str) -> Response:
    """Return what `POST /predict?keep=true` or the web page answered under this id.

    Nothing is computed again: a later model, month or rule changes neither price nor interval. Only
    texts are in the language of this request. Without `ESTIMATE_DAYS` nothing is kept.
    """
    coverage = load_query(CoverageQuery)["coverage"]
    kept = services().estimates.completed(readable(valuation_id))
    if isinstance(kept, Job):
        if kept.state.is_terminal:
            raise _failure(kept)
        return accepted(kept, services().jobs.queue_position(kept), coverage)
    body = serialize_valuation(kept.valuation(), coverage, kept.model, language())
    response = json_response(body)
    response.add_etag()
    return conditional(response)


@blueprint.delete("/valuations/<valuation_id>")
@blueprint.doc(operationId="delete_valuation", summary="Delete a kept estimate")
@blueprint.response(204, description="Deleted, with its drawings")
@blueprint.problems(
    status_401=USUAL_PROBLEMS[401],
    status_403=USUAL_PROBLEMS[403],
    status_404="None is kept under this id, or another caller has it",
    status_410="It was kept for `ESTIMATE_DAYS`, which are over",
    status_422=USUAL_PROBLEMS[422],
    status_429=USUAL_PROBLEMS[429],
    status_503="The store does not answer",
)
@require_scope(Scope.PREDICT, Scope.ADMIN)
def delete_valuation(valuation_id: str) -> Response:
    """Delete an estimate before its time; its address is unknown then. The audit log stays."""
    load_query()
    services().estimates.files.remove(own(valuation_id).id)
    return no_content()


def readable(estimate_id: str) -> KeptEstimate:
    """The kept estimate, if the caller of the current request may read it.

    Raises:
        NotAuthenticated: it is not shared, and the request has no key.
        ValuationNotFound: there is none, or it is that of another caller.
        EstimateExpired: it is too old.
    """
    if g.caller is None:
        shared = services().estimates.shared(estimate_id)
        return shared if shared is not None else own(estimate_id)
    try:
        return own(estimate_id)
    except DomainError:
        shared = services().estimates.shared(estimate_id)
        if shared is None:
            raise
        return shared


@require_scope(Scope.PREDICT, Scope.ADMIN, Scope.ESTIMATE)
def own(estimate_id: str) -> KeptEstimate:
    """The kept estimate of the caller of the current request; raises as `readable`."""
    return services().estimates.own(estimate_id, caller_id(), is_admin=is_admin())


def _failure(job: Job) -> DomainError:
    """Why a job has no estimate."""
    return JobDeleted(id=job.id) if job.state is JobState.CANCELLED else ValuationFailed()

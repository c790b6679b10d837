"""`/valuations/{id}/outcome` and `/outcomes/stats`: sale reports and their statistics."""

from flask import Response

from api.http.context import caller_id, services
from api.http.requests import load_json, load_query
from api.http.responses import ApiBlueprint, json_response
from api.middleware.authentication import Scope, is_admin, require_scope
from api.sales.schemas import (
    OutcomeSchema,
    OutcomeStatsSchema,
    SaleSchema,
    dump_figures,
    dump_outcome,
    load_sale,
)
from shared.domain.sale import SaleReportKind

blueprint = ApiBlueprint(
    "outcomes", __name__, description="Sale prices, and how right estimates are."
)


@blueprint.post("/valuations/<valuation_id>/outcome")
@blueprint.doc(
    operationId="report_sale",
    summary="Report a sale",
    requestBody={"required": True, "content": {"application/json": {"schema": SaleSchema}}},
)
@blueprint.response(201, OutcomeSchema, description="Recorded")
@blueprint.alt_response(200, schema=OutcomeSchema, description="Known already, or corrected")
@blueprint.problems(
    (413, 415),
    status_404="No valuation of this caller has this id",
    status_410="The valuation is too old",
    status_422="Not a sale",
    status_503="It cannot be recorded",
)
@require_scope(Scope.PREDICT, Scope.ADMIN)
def report(valuation_id: str) -> Response:
    """For ids of `/predict`, of jobs (`id-n` in a list) and of rows of batches (`batch-row`).

    Repeating a report changes nothing; another price or date replaces it as a correction.
    """
    load_query()
    report, kind = services().sale_reports.report(
        valuation_id,
        load_sale(load_json()),
        caller_id(),
        is_admin=is_admin(),
    )
    return json_response(dump_outcome(report), 201 if kind is SaleReportKind.NEW else 200)


@blueprint.get("/outcomes/stats")
@blueprint.doc(operationId="get_outcome_statistics", summary="How right the estimates were")
@blueprint.response(200, OutcomeStatsSchema)
@blueprint.problems((422,), status_503="The index is locked")
@require_scope(Scope.PREDICT, Scope.ADMIN)
def stats() -> Response:
    """Return error, bias and coverage of each model version over the reported sales.

    Callers see the sales of their own valuations; a key with the scope `admin` sees all.
    """
    load_query()
    found = services().sale_reports.figures(None if is_admin() else caller_id())
    return json_response({"versions": [dump_figures(each) for each in found]})

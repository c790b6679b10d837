"""`/models`: the registry over HTTP."""

from typing import Any

from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import Schema, fields

from api.answers import documents_problems, json_response
from api.auth import Scope, needs
from api.current import caller_id, services
from api.problems import PreconditionFailed
from api.schemas.requests import NoQuery, load_query
from model_store.manifest import ModelVersion
from shared.domain.errors import ModelNotLoaded

blueprint = Blueprint("models", __name__, description="Versions of the model.")
NO_QUERY = NoQuery()


class ModelVersionSchema(Schema):
    """One trained version, from its manifest."""

    version = fields.String(required=True)
    active = fields.Boolean(required=True)
    created_at = fields.String(required=True)
    data_as_of = fields.String(required=True, allow_none=True)
    basis = fields.String(required=True)
    estimator = fields.Dict(required=True)
    training = fields.Dict(required=True)
    metrics = fields.Dict(required=True)


class ModelListSchema(Schema):
    """All versions, the newest first."""

    models = fields.List(fields.Nested(ModelVersionSchema), required=True)


def dump_version(version: ModelVersion, active_id: str | None) -> dict[str, Any]:
    """The answer for one version."""
    return {
        "version": version.id,
        "active": version.id == active_id,
        "created_at": version.created_at,
        "data_as_of": version.data_as_of,
        "basis": version.basis,
        "estimator": version.estimator,
        "training": version.training,
        "metrics": version.metrics,
    }


@blueprint.get("/models")
@blueprint.doc(summary="List the versions")
@blueprint.response(200, ModelListSchema)
@needs(Scope.PREDICT)
def list_models() -> Response:
    """All versions in the registry, the newest first."""
    load_query(NO_QUERY)
    active_id = services().models.active_id()
    versions = services().models.versions()
    return json_response({"models": [dump_version(version, active_id) for version in versions]})


@blueprint.get("/models/active")
@blueprint.doc(summary="The active version")
@blueprint.response(200, ModelVersionSchema)
@documents_problems(blueprint, status_503="No version is active")
@needs(Scope.PREDICT)
def active_model() -> Response:
    """The version that answers now; its ETag is what `If-Match` of an activation names."""
    load_query(NO_QUERY)
    version = services().models.active()
    if version is None:
        raise ModelNotLoaded
    return _with_etag(dump_version(version, version.id))


@blueprint.post("/models/<version>/activate")
@blueprint.doc(
    summary="Activate a version",
    parameters=[
        {
            "in": "header",
            "name": "If-Match",
            "schema": {"type": "string"},
            "description": "ETag of the active version: activate only if it still is.",
        }
    ],
)
@blueprint.response(200, ModelVersionSchema)
@documents_problems(
    blueprint,
    status_404="No such version",
    status_409="The version fails its checks",
    status_412="Another version is active than If-Match says",
)
@needs(Scope.ADMIN)
def activate(version: str) -> Response:
    """Every worker answers with it within two seconds; no request is dropped."""
    load_query(NO_QUERY)
    _check_if_match()
    activated = services().models.activate(version, caller_id())
    return _with_etag(dump_version(activated, activated.id))


@blueprint.post("/models/rollback")
@blueprint.doc(summary="Go back to the version before")
@blueprint.response(200, ModelVersionSchema)
@documents_problems(blueprint, status_404="There is none", status_412="If-Match does not hold")
@needs(Scope.ADMIN)
def rollback() -> Response:
    """Activate the version that was active before the present one."""
    load_query(NO_QUERY)
    _check_if_match()
    version = services().models.rollback(caller_id())
    return _with_etag(dump_version(version, version.id))


def _with_etag(body: dict[str, Any]) -> Response:
    response = json_response(body)
    response.set_etag(body["version"])
    return response


def _check_if_match() -> None:
    """The version that `If-Match` names must be the active one."""
    active_id = services().models.active_id() or ""
    if "If-Match" in request.headers and active_id not in request.if_match:
        raise PreconditionFailed(version=active_id)

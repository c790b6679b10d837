"""`/models`: list, activate and roll back versions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields
from werkzeug.http import unquote_etag

from api.http.conditional import conditional
from api.http.context import caller_id, services
from api.http.requests import load_query
from api.http.responses import (
    NOT_MODIFIED,
    USUAL_PROBLEMS,
    ApiBlueprint,
    described,
    header_parameter,
    json_response,
)
from api.middleware.authentication import Scope, require_scope
from model_store.registry.manifest import CARD_DATA_FILE, ModelVersion
from model_store.registry.registry import etag_of
from shared.domain.errors import ModelNotLoaded, StorageUnavailable

NO_VERSION = '""'
"""An ETag that no version has."""

NOT_YET = "Active, but `not_serving` names processes that do not serve it yet"
STORE_UNREACHABLE = "The store that hosts share cannot be reached: nothing was changed"
NOT_TRIED = "The store that hosts share, or the workers, do not answer: nothing was changed"

blueprint = ApiBlueprint("models", __name__, description="Versions of the model.")


class ModelVersionSchema(Schema):
    """A model version, from its manifest."""

    version = fields.String(required=True)
    not_serving = fields.List(
        fields.String(),
        metadata={
            "description": "After an activation, only if several hosts share their models: the"
            " live processes that do not serve this version yet"
        },
    )
    active = fields.Boolean(required=True)
    activated_at = described(fields.String, "When it was last made the active one", allow_none=True)
    created_at = fields.String(required=True)
    data_as_of = fields.String(required=True, allow_none=True)
    basis = fields.String(required=True)
    estimator = fields.String(required=True)
    trees = fields.Integer(required=True)
    nodes = fields.Integer(required=True)
    training = fields.Dict(required=True)
    metrics = fields.Dict(required=True)
    links = described(fields.Dict, "`card`: its model card", keys=fields.String())


class ModelListSchema(Schema):
    """All versions, newest first."""

    models = fields.List(fields.Nested(ModelVersionSchema), required=True)


def dump_version(version: ModelVersion, active_id: str | None) -> dict[str, Any]:
    """The JSON representation of a version, as `ModelVersionSchema` documents it."""
    # The price index has a value for every month; it is in the manifest and the model card.
    training = {name: value for name, value in version.training.items() if name != "price_index"}
    activated_at = {one.version: one.at for one in services().registry.history()}
    links = {"card": f"/models/{version.id}/card"} if CARD_DATA_FILE in version.files else {}
    return {
        "version": version.id,
        "active": version.id == active_id,
        "activated_at": activated_at.get(version.id),
        "created_at": version.created_at.isoformat(timespec="seconds"),
        "data_as_of": version.data_as_of,
        "basis": version.basis,
        "estimator": version.estimator,
        "trees": version.tree_count,
        "nodes": version.node_count,
        "training": training,
        "metrics": dict(version.metrics),
        "links": links,
    }


@blueprint.get("/models")
@blueprint.doc(operationId="list_models", summary="List the versions")
@blueprint.response(200, ModelListSchema)
@blueprint.problems((422,))
@require_scope(Scope.PREDICT, Scope.ADMIN)
def list_models() -> Response:
    """List all versions in the registry, newest first."""
    load_query()
    active_id = services().active_model.version_id()
    versions = services().registry.list()
    return json_response({"models": [dump_version(version, active_id) for version in versions]})


@blueprint.get("/models/active")
@blueprint.doc(operationId="get_active_model", summary="The active version")
@blueprint.response(200, ModelVersionSchema)
@blueprint.alt_response(304, description=NOT_MODIFIED)
@blueprint.problems((422,), status_503="No version is active")
@require_scope(Scope.PREDICT, Scope.ADMIN)
def active_model() -> Response:
    """Return the active version; its ETag can be sent as `If-Match` with an activation."""
    load_query()
    active_id = services().active_model.version_id()
    version = services().active_model.manifest(active_id) if active_id else None
    if version is None:
        raise ModelNotLoaded
    return conditional(_with_etag(dump_version(version, version.id)))


@blueprint.post("/models/<version>/activate")
@blueprint.doc(
    operationId="activate_model",
    summary="Activate a version",
    parameters=[
        header_parameter("If-Match", "ETag of the active version: activate only if it still is.")
    ],
)
@blueprint.response(200, ModelVersionSchema)
@blueprint.alt_response(202, schema=ModelVersionSchema, description=NOT_YET)
@blueprint.problems(
    status_404="No such version",
    status_409="The version fails its checks, or another host changed the active one meanwhile",
    status_412="Another version is active than If-Match says",
    status_422=USUAL_PROBLEMS[422],
    status_503=NOT_TRIED,
)
@require_scope(Scope.ADMIN)
def activate(version: str) -> Response:
    """Make a version the active one; all workers use it within two seconds.

    If several hosts share their models, the answer comes when every live process of all hosts
    serves the version. After ten seconds it is 202 and names those that do not.
    """
    load_query()
    with store_errors():
        activated = services().registry.activate(version, by=caller_id(), expected_etag=if_match())
    return _activated(activated)


@blueprint.post("/models/rollback")
@blueprint.doc(operationId="roll_back_model", summary="Go back to the version before")
@blueprint.response(200, ModelVersionSchema)
@blueprint.alt_response(202, schema=ModelVersionSchema, description=NOT_YET)
@blueprint.problems(
    status_404="That version is gone",
    status_409="There is none, or another host changed the active version meanwhile",
    status_412="If-Match does not hold",
    status_422=USUAL_PROBLEMS[422],
    status_503=NOT_TRIED,
)
@require_scope(Scope.ADMIN)
def rollback() -> Response:
    """Activate the version that was active before."""
    load_query()
    with store_errors():
        version = services().registry.rollback(by=caller_id(), expected_etag=if_match())
    return _activated(version)


def if_match() -> str | None:
    """The ETag that must still be that of the active version; None if any may be.

    `If-Match` may name several, and is compared strongly (RFC 9110).
    """
    expected = request.if_match
    if "If-Match" not in request.headers or expected.star_tag:
        return None
    current = services().registry.etag()
    return current if unquote_etag(current)[0] in expected else NO_VERSION


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise `StorageUnavailable` while the store that hosts share does not answer."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(reason=error.strerror or str(error)) from error


def _activated(version: ModelVersion) -> Response:
    """The answer to an activation: 202 if a process of some host does not serve it yet."""
    activations = services().activations
    body = dump_version(version, version.id)
    if not activations.are_shared:
        return _with_etag(body)
    missing = list(activations.not_serving(version.id))
    response = _with_etag(body | {"not_serving": missing})
    response.status_code = 202 if missing else 200
    return response


def _with_etag(body: dict[str, Any]) -> Response:
    response = json_response(body)
    response.headers["ETag"] = etag_of(body["version"])
    return response

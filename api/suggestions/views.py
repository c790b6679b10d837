"""`GET /suggest` and `GET /suggest/usual`: for forms that value a car."""

import hashlib
from typing import Any

import orjson
from flask import Response

from api.http.conditional import conditional
from api.http.requests import load_query
from api.http.responses import JSON, NOT_MODIFIED, ApiBlueprint, query_parameters
from api.suggestions.active import active_folder, find_usual_values
from api.suggestions.schemas import SuggestionsSchema, SuggestQuery, UsualQuery, UsualSchema
from api.suggestions.search import suggest_brands, suggest_models, suggest_trims
from api.suggestions.vocabulary import Name

CACHE_CONTROL = "public, max-age=3600"
"""Names and usual values change with the active model version only."""

blueprint = ApiBlueprint(
    "suggestions", __name__, description="Values that a form can suggest while a car is typed."
)


@blueprint.get("/suggest")
@blueprint.doc(
    operationId="suggest",
    summary="Suggest brands, models or trims",
    parameters=[query_parameters(SuggestQuery)],
)
@blueprint.response(200, SuggestionsSchema, description="Up to ten values, the likeliest first")
@blueprint.alt_response(304, description=NOT_MODIFIED)
@blueprint.problems((422,))
def suggest() -> Response:
    """Values that begin with `q`, then those that `q` is a slip of; needs no key."""
    query = load_query(SuggestQuery)
    folder, text, limit = active_folder(), query["q"].strip(), query["limit"]
    if query["field"] == "company":
        found = suggest_brands(folder, text, limit)
    elif query["field"] == "model":
        found = suggest_models(folder, query["company"].strip(), text, limit)
    else:
        found = suggest_trims(folder, query["company"], query["model"], text, limit)
    return _cacheable({"suggestions": [_suggestion(one) for one in found]})


@blueprint.get("/suggest/usual")
@blueprint.doc(
    operationId="get_usual_values",
    summary="What is usual for a model and year",
    parameters=[query_parameters(UsualQuery)],
)
@blueprint.response(200, UsualSchema, description="Usual values; empty lists where unknown")
@blueprint.alt_response(304, description=NOT_MODIFIED)
@blueprint.problems((422,))
def usual() -> Response:
    """Usual fuel, gearbox, fiscal power and kilometres by the listings; needs no key."""
    query = load_query(UsualQuery)
    return _cacheable(find_usual_values(query["company"], query["model"], query["year"]))


def _suggestion(name: Name) -> dict[str, Any]:
    return {"value": name.value, "company": name.company, "listings": name.listings}


def _cacheable(body: Any) -> Response:
    content = orjson.dumps(body)
    response = Response(content, mimetype=JSON)
    response.headers["Cache-Control"] = CACHE_CONTROL
    response.headers["ETag"] = f'"{hashlib.blake2b(content, digest_size=8).hexdigest()}"'
    return conditional(response)

"""`/models/{version}/card`: the model card of a version, as a page or as Markdown."""

import hashlib

import orjson
from flask import Response, request
from flask.blueprints import BlueprintSetupState
from marshmallow import Schema, fields
from marshmallow.validate import OneOf
from werkzeug.routing import BaseConverter

from api.http.conditional import conditional
from api.http.context import language, services
from api.http.requests import load_query
from api.http.responses import NOT_MODIFIED, ApiBlueprint, query_parameters
from api.middleware.authentication import Scope, accept_basic_auth, require_scope
from api.ops.docs_views import html_response
from model_store.cards.written import written_language, written_languages
from model_store.registry.manifest import card_data_file, card_markdown_file
from shared.domain.errors import ModelNotLoaded
from shared.i18n.languages import LANGUAGE_NAMES, LANGUAGES, Language, direction
from shared.messages.rules import one_of

ACTIVE = "active"
"""Alias of the active version in URLs."""
MEDIA_TYPES = {"json": "application/json", "md": "text/markdown", "png": "image/png"}
TEXT = {"schema": {"type": "string"}}
CARD_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

blueprint = ApiBlueprint(
    "model cards", __name__, description="What a version is, how good it is, and for whom."
)
blueprint.before_request(accept_basic_auth)


class FileNameConverter(BaseConverter):
    """A name with a suffix: `/models/<version>/activate` is no file, and GET is not its method."""

    regex = r"[^/]+\.[^/]+"


class CardQuery(Schema):
    """The language of a card."""

    lang = fields.String(
        validate=OneOf(LANGUAGES, error=one_of(LANGUAGES)),
        metadata={"description": "Instead of `Accept-Language`"},
    )


@blueprint.record_once
def register_converter(state: BlueprintSetupState) -> None:
    """Make the converter known before the routes are."""
    state.app.url_map.converters["file_name"] = FileNameConverter


@blueprint.get("/models/<version>/card")
@blueprint.doc(
    operationId="get_model_card",
    summary="A version's model card",
    parameters=[query_parameters(CardQuery)],
    responses={
        "200": {"description": "The card", "content": {"text/html": TEXT, "text/markdown": TEXT}}
    },
)
@blueprint.alt_response(304, description=NOT_MODIFIED)
@blueprint.problems(
    (422,),
    status_404="No such version, or it has no card",
    status_409="The card is not what was saved",
    status_503="`active` was asked for, and no version is",
)
@require_scope(Scope.PREDICT, Scope.ADMIN, Scope.ESTIMATE)
def card(version: str) -> Response:
    """Intended use, limits, data and measured quality of a version; `active` stands for one.

    A page for browsers, Markdown for everybody else. The language is that of `lang`, else of
    `Accept-Language`; cards of older versions are in English, or in English and French.
    """
    wanted = load_query(CardQuery).get("lang") or language()
    version = _resolve_version(version)
    written = written_language(services().registry.get(version), wanted)
    accept = request.accept_mimetypes
    if accept.quality("text/html") > accept.quality("text/markdown"):
        response = _page(version, written, wanted)
    else:
        content = services().registry.card_file(version, card_markdown_file(written))
        response = _file(content, MEDIA_TYPES["md"])
    response.headers["Content-Language"] = written
    response.vary.update(("Accept", "Accept-Language"))
    return response


@blueprint.get("/models/<version>/<file_name:name>")
@blueprint.doc(
    operationId="get_model_card_file",
    summary="A file of a version's model card",
    responses={
        "200": {
            "description": "The file",
            # Generated clients read all of them as the first.
            "content": {
                MEDIA_TYPES["md"]: TEXT,
                MEDIA_TYPES["json"]: {"schema": {"type": "object"}},
                MEDIA_TYPES["png"]: {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
@blueprint.alt_response(304, description=NOT_MODIFIED)
@blueprint.problems(
    (422,),
    status_404="No such version or file",
    status_409="The file is not what was saved",
    status_503="`active` was asked for, and no version is",
)
@require_scope(Scope.PREDICT, Scope.ADMIN, Scope.ESTIMATE)
def card_file(version: str, name: str) -> Response:
    """Send a plot, or the card as `card.md` or `card.json`."""
    load_query()
    content = services().registry.card_file(_resolve_version(version), name)
    return _file(content, MEDIA_TYPES[name.rpartition(".")[2]])


def _resolve_version(version: str) -> str:
    if version != ACTIVE:
        return version
    active = services().active_model.version_id()
    if active is None:
        raise ModelNotLoaded
    return active


def _page(version: str, written: Language, wanted: Language) -> Response:
    """The page of a card that is written in one language, with texts around it in another."""
    manifest = services().registry.get(version)
    content = orjson.loads(services().registry.card_file(version, card_data_file(written)))
    others = [one for one in written_languages(manifest) if one != written]
    return html_response(
        "card.html",
        CARD_CSP,
        version=version,
        written=written,
        written_direction=direction(written),
        is_translated=written == wanted,
        others=[(one, LANGUAGE_NAMES[one], direction(one)) for one in others],
        markdown=card_markdown_file(written),
        **content,
    )


def _file(content: bytes, media_type: str) -> Response:
    response = Response(content, mimetype=media_type)
    response.set_etag(hashlib.sha256(content).hexdigest())
    response.cache_control.private = True
    response.cache_control.no_cache = True
    return conditional(response)

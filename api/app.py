"""The Flask application."""

import time
from functools import cached_property

import orjson
from flask import Flask, Response, g, request
from flask_smorest import Api

from api import limits
from api.batches import result_views
from api.batches import views as batches
from api.batches.rows import views as row_views
from api.container import ApiServices, build_services
from api.dashboard import actions as dashboard_actions
from api.dashboard import views as dashboard_views
from api.estimates import views as estimates
from api.events import views as events
from api.http.assets import Asset
from api.http.context import EXTENSION, transferring_caller
from api.http.openapi import complete_document
from api.http.requests import load_query
from api.http.responses import JSON
from api.jobs import views as jobs
from api.middleware import (
    compression,
    content_language,
    cors,
    cross_site,
    problems,
    security_headers,
)
from api.middleware.authentication import EXTENSION as AUTHENTICATOR
from api.middleware.authentication import Authenticator
from api.models import card_views
from api.models import views as models
from api.ops import dead_letter_views, docs_views
from api.ops import views as ops
from api.pages import language as page_language
from api.pages.car import views as car_pages
from api.pages.estimates import comparison as comparison_pages
from api.pages.estimates import views as estimate_pages
from api.pages.files import batch_views, cell_views, draft_views, upload_views
from api.sales import views as sales
from api.suggestions import views as suggestions
from api.transport.fast_path import FastPathMiddleware
from api.valuations import views as valuations
from shared.fields.car import CarRequestSchema
from shared.metrics import observe_http
from shared.settings import Settings
from shared.tracing.current import note_route

VERSION = "1.0.0"
METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
"""The methods of all routes."""
DESCRIPTION = (
    "Prices of used cars in Morocco: how much, how sure, why, and whether an asking price is fair. "
    "One car at once (`/predict`), one or many by submit and poll (`/jobs`), whole files "
    "(`/batches`). Errors are `application/problem+json`, in French, Arabic or English by "
    "`Accept-Language`."
)


def create_app(settings: Settings, services: ApiServices | None = None) -> Flask:
    """Create the application; no connection and no thread starts before the first request.

    Args:
        settings: with both Redis URLs filled in (`shared.redis.servers.with_server_urls`).
        services: used instead of those that `settings` describe.

    Raises:
        SettingsError: the settings do not fit together.
    """
    authenticator = Authenticator(settings)
    app = Flask(__name__, template_folder="pages/templates", static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.config.update(
        MAX_CONTENT_LENGTH=settings.body_max_bytes,
        API_TITLE="CarPricePredictor-MA",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
            "components": {"securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}}},
            "security": [{}, {"apiKey": []}],
        },
    )
    page_language.register(app)
    services = services or build_services(settings)
    app.extensions[EXTENSION] = services
    services.health.further["keys"] = authenticator.require_readable
    _measure(app)
    authenticator.register(app)
    cross_site.register(app, settings, authenticator)
    compression.register(app)
    _register_routes(app)
    cors.register(app, settings)
    security_headers.register(app)
    problems.register(app)
    content_language.register(app)
    limits.register(app, settings.api_threads, transferring_caller)
    return app


def create_asgi_app(app: Flask) -> FastPathMiddleware:
    """Create the ASGI application: the fast path in front of `app`."""
    return FastPathMiddleware(app, app.extensions[EXTENSION], app.extensions[AUTHENTICATOR])


class DocumentedApi(Api):
    """flask-smorest's documentation, without its error handlers."""

    ERROR_SCHEMA = None
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Errors are answered by `api.middleware.problems` only."""

    def _openapi_json(self) -> Response:
        load_query()
        return self._document.response()

    @cached_property
    def _document(self) -> Asset:
        """The document, written at its first request: all routes are registered by then."""
        return Asset(orjson.dumps(complete_document(self.spec.to_dict())), JSON)

    def _register_pagination_header(self) -> None:
        """No view uses flask-smorest's pagination, so its schema is left out."""


def _register_routes(app: Flask) -> None:
    api = DocumentedApi(app)
    api.spec.components.schema("CarRequest", schema=CarRequestSchema)
    for views in (
        valuations,
        estimates,
        suggestions,
        sales,
        jobs,
        batches,
        result_views,
        row_views,
        events,
        models,
        card_views,
        ops,
        dead_letter_views,
    ):
        api.register_blueprint(views.blueprint)
    # The views of a blueprint may lie in several modules.
    pages = (
        car_pages,
        estimate_pages,
        comparison_pages,
        upload_views,
        draft_views,
        batch_views,
        cell_views,
        docs_views,
        dashboard_views,
        dashboard_actions,
    )
    for blueprint in dict.fromkeys(views.blueprint for views in pages):
        app.register_blueprint(blueprint)


def _measure(app: Flask) -> None:
    """Count and time every request under its route's template and a known method.

    Clients choose paths and methods, and every label value stays in memory.
    """

    @app.before_request
    def start_clock() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def observe(response: Response) -> Response:
        endpoint = request.url_rule.rule if request.url_rule else "unmatched"
        if endpoint != "/metrics":
            method = request.method if request.method in METHODS else "other"
            took_s = time.perf_counter() - g.started
            observe_http(method, endpoint, response.status_code, took_s)
            note_route(method, endpoint)
        return response

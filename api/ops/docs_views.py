"""Documentation pages: Swagger UI, ReDoc and the list of problems, without external resources."""

import importlib.util
from pathlib import Path

from flask import Blueprint, Response, render_template

from api.http.assets import AssetFolder
from api.http.problems import statuses
from api.middleware.security_headers import CSP
from shared.messages.problems import PROBLEM_MESSAGES
from shared.messages.texts import FIELD_MESSAGES, INPUT_MESSAGES
from shared.messages.warnings import WARNING_MESSAGES

SIDECAR = "drf_spectacular_sidecar"
SIDECAR_FILES = (
    "swagger-ui-dist/swagger-ui.css",
    "swagger-ui-dist/swagger-ui-bundle.js",
    "redoc/bundles/redoc.standalone.js",
)
OWN_FILES = ("swagger.js", "docs.css", "page.css", "icon.svg", "chevron.svg")
URL_REPLACEMENTS = {b"https://cdn.redoc.ly/redoc/logo-mini.svg": b"data:,"}
"""ReDoc would load only this logo from another host."""

COMMON_CSP = (
    "default-src 'none'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; style-src 'self'"
)
SWAGGER_CSP = f"{COMMON_CSP} 'unsafe-inline'"
"""Swagger UI sets style attributes."""
REDOC_CSP = f"{COMMON_CSP} 'unsafe-inline'; worker-src blob:"
"""ReDoc adds style elements and runs its search in a worker from a blob URL."""

blueprint = Blueprint("docs", __name__)


def sidecar_folder() -> Path:
    """Folder of the static files of Swagger UI and ReDoc.

    The package is located but not imported: its `__init__` needs Django, which is not installed.

    Raises:
        ModuleNotFoundError: the package is missing.
    """
    spec = importlib.util.find_spec(SIDECAR)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{SIDECAR} is not installed: its files are /docs and /redoc")
    return Path(spec.submodule_search_locations[0]) / "static" / SIDECAR


def _paths() -> dict[str, Path]:
    own = Path(__file__).parents[1] / "pages" / "static"
    sidecar = sidecar_folder()
    return {Path(name).name: sidecar / name for name in SIDECAR_FILES} | {
        name: own / name for name in OWN_FILES
    }


ASSETS = AssetFolder(_paths(), "/docs/static/", URL_REPLACEMENTS)


@blueprint.get("/docs")
def swagger() -> Response:
    """Show Swagger UI."""
    return _page("swagger.html", SWAGGER_CSP)


@blueprint.get("/redoc")
def redoc() -> Response:
    """Show ReDoc."""
    return _page("redoc.html", REDOC_CSP)


@blueprint.get("/docs/problems")
def problems() -> Response:
    """Explain every problem type; `type` of a problem document links here."""
    return _page(
        "problems.html",
        COMMON_CSP,
        problems=PROBLEM_MESSAGES,
        status_of_code=statuses(),
        rules=FIELD_MESSAGES | INPUT_MESSAGES,
        warnings=WARNING_MESSAGES,
    )


@blueprint.get("/docs/static/<name>")
def static_file(name: str) -> Response:
    """Send a script or style sheet of these pages."""
    return ASSETS.response(name)


def html_response(
    template: str,
    csp: str,
    *,
    status: int = 200,
    assets: AssetFolder = ASSETS,
    cache_control: str = "private, no-cache",
    **context: object,
) -> Response:
    """A rendered page with its security and cache headers.

    Args:
        template: name of the template.
        csp: Content-Security-Policy.
        status: HTTP status.
        assets: static files of the page, for the template's `asset_url`.
        cache_control: Cache-Control.
        context: variables of the template.
    """
    html = render_template(template, asset_url=assets.url, **context)
    response = Response(html, status, mimetype="text/html")
    response.headers[CSP] = csp
    response.headers["Cache-Control"] = cache_control
    return response


def _page(template: str, csp: str, **context: object) -> Response:
    return html_response(template, csp, cache_control="no-cache", **context)

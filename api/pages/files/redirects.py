"""Redirects between pages of files, which keep the chosen language."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import urlencode

from flask import Response, url_for

from api.pages.language import PARAMETER, chosen_language


def redirect_to_page(
    path: str, query: Mapping[str, str | Sequence[str]] | None = None, anchor: str = ""
) -> Response:
    """Send the browser to a page by GET.

    Args:
        path: of the page.
        query: its parameters; several values of one are a list.
        anchor: of a place in it, with `#`.
    """
    parameters = dict(query or {})
    language = chosen_language()
    if language is not None:
        parameters[PARAMETER] = language
    address = f"{path}?{urlencode(parameters, doseq=True)}" if parameters else path
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": address + anchor})


def redirect_to_batch(batch_id: str) -> Response:
    """Send the browser to the page of a batch."""
    return redirect_to_page(url_for("files.show", batch_id=batch_id))

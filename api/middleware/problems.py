"""Flask's error handlers: every failure is answered by a problem document."""

from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, MethodNotAllowed

from api.http.context import language
from api.http.problems import HTTP_CODES, error_response, problem_response
from shared.domain.errors import DomainError


def register(app: Flask) -> None:
    """Answer every failure of `app` by a problem document."""
    app.register_error_handler(DomainError, answer_error)
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(Exception, answer_error)


def answer_error(error: Exception) -> Response:
    """The problem document of an error that a view raised."""
    return error_response(error, language(), request.path).to_flask()


def answer_nobody(_: Exception) -> Response:
    """What is counted for a request whose client has left, as if its body had broken off."""
    return answer_http_error(ClientDisconnected())


def answer_http_error(error: HTTPException) -> Response:
    """The problem document of a request that no route answers."""
    status = error.code or 500
    if status < HTTPStatus.BAD_REQUEST:  # a redirect is not a failure
        return Response(headers=dict(error.get_headers()), status=status)
    params: dict[str, Any] = {}
    if isinstance(error, MethodNotAllowed):
        params["allowed"] = ", ".join(sorted(error.valid_methods or ()))
    code = HTTP_CODES.get(status, "bad-request")
    response = problem_response(status, code, params, language(), request.path).to_flask()
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = params["allowed"]
    return response

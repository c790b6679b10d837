"""Completes the OpenAPI document with what holds for every operation.

The schemas describe what marshmallow loads and dumps. Generators of clients and validators need it
narrower: a query parameter cannot be null, a default must be a value that the server accepts, and
an enum needs a type.
"""

from collections.abc import Iterator
from typing import Any

PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
SERVERS = [
    {"url": "/", "description": "Where this document was read"},
    {
        "url": "http://127.0.0.1:{port}",
        "description": "A service on this machine",
        "variables": {"port": {"default": "8000"}},
    },
]
PROBLEMS_OF_ALL = {
    "406": "`Accept-Encoding` refuses every coding that there is",
    "405": "The address has no such method: see `Allow`",
    "421": "Without keys: another host than this machine is named",
    "500": "An error of the service",
}
PROBLEMS_OF_BODIES = {
    "413": "Body too large",
    "415": "The body is of another type, or compressed",
}
CROSS_SITE = "A page of another site asks"
METHODS = frozenset({"get", "post", "put", "patch", "delete"})


def complete_document(document: dict[str, Any]) -> dict[str, Any]:
    """Complete a document in place, and return it."""
    document["servers"] = SERVERS
    for operation, method, parameters in _operations(document):
        _complete_responses(operation, method)
        if "401" not in operation["responses"]:
            operation["security"] = []  # the call needs no key
        for parameter in parameters:
            _drop_absence(parameter["schema"])
    _complete_schemas(document)
    return document


def _operations(
    document: dict[str, Any],
) -> Iterator[tuple[dict[str, Any], str, list[dict[str, Any]]]]:
    """Every operation with its method and its parameters, also those of its path."""
    for path in document["paths"].values():
        for method in METHODS & path.keys():
            operation = path[method]
            yield operation, method, path.get("parameters", []) + operation.get("parameters", [])


def _complete_responses(operation: dict[str, Any], method: str) -> None:
    """Document the failures that no view raises itself; those of the view are kept."""
    failures = dict(PROBLEMS_OF_ALL)
    if "requestBody" in operation:
        failures |= PROBLEMS_OF_BODIES
    if method != "get":
        failures["403"] = CROSS_SITE
    responses = operation["responses"]
    for status, description in failures.items():
        responses.setdefault(status, {"description": description, "content": PROBLEM_CONTENT})
    operation["responses"] = dict(sorted(responses.items()))


def _drop_absence(schema: dict[str, Any]) -> None:
    """Remove null and empty defaults from the schema of a parameter: left out is not empty."""
    if isinstance(schema.get("type"), list):
        types = [each for each in schema["type"] if each != "null"]
        schema["type"] = types[0] if len(types) == 1 else types
    if schema.get("default", ...) in (None, "", [], ()):
        del schema["default"]


def _complete_schemas(node: Any) -> None:
    """Remove defaults of null, and give every enum its type."""
    if isinstance(node, list):
        for each in node:
            _complete_schemas(each)
    if not isinstance(node, dict):
        return
    if "default" in node and node["default"] is None:
        del node["default"]
    if isinstance(node.get("enum"), list) and "type" not in node:
        _complete_enum(node)
    for each in node.values():
        _complete_schemas(each)


def _complete_enum(node: dict[str, Any]) -> None:
    """Give an enum of texts its type; one with null becomes a choice, as generators expect."""
    values = node.pop("enum")
    enum = {"type": "string", "enum": [value for value in values if value is not None]}
    node.update({"anyOf": [enum, {"type": "null"}]} if None in values else enum)

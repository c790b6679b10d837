"""The OpenAPI document says what is true of every operation, in a form that generators read."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate

from api.app import create_app
from shared.keys.entries import new_key
from shared.keys.store import write_keys
from shared.redis.servers import with_server_urls
from shared.settings import Settings

NO_STORE = "http://127.0.0.1:9"
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def client(home):
    # An allowed object, in a store that does not answer.
    settings = Settings(home=home, input_uris="s3://incoming", blob_endpoint_url=NO_STORE)
    return create_app(with_server_urls(settings)).test_client()


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """A client of a service that has keys, and the headers of a key without scopes."""
    folder = tmp_path_factory.mktemp("keyed")
    settings = with_server_urls(Settings(home=folder, models_path=folder / "versions"))
    secret, entry = new_key("nobody", frozenset())
    write_keys(settings.keys_file, [entry])
    return create_app(settings).test_client(), {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json


def operations(document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each path, method and operation."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from nodes(each)


def query_parameters(document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, method, operation in operations(document):
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "query":
                yield path, method, parameter


def address(path: str) -> str:
    """The address of a path with an example for each parameter."""
    return re.sub(r"\{\w+\}", "x", path.replace("{name}", "x.json"))


def test_the_document_is_valid_and_says_where_the_service_is(document):
    validate(document)
    assert document["servers"][0]["url"] == "/"


def test_every_operation_has_a_readable_id_of_its_own(document):
    ids = [operation["operationId"] for *_, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", each) for each in ids), ids


def test_enums_hold_texts_only_and_say_so(document):
    for node in nodes(document):
        if isinstance(node.get("enum"), list):
            assert node["type"] == "string", node
            assert all(isinstance(value, str) for value in node["enum"]), node


def test_no_default_is_null_or_empty(document):
    for node in nodes(document["paths"]):
        assert node.get("default", ...) not in (None, "", []), node
    for name, schema in document["components"]["schemas"].items():
        for member, node in schema["properties"].items():
            assert node.get("default", ...) not in (None, ""), (name, member)


def test_defaults_and_examples_fit_their_schemas(document):
    count = 0
    for node in nodes(document):
        for name in ("default", "example"):
            if name in node and ("type" in node or "anyOf" in node):
                schema = node | {"components": document["components"]}
                jsonschema.Draft202012Validator(schema).validate(node[name])
                count += 1
    assert count > 20


def test_the_service_accepts_every_default_and_example_of_a_query_parameter(document, client):
    tried = 0
    needed: dict[str, dict[str, str]] = {}
    for path, _, parameter in query_parameters(document):
        if parameter.get("required"):
            example = str(parameter["schema"]["example"])
            needed.setdefault(path, {})[parameter["name"]] = example
    for path, method, parameter in query_parameters(document):
        schema = parameter["schema"]
        for value in [schema[name] for name in ("default", "example") if name in schema]:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            query = needed.get(path, {}) | {parameter["name"]: text}
            answer = client.open(address(path), method=method, query_string=query)
            errors = (answer.json or {}).get("errors", [])
            assert not [each for each in errors if each.get("parameter")], (path, parameter)
            tried += 1
    assert tried > 10


def test_examples_of_headers_can_be_sent(document):
    headers = [
        parameter["schema"]["example"]
        for *_, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "header" and "example" in parameter["schema"]
    ]
    assert headers
    assert all(each.isascii() and each.isprintable() for each in headers), headers


def test_the_service_refuses_coverages_that_the_description_does_not_name(document, client):
    (coverage,) = [
        parameter
        for path, _, parameter in query_parameters(document)
        if path == "/predict" and parameter["name"] == "coverage"
    ]
    assert "0.5, 0.8, 0.9, 0.95" in coverage["description"]
    answer = client.post("/predict?coverage=0.7", json={}, headers={"Accept-Language": "en"})
    assert "one of 0.5, 0.8, 0.9, 0.95" in answer.json["errors"][0]["detail"]


def test_a_missing_key_and_a_wrong_scope_are_documented_where_they_are_refused(document, keyed):
    client, without_scope = keyed
    for path, method, operation in operations(document):
        answer = client.open(address(path), method=method)
        assert (answer.status_code == 401) == ("401" in operation["responses"]), (method, path)
        if answer.status_code == 401:
            refused = client.open(address(path), method=method, headers=without_scope)
            assert refused.status_code == 403
            assert "403" in operation["responses"], (method, path)
        else:
            assert operation["security"] == [], (method, path)


def test_a_page_of_another_site_is_documented_to_be_refused(document, client):
    for path, method, operation in operations(document):
        answer = client.open(address(path), method=method, headers={"Sec-Fetch-Site": "cross-site"})
        if answer.status_code == 403:
            assert "403" in operation["responses"], (method, path)


def test_other_methods_hosts_types_and_sizes_are_documented_to_be_refused(document, client):
    for path, method, operation in operations(document):
        responses = operation["responses"]
        assert client.put(address(path)).status_code == 405
        assert client.open(address(path), headers={"Host": "x.example"}).status_code == 421
        assert {"405", "421"} <= responses.keys(), (method, path)
        assert ({"413", "415"} <= responses.keys()) == ("requestBody" in operation)


def test_lost_keys_are_documented_wherever_a_key_is_needed(tmp_path, document):
    settings = with_server_urls(Settings(home=tmp_path, models_path=tmp_path / "versions"))
    write_keys(settings.keys_file, [new_key("shop", frozenset())[1]])
    create_app(settings)  # records that there are keys
    settings.keys_file.unlink()
    lost = create_app(settings).test_client()
    for path, method, operation in operations(document):
        if "401" in operation["responses"]:
            assert lost.open(address(path), method=method).status_code == 503, (method, path)
            assert "503" in operation["responses"], (method, path)

"""Responses match the OpenAPI document."""

import jsonschema
import pytest
from openapi_spec_validator import validate


@pytest.fixture(scope="module")
def document(service):
    with service.client() as client:
        return client.get("/openapi.json").json()


@pytest.fixture(scope="module")
def check(document):
    """Validate a response against the schema of its route and status."""

    def check_response(response, path):
        operation = document["paths"][path][response.request.method.lower()]
        described = operation["responses"][str(response.status_code)]
        media_type = response.headers["Content-Type"].split(";")[0]
        # References are resolved in the schema itself.
        schema = described["content"][media_type]["schema"] | {"components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(response.json())
        return response

    return check_response


def test_the_document_is_valid_openapi_and_describes_every_route(document):
    validate(document)
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                assert operation["summary"], (method, path)
                assert operation["tags"], (method, path)


def test_the_cars_fields_are_documented_with_type_and_example(document):
    fields = document["components"]["schemas"]["CarRequest"]
    assert fields["required"] == ["company", "model", "year"]
    for name, field in fields["properties"].items():
        assert field["type"], name
        assert field["description"], name
        assert "example" in field, name
    assert fields["properties"]["year"]["minimum"] == 1990


def test_valuations_are_as_documented(http, car, check):
    full = car | {"asking_price_mad": 150_000, "colour": "red", "model": "Zorglub"}
    check(http.post("/predict", json=car), "/predict")
    answer = check(
        http.post("/predict?include=contributions,depreciation,comparables,typical", json=full),
        "/predict",
    ).json()
    assert set(answer) == set(documented(http, "Valuation"))
    check(http.post("/predict", json={}), "/predict")
    check(http.post("/predict", content=b"x"), "/predict")


def test_jobs_are_as_documented(http, car, check, document):
    accepted = check(http.post("/jobs", json=[car, car]), "/jobs")
    location = accepted.headers["Location"]
    ended = check(http.get(f"{location}?wait=20"), "/jobs/{job_id}")
    assert ended.json()["state"] == "SUCCEEDED"
    assert "204" in document["paths"]["/jobs/{job_id}"]["delete"]["responses"]
    assert http.delete(location).status_code == 204
    check(http.delete(location), "/jobs/{job_id}")
    check(http.get("/jobs/nothing"), "/jobs/{job_id}")


def test_models_and_operations_are_as_documented(http, check):
    for path in ("/models", "/models/active", "/health", "/readyz", "/livez", "/cache/stats",
                 "/predictions/stats"):  # fmt: skip
        check(http.get(path), path)
    check(http.post("/models/nothing/activate"), "/models/{version}/activate")


def documented(http, name):
    """Return the documented properties of a schema."""
    return http.get("/openapi.json").json()["components"]["schemas"][name]["properties"]

"""`GET /suggest` and `/suggest/usual` over HTTP: small, cacheable, with problems."""

from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from shared.redis.servers import with_server_urls
from shared.settings import Settings


@pytest.fixture
def client(tmp_path) -> FlaskClient:
    """A service without servers and without a model."""
    return create_app(
        with_server_urls(Settings(home=tmp_path, models_path=tmp_path / "versions"))
    ).test_client()


def suggested(client: FlaskClient, **query: str) -> list[str]:
    answer = client.get(f"/suggest?{urlencode(query)}")
    assert answer.status_code == 200, answer.text
    return [one["value"] for one in (answer.json or {})["suggestions"]]


def test_models_of_a_brand_are_suggested(client):
    answer = client.get("/suggest?field=model&company=Dacia&q=sander")
    (found,) = answer.json["suggestions"]
    assert (found["value"], found["company"]) == ("Sandero", "Dacia")
    assert found["listings"] > 100
    assert suggested(client, field="company", q="Daci") == ["Dacia"]
    assert len(suggested(client, field="model")) == 10
    assert suggested(client, field="model", company="Dacia", q="", limit="2") == [
        "Logan",
        "Sandero",
    ]
    assert suggested(client, field="edition", company="Audi", model="A3") == []


def test_an_answer_is_small_and_a_repeated_request_is_answered_with_304(client):
    answer = client.get("/suggest?field=model")
    assert len(answer.data) < 1_000
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    known = {"If-None-Match": answer.headers["ETag"]}
    again = client.get("/suggest?field=model", headers=known)
    assert (again.status_code, again.data) == (304, b"")
    assert client.get("/suggest?field=company", headers=known).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "/suggest",
        "/suggest?field=price",
        "/suggest?field=model&q=" + "x" * 61,
        "/suggest?field=model&limit=0",
        "/suggest?field=model&limit=11",
        "/suggest?field=model&field=company",
        "/suggest?field=model&query=x",
        "/suggest/usual",
        "/suggest/usual?company=Dacia&model=Logan",
        "/suggest/usual?company=Dacia&model=Logan&year=now",
        "/suggest/usual?company=&model=Logan&year=2018",
    ],
)
def test_a_wrong_parameter_is_a_problem(client, address):
    answer = client.get(address)
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert answer.json["errors"][0]["parameter"] in {
        "field",
        "q",
        "limit",
        "query",
        "company",
        "model",
        "year",
    }


def test_without_a_model_nothing_is_usual(client):
    answer = client.get("/suggest/usual?company=Dacia&model=Logan&year=2018")
    assert answer.json == {
        "fuel": [], "transmission": [], "fiscal_power_cv": [], "km_driven": None,
    }  # fmt: skip


def test_the_documentation_has_both_operations(client):
    document = client.get("/openapi.json").json
    assert {"/suggest", "/suggest/usual"} <= document["paths"].keys()
    assert document["paths"]["/suggest"]["get"]["security"] == [], "they need no key"

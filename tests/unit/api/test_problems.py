"""What a refused caller reads: a sentence first, then every place."""

import pytest

from api.app import create_app
from shared.redis.servers import with_server_urls
from shared.settings import Settings

CAR = {
    "company": "Dacia",
    "model": "Logan",
    "year": 2018,
    "fuel": "Diesel",
    "transmission": "Manual",
}


@pytest.fixture
def client(tmp_path):
    """A service without servers and without a model."""
    return create_app(
        with_server_urls(Settings(home=tmp_path, models_path=tmp_path / "versions"))
    ).test_client()


def refusal(client, car, language="en"):
    answer = client.post("/predict", json=car, headers={"Accept-Language": language})
    assert answer.status_code == 422
    return answer.json


def test_a_single_error_is_the_detail_itself(client):
    problem = refusal(client, {**CAR, "km_driven": -5})
    (error,) = problem["errors"]
    assert problem["detail"] == error["detail"]
    assert "Odometer" in problem["detail"]


@pytest.mark.parametrize(
    ("language", "ending"),
    [("en", " (And 1 more: see errors.)"), ("fr", " (Et 1 de plus : voir « errors ».)")],
)
def test_of_several_errors_the_first_is_told_and_the_others_are_counted(client, language, ending):
    problem = refusal(client, {**CAR, "year": 1875, "km_driven": -5}, language)
    first, _ = problem["errors"]
    assert problem["detail"] == first["detail"] + ending


@pytest.mark.parametrize(
    ("language", "beginning"), [("en", "date: Refused value"), ("fr", "date : Valeur refusée")]
)
def test_a_refused_parameter_is_named_in_the_detail(client, language, beginning):
    answer = client.get("/predictions/stats?date=1875", headers={"Accept-Language": language})
    assert answer.status_code == 422
    assert answer.json["detail"].startswith(beginning)


def test_a_compression_that_is_not_read_is_named_as_such(client):
    answer = client.post(
        "/batches",
        data=b"x",
        headers={"Content-Type": "text/csv", "Content-Encoding": "br", "Accept-Language": "en"},
    )
    assert answer.status_code == 415
    assert answer.json["detail"] == "Expected Content-Encoding gzip, zstd (got br)."

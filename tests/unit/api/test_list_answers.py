"""The answer for a list is written from its columns as it is for its cars one by one."""

import dataclasses
import random

import orjson
import pytest

from api.jobs.content import JobContents, Representation
from api.jobs.list_json import ListForm, list_columns, list_json
from api.jobs.reading import JobView
from api.jobs.schemas import serialize_job
from shared.domain.ids import CallerId, JobId, new_id
from shared.domain.job import Job, JobState
from shared.domain.lists.estimates import EstimateList, ModelNotes
from shared.domain.valuation import COVERAGES
from tests.list_cars import request_list

NOTES = (
    ModelNotes(model_known=True),
    ModelNotes(
        model_known=True,
        unpriced=("seller_type", "condition"),
        unseen=("fuel",),
        extrapolated=("year", "km_driven"),
    ),
    ModelNotes(model_known=False, unpriced=("company", "edition")),
)
MODEL = {"version": 'v"1', "data_as_of": "2026-06", "basis": "asking_prices"}


def estimates(rng, count, *, width_age):
    """Estimates as no model makes them, but as they may be stored."""
    rows = [sorted(round(rng.uniform(1, 1e7), 2) for _ in range(9)) for _ in range(count)]
    return EstimateList(
        prices_mad=[row[4] for row in rows],
        quantiles_mad=[list(level) for level in zip(*rows, strict=True)],
        model_version="v1",
        month=24_320,
        width_age_months=width_age,
        notes=NOTES,
        note_numbers=[rng.randrange(len(NOTES)) for _ in range(count)],
    )


def job(seed):
    rng = random.Random(seed)
    requests = request_list(seed)
    return Job(
        id=JobId(new_id()), caller=CallerId("me"), state=JobState.SUCCEEDED, created_at=1.5,
        requests=requests, is_list=True,
        estimates=estimates(rng, len(requests), width_age=rng.choice([None, 3, 30])),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_a_list_is_written_as_its_cars_are(seed):
    given = job(seed)
    coverage, language = COVERAGES[seed % 4], ("fr", "en")[seed % 2]
    by_cars = dataclasses.replace(
        given, requests=tuple(given.requests), estimates=tuple(given.estimates)
    )
    expected = serialize_job(by_cars, None, coverage, lambda _: MODEL, language)
    columns = list_columns(given)
    assert columns is not None
    assert list_columns(by_cars) is None
    written = list_json(given.id, columns, ListForm(coverage, MODEL, language))
    assert written.encode() == orjson.dumps(expected["result"])


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_whole_answer_is_that_of_the_schema(app_contents, language):
    given = job(3)
    expected = serialize_job(given, None, 0.8, lambda _: MODEL, language)
    found = app_contents(given, 0.8, language)
    assert found == orjson.dumps(expected)


@pytest.fixture
def app_contents():
    """The body that `JobContents` makes of a job."""
    contents = JobContents(None, lambda _: MODEL)

    def body(given, coverage, language):
        view = JobView(given.id, given.state, given)
        form = Representation(coverage, language)
        return contents.of_from_thread(view, given.caller, form).json

    return body

"""Which jobs are long."""

import pytest

from shared.domain.ids import CallerId, JobId
from shared.domain.job import Job, JobState
from shared.domain.valuation import Extra
from shared.fields.requests import load_car_request


@pytest.mark.parametrize(
    ("cars", "extras", "is_long"),
    [(1, tuple(Extra), False), (100, (), False), (101, (), True), (2, tuple(Extra), True)],
)
def test_a_job_is_long_by_its_cars_and_what_is_asked_of_each(car, cars, extras, is_long):
    job = Job(
        id=JobId("x"),
        caller=CallerId("me"),
        state=JobState.QUEUED,
        created_at=0.0,
        requests=(load_car_request(car, extras=extras),) * cars,
        is_list=cars > 1,
    )
    assert job.is_long is is_long

"""Values that are observed together count as if each had been observed by the library."""

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Histogram

from shared.metrics import LATENCY_BUCKETS_S, observe_http


@pytest.mark.parametrize(
    "values", [[0.0004], [0.0005, 0.00051, 0.02, 0.02, 30.0, 31.0], [0.0] * 40]
)
def test_many_observations_are_those_of_the_library(values):
    library = CollectorRegistry()
    one_by_one = Histogram(
        "took", "As the library does it.", buckets=LATENCY_BUCKETS_S, registry=library
    )
    for value in values:
        one_by_one.observe(value)
    endpoint = f"/{len(values)}/{values[0]}"
    observe_http("GET", endpoint, 200, *values)

    labels = {"method": "GET", "endpoint": endpoint}
    for bound in (*LATENCY_BUCKETS_S, float("inf")):
        le = {"le": "+Inf" if bound == float("inf") else str(bound)}
        together = REGISTRY.get_sample_value(
            "http_request_duration_seconds_bucket", {**labels, **le}
        )
        assert together == library.get_sample_value("took_bucket", le)
    total = REGISTRY.get_sample_value("http_request_duration_seconds_sum", labels)
    assert total == pytest.approx(library.get_sample_value("took_sum"))
    counted = {**labels, "status": "200"}
    assert REGISTRY.get_sample_value("http_requests_total", counted) == len(values)

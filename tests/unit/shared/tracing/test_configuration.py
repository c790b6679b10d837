"""The standard variables of OpenTelemetry."""

import pytest

from shared.tracing.configuration import TracingError, read_configuration

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "true"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_tracing_is_off(env):
    assert read_configuration("api", env) is None


def test_an_endpoint_is_enough():
    read = read_configuration("api", ENDPOINT)
    assert read.endpoint == "http://collector:4318/v1/traces"
    assert read.resource["service.name"] == "carprice-api"
    assert (read.sampler, read.follows_parent) == ("always_on", True)
    assert (read.timeout_s, read.delay_s, read.max_queue, read.max_batch) == (10, 5, 2048, 512)


def test_the_variables_of_traces_come_before_those_of_all_signals():
    read = read_configuration(
        "worker",
        {
            **ENDPOINT,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://other/own",
            "OTEL_EXPORTER_OTLP_HEADERS": "a=b",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key=x%20y, tenant=z",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        },
    )
    assert read.endpoint == "https://other/own"
    assert read.headers == {"api-key": "x y", "tenant": "z"}
    assert read.timeout_s == 2.5
    assert read.is_compressed


def test_the_name_of_the_service_comes_before_the_attributes():
    attributes = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,deployment.environment.name=test"}
    named = read_configuration("api", {**ENDPOINT, **attributes, "OTEL_SERVICE_NAME": "prices"})
    unnamed = read_configuration("api", {**ENDPOINT, **attributes})
    assert named.resource["service.name"] == "prices"
    assert named.resource["deployment.environment.name"] == "test"
    assert named.resource["carprice.process"] == "api"
    assert unnamed.resource["service.name"] == "a"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:431800"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key=a%0Ab"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a key=b"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
    ],
)
def test_a_value_that_cannot_be_followed_is_named(variable, value):
    with pytest.raises(TracingError, match=variable):
        read_configuration("api", {**ENDPOINT, variable: value})

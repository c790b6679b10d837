"""Traces of requests in the form of OpenTelemetry; off without `OTEL_EXPORTER_OTLP_ENDPOINT`."""

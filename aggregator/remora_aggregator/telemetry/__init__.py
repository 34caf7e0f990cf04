"""OTLP: the calls that sidecars report as spans, so that any tracing back end can be fed."""

"""Collectors of real sockets: OTLP over gRPC and over HTTP."""

from collections.abc import Iterator

import pytest

from remora.testing.otlp_collector import Received, grpc_collector, http_collector


@pytest.fixture(params=["grpc", "http/protobuf"])
def collector(request: pytest.FixtureRequest) -> Iterator[Received]:
    """A collector, over each protocol."""
    opened = grpc_collector if request.param == "grpc" else http_collector
    with opened() as received:
        yield received


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean environment, whatever the tests were started with."""
    import os

    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)

"""Fixtures of the client's tests."""

from collections.abc import Iterator

import pytest
from tests.sdk.api_client.scripted_sidecar import ScriptedSidecar

VARIABLES = (
    "REMORA_GATEWAY_URL", "AGENTOPT_GATEWAY_URL", "REMORA_DATA_DIR", "HTTPS_PROXY", "https_proxy",
    "HTTP_PROXY", "http_proxy", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY",
    "GROQ_API_KEY",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch, tmp_path):
    """Let nothing of the machine that the tests run on be found."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("remora.local_sidecar.nearest.USUAL_CONTROL", "127.0.0.1:9")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def scripted() -> Iterator[ScriptedSidecar]:
    """A server that answers as it is told."""
    with ScriptedSidecar() as server:
        yield server

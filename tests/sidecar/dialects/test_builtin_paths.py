"""Which dialect a call to a built-in provider is read in."""

import pytest

from remora.providers import ProviderRegistry
from remora_sidecar.dialects.registry import dialect_for
from remora_sidecar.model.exchange import RequestHead

BUILTIN = ProviderRegistry.builtin()


@pytest.mark.parametrize(
    ("provider", "path", "dialect"),
    [
        ("openai", "/v1/completions", "openai-completions"),
        ("openai", "/v1/embeddings", "openai-embeddings"),
        ("openai", "/v1/images/edits", "openai-images"),
        ("openai", "/v1/audio/transcriptions", "openai-audio"),
        ("openai", "/v1/moderations", "openai-moderations"),
        ("openai", "/v1/vector_stores", "unknown"),
        ("azure-openai", "/openai/deployments/d/images/generations", "openai-images"),
        ("azure-openai", "/openai/deployments/d/audio/speech", "openai-audio"),
        ("mistral", "/v1/fim/completions", "openai-completions"),
        ("mistral", "/v1/chat/moderations", "openai-moderations"),
        ("groq", "/openai/v1/audio/transcriptions", "openai-audio"),
        ("together", "/v1/images/generations", "openai-images"),
        ("fireworks", "/inference/v1/completions", "openai-completions"),
        ("deepseek", "/beta/completions", "openai-completions"),
        ("cohere", "/v2/chat", "cohere-chat"),
        ("cohere", "/v1/rerank", "cohere-chat"),
        ("cohere", "/compatibility/v1/chat/completions", "openai-chat"),
        ("cohere", "/compatibility/v1/embeddings", "openai-embeddings"),
        ("cohere", "/v1/models", "unknown"),
        ("ollama", "/api/chat", "ollama-chat"),
        ("ollama", "/api/embeddings", "ollama-chat"),
        ("ollama", "/v1/embeddings", "openai-embeddings"),
        ("ollama", "/api/pull", "unknown"),
        ("ollama-cloud", "/api/generate", "ollama-chat"),
        ("ollama-cloud", "/v1/chat/completions", "openai-chat"),
    ],
)
def test_a_call_is_read_in_the_dialect_of_its_path(provider: str, path: str, dialect: str) -> None:
    known = BUILTIN.get(provider)
    assert known is not None
    head = RequestHead("POST", "host", path, "", [])
    assert dialect_for(known.dialects, head).name == dialect

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.providers import ProviderRegistry
from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.gemini.generate import GeminiGenerate
from remora_sidecar.dialects.registry import dialect_for
from remora_sidecar.model.exchange import RequestHead

GEMINI = GeminiGenerate()
MODEL = "/v1beta/models/gemini-2.5-flash"
VERTEX = "/v1/projects/p/locations/global/publishers/google/models"
GENERATE = f"{MODEL}:generateContent"
CONTENTS = {"contents": [{"parts": [{"text": "Hi"}]}]}


def _head(path: str = GENERATE, **changes: Any) -> RequestHead:
    host = "generativelanguage.googleapis.com"
    fields = {"method": "POST", "host": host, "query": "", "headers": []} | changes
    return RequestHead(path=path, **fields)


def _request(body: object = CONTENTS, path: str = GENERATE, **changes: Any) -> CallRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return GEMINI.read_request(_head(path, **changes), raw)


@pytest.mark.parametrize(
    ("path", "operation", "model"),
    [
        (GENERATE, "generate_content", "gemini-2.5-flash"),
        (f"{MODEL}:streamGenerateContent", "generate_content", "gemini-2.5-flash"),
        (f"{MODEL}%3AgenerateContent", "generate_content", "gemini-2.5-flash"),
        (f"{MODEL}%3astreamGenerateContent/", "generate_content", "gemini-2.5-flash"),
        ("/V1Beta/Models/gemini-2.5-flash:GENERATECONTENT", "generate_content", "gemini-2.5-flash"),
        ("/v1beta/models/a%20b@1:generateContent", "generate_content", "a b@1"),
        ("/v1beta/tunedModels/mine-1:generateContent", "generate_content", "tunedModels/mine-1"),
        ("/proxy/google/v1/models/m:generateContent", "generate_content", "m"),
        (f"{VERTEX}/gemini-3-pro:streamGenerateContent", "generate_content", "gemini-3-pro"),
        ("/v1beta1/publishers/google/models/m:generateContent", "generate_content", "m"),
        ("/v1/projects/p/locations/l/endpoints/7:generateContent", "generate_content",
         "endpoints/7"),
        ("/v1internal:generateContent", "generate_content", ""),
        ("/v1internal:countTokens", "count_tokens", ""),
        (f"{MODEL}:countTokens", "count_tokens", "gemini-2.5-flash"),
        ("/v1beta/models/gemini-embedding-2:embedContent", "embeddings", "gemini-embedding-2"),
        ("/v1beta/models/gemini-embedding-2:batchEmbedContents", "embeddings",
         "gemini-embedding-2"),
        (f"{VERTEX}/text-embedding-005:predict", "embeddings", "text-embedding-005"),
        (f"{VERTEX}/imagen-4.0-generate-001:predict", "image_generation",
         "imagen-4.0-generate-001"),
        (f"{VERTEX}/veo-3.0-generate-001:predictLongRunning", "video_generation",
         "veo-3.0-generate-001"),
        ("/v1/projects/p/locations/l/endpoints/7:predict", "predict", "endpoints/7"),
        (f"{MODEL}:batchGenerateContent", "batches", "gemini-2.5-flash"),
    ],
)  # fmt: skip
def test_calls_are_claimed_by_their_method_and_told_apart(
    path: str, operation: str, model: str
) -> None:
    assert GEMINI.claims(_head(path))
    request = _request(path=path)
    assert (request.operation, request.model) == (operation, model)
    assert request.stream is ("stream" in path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", GENERATE),
        ("GET", MODEL),
        ("POST", MODEL),
        ("POST", "/v1beta/cachedContents"),
        ("POST", "/upload/v1beta/files"),
        ("POST", "/v1internal:loadCodeAssist"),
        ("POST", "/v1beta/openai/chat/completions"),
        ("POST", f"{MODEL}:generateContent/more"),
        ("POST", "/v1/projects/p/locations/l/publishers/anthropic/models/claude:rawPredict"),
    ],
)
def test_other_calls_are_not_claimed(method: str, path: str) -> None:
    assert not GEMINI.claims(_head(path, method=method))


@pytest.mark.parametrize(
    ("host", "path", "dialect"),
    [
        ("generativelanguage.googleapis.com", GENERATE, "gemini-generate"),
        ("generativelanguage.googleapis.com", "/v1beta/openai/chat/completions", "openai-chat"),
        ("generativelanguage.googleapis.com", "/v1beta/cachedContents", "unknown"),
        ("aiplatform.googleapis.com", f"{VERTEX}/m:generateContent", "gemini-generate"),
        ("us-east5-aiplatform.googleapis.com",
         "/v1/projects/p/locations/l/publishers/anthropic/models/c:streamRawPredict",
         "anthropic-messages"),
        ("aiplatform.googleapis.com",
         "/v1/projects/p/locations/l/endpoints/openapi/chat/completions", "openai-chat"),
        ("cloudcode-pa.googleapis.com", "/v1internal:streamGenerateContent", "gemini-generate"),
    ],
)  # fmt: skip
def test_google_hosts_speak_it_beside_other_dialects(host: str, path: str, dialect: str) -> None:
    provider = ProviderRegistry.builtin().match_tls(host)
    assert provider is not None
    assert dialect_for(provider.dialects, _head(path, host=host)).name == dialect


@pytest.mark.parametrize(
    ("body", "model"),
    [
        ({"model": "gemini-2.5-pro", "project": "p", "request": CONTENTS}, "gemini-2.5-pro"),
        ({"request": CONTENTS | {"model": "models/gemini-2.5-pro"}}, "gemini-2.5-pro"),
        ({"model": 7, "request": []}, ""),
    ],
)
def test_the_envelope_names_the_model_where_the_path_does_not(body: object, model: str) -> None:
    request = _request(body, "/v1internal:streamGenerateContent")
    assert request.model == model
    assert request.stream
    assert request.problem == ""


@pytest.mark.parametrize(
    ("config", "samples"),
    [
        (None, True),
        ({}, True),
        ({"temperature": 0}, False),
        ({"temperature": 0.0, "candidateCount": 1}, False),
        ({"temperature": 0, "candidateCount": 2}, True),
        ({"temperature": 0, "candidate_count": 2}, True),
        ({"temperature": 1, "seed": 3}, True),
        ({"seed": 3}, False),
        ("x", True),
    ],
)
def test_only_temperature_0_or_a_seed_promises_the_same_answer(
    config: object, samples: bool
) -> None:
    asked = CONTENTS | {"generationConfig": config}
    assert _request(asked).samples is samples
    assert _request({"model": "m", "request": asked}, "/v1internal:generateContent").samples is (
        samples
    )
    assert _request(CONTENTS | {"generation_config": config}).samples is samples


@pytest.mark.parametrize(
    ("path", "states", "samples"),
    [
        (GENERATE, True, True),
        (f"{MODEL}:streamGenerateContent", True, True),
        (f"{MODEL}:countTokens", False, False),
        (f"{MODEL}:embedContent", False, False),
        (f"{VERTEX}/gemini-embedding-001:predict", True, False),
        (f"{VERTEX}/multimodalembedding@001:predict", False, False),
        (f"{VERTEX}/imagen-4.0-generate-001:predict", False, True),
        (f"{MODEL}:batchGenerateContent", False, False),
    ],
)
def test_what_always_states_usage_and_what_may_come_out_otherwise(
    path: str, states: bool, samples: bool
) -> None:
    request = _request(path=path)
    assert (request.states_usage, request.samples) == (states, samples)


@pytest.mark.parametrize(
    ("body", "problem"),
    [(b"", "request has no body"), (b"[]", "request body is no JSON object"), (b"\xff{", None)],
)
def test_an_unreadable_body_is_told_and_the_path_still_read(
    body: bytes, problem: str | None
) -> None:
    request = _request(body)
    assert request.problem == (problem or "request body is no JSON object")
    assert request.model == "gemini-2.5-flash"


@given(st.text(), st.binary())
def test_no_path_and_no_body_raises(path: str, body: bytes) -> None:
    GEMINI.claims(_head(path))
    GEMINI.read_request(_head(path), body)

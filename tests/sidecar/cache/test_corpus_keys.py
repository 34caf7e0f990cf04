"""Keys of real requests: written anew they are the same call, otherwise they are another."""

import json

import pytest

from remora_sidecar.cache.key import CacheKeyParts, cache_key

FILES = [
    "anthropic-messages", "bedrock-converse", "bedrock-invoke", "cohere", "gemini-generate",
    "openai-chat", "openai-completions", "openai-embeddings", "openai-responses",
]  # fmt: skip
LEFT_OUT = {
    "gemini-generate": {"labels"},
    "bedrock-converse": {"requestMetadata"},
    "openai-chat": {"prompt_cache_key", "prompt_cache_retention"},
}
PROVIDERS = {"gemini-generate": "google-vertex", "bedrock-converse": "aws-bedrock"}


def key_of(transcript, body):
    return cache_key(
        CacheKeyParts(
            namespace="team-a",
            provider=PROVIDERS.get(transcript.dialect, "openai"),
            authority=transcript.host,
            method=transcript.method,
            path=transcript.path,
            query=transcript.query,
            dialect=transcript.dialect,
            sent_model="",
            stream=transcript.stream,
            headers=tuple((n.encode(), v.encode()) for n, v in transcript.request_headers),
            body=body,
            secret=b"s" * 32,
        )
    )


def told_apart_by(transcript):
    """All that tells a request from others, compared by Python's own reader of JSON."""
    try:
        body = json.loads(transcript.request_body)
    except ValueError:
        body = repr(transcript.request_body)
    if isinstance(body, dict):
        left_out = LEFT_OUT.get(transcript.dialect, set())
        body = {name: value for name, value in body.items() if name not in left_out}
    return (
        transcript.method,
        transcript.url,
        transcript.stream,
        tuple(sorted((name.lower(), value) for name, value in transcript.request_headers)),
        json.dumps(body, sort_keys=True),
    )


@pytest.mark.parametrize("file", FILES)
def test_recorded_requests_share_a_key_only_if_they_are_the_same(file, recorded):
    seen = {}
    for transcript in recorded(file):
        told = told_apart_by(transcript)
        key = key_of(transcript, transcript.request_body)
        assert seen.setdefault(key, told) == told, transcript.id
    assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize("file", FILES)
def test_a_recorded_request_written_anew_has_the_same_key(file, recorded):
    for transcript in recorded(file):
        try:
            value = json.loads(transcript.request_body)
        except ValueError:
            continue
        if isinstance(value, dict) and len(transcript.request_body) < 200_000:
            anew = json.dumps(dict(reversed(value.items())), indent=1).encode()
            same = key_of(transcript, anew) == key_of(transcript, transcript.request_body)
            assert same, transcript.id

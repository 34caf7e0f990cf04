"""Requests that are asked again are read once, and as the dialect reads them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.engine.known_requests import read_request
from remora_sidecar.model.exchange import RequestHead

CHAT = DIALECTS["openai-chat"]
HEAD = RequestHead("POST", "api.openai.com", "/v1/chat/completions", "", ())

bodies = st.binary(max_size=40) | st.builds(
    lambda model, stream: json.dumps({"model": model, "stream": stream}).encode(),
    st.sampled_from(["a", "b", 1, None]),
    st.booleans(),
)


@given(bodies)
def test_it_reads_what_the_dialect_reads(body):
    assert read_request(CHAT, HEAD, body) == CHAT.read_request(HEAD, body)
    assert read_request(CHAT, HEAD, body) == CHAT.read_request(HEAD, body)


def test_a_small_one_that_is_asked_again_is_not_read_again():
    def body():
        return json.dumps({"model": "asked-again"}).encode()

    assert read_request(CHAT, HEAD, body()) is read_request(CHAT, HEAD, body())


def test_a_large_one_is_not_held_to_be_known():
    body = json.dumps({"model": "m", "messages": "x" * 10_000}).encode()
    first, again = (read_request(CHAT, HEAD, body) for _ in range(2))
    assert first == again
    assert first is not again


@pytest.mark.parametrize(
    ("head", "dialect"),
    [
        (HEAD._replace(path="/openai/deployments/mine/chat/completions"), "openai-chat"),
        (HEAD._replace(path="/v1/embeddings"), "openai-embeddings"),
    ],
)
def test_the_same_bytes_elsewhere_are_another_request(head, dialect):
    body = b'{"model": "m"}'
    here = read_request(CHAT, HEAD, body)
    assert read_request(DIALECTS[dialect], head, body) != here

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.providers import ProviderRegistry
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.dialects.rewriting import Rewritten, path_at, with_model
from remora_sidecar.model.exchange import RequestHead

BODY = b'{ "messages" : [ {"role":"user","content":"hi"} ],"model" : "gpt-4o" ,"x":1.0}'


def provider(name):
    return ProviderRegistry.builtin().get(name)


def test_a_model_in_the_body_changes_alone():
    assert with_model("openai-chat", "/v1/chat/completions", BODY, "gpt-4o-mini") == Rewritten(
        "/v1/chat/completions",
        b'{ "messages" : [ {"role":"user","content":"hi"} ],"model" : "gpt-4o-mini" ,"x":1.0}',
    )


@pytest.mark.parametrize(
    ("dialect", "path", "model", "expected"),
    [
        (
            "gemini-generate",
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
            "gemini-2.5-flash",
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        ),
        (
            "gemini-generate",
            "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent",
            "gemini-2.5-flash",
            "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent",
        ),
        (
            "bedrock-converse",
            "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse-stream",
            "eu.amazon.nova-lite-v1:0",
            "/model/eu.amazon.nova-lite-v1%3A0/converse-stream",
        ),
        ("bedrock-invoke", "/model/a/invoke", "b/../../x?y", "/model/b%2F..%2F..%2Fx%3Fy/invoke"),
        (
            "openai-chat",
            "/openai/deployments/gpt-4o/chat/completions",
            "gpt-4o-mini",
            "/openai/deployments/gpt-4o-mini/chat/completions",
        ),
    ],
    ids=["gemini", "vertex", "bedrock", "a model that is no path", "azure"],
)
def test_a_model_in_the_path_changes_alone(dialect, path, model, expected):
    assert with_model(dialect, path, BODY, model) == Rewritten(expected, BODY)


def test_a_form_is_not_taken_for_json_whatever_stands_before_it_or_in_it():
    """Its model stands in a field; before the first boundary anything may stand (RFC 2046)."""
    field = b"--b\r\nContent-Disposition: form-data; name=model\r\n\r\nwhisper-1\r\n"
    told = b'{"model":"whisper-1"}\r\n'
    file = b"--b\r\nContent-Disposition: form-data; name=file\r\n\r\n" + told
    for body in (told + field + b"--b--\r\n", field + file + b"--b--\r\n"):
        assert with_model("openai-audio", "/v1/audio/transcriptions", body, "m") is None


@pytest.mark.parametrize("body", [b"", b"[]", b"not json", b"--boundary\r\n"])
def test_a_body_without_members_can_not_ask_for_another_model(body):
    assert with_model("openai-chat", "/v1/chat/completions", body, "m") is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"x":{"model":"a"}}', b'{"x":{"model":"a"},"model":"m"}'),
        (b'{"x":{"model":"a"},"model":"b"}', b'{"x":{"model":"a"},"model":"m"}'),
        (b'{"model":"a","x":"model"}', b'{"model":"m","x":"model"}'),
        (
            b'{"x":"say \\"model\\": \\"a\\"","model":"b"}',
            b'{"x":"say \\"model\\": \\"a\\"","model":"m"}',
        ),
        (b'{"model" : "a\\u0062"}', b'{"model" : "m"}'),
        (b'{"mod\\u0065l":"a","x":{"model":"a"}}', b'{"mod\\u0065l":"m","x":{"model":"a"}}'),
        (b'{"model":"a","mod\\u0065l":"a"}', b'{"model":"m","mod\\u0065l":"m"}'),
        (b'{"model":"a","model":"b"}', b'{"model":"m","model":"m"}'),
        (b'{"model":null}', b'{"model":"m"}'),
        (b"{}", b'{"model":"m"}'),
    ],
)
def test_only_the_outermost_objects_model_is_changed(body, expected):
    changed = with_model("openai-chat", "/v1/chat/completions", body, "m")
    assert changed.body == expected


names = st.text() | st.just("model")


@given(st.dictionaries(names, st.integers() | st.text()), st.text(min_size=1, max_size=20))
def test_what_asks_for_another_model_says_else_what_it_said(asked, model):
    body = json.dumps(asked).encode()
    changed = with_model("openai-chat", "/v1/chat/completions", body, model)
    assert json.loads(changed.body) == {**asked, "model": model}


@given(st.binary(), st.text(), st.text(min_size=1))
def test_no_bytes_make_it_raise(body, path, model):
    for name in DIALECTS:
        with_model(name, path, body, model)
        path_at(name, path, provider("openai"))


@pytest.mark.parametrize(
    ("dialect", "path", "to", "expected"),
    [
        ("openai-chat", "/v1/chat/completions", "groq", "/openai/v1/chat/completions"),
        ("openai-chat", "/chat/completions", "openai", "/v1/chat/completions"),
        (
            "openai-chat",
            "/openai/deployments/x/chat/completions",
            "mistral",
            "/v1/chat/completions",
        ),
        ("openai-responses", "/v1/responses", "groq", "/openai/v1/responses"),
        ("openai-completions", "/v1/completions", "deepseek", "/beta/completions"),
        ("anthropic-messages", "/v1/messages", "moonshot", "/anthropic/v1/messages"),
        ("anthropic-messages", "/v1/messages", "openai", None),
        ("openai-chat", "/v1/chat/completions/chatcmpl-1", "groq", None),
        ("bedrock-converse", "/model/x/converse", "aws-bedrock", None),
    ],
)
def test_each_provider_has_its_own_path_in_front(dialect, path, to, expected):
    assert path_at(dialect, path, provider(to)) == expected


@pytest.mark.parametrize("name", sorted(ProviderRegistry.builtin().names))
def test_the_path_at_a_provider_is_one_that_its_dialect_claims(name):
    target = provider(name)
    samples = {
        "openai-chat": "/v1/chat/completions",
        "openai-responses": "/v1/responses",
        "openai-completions": "/v1/completions",
        "openai-embeddings": "/v1/embeddings",
        "anthropic-messages": "/v1/messages",
        "cohere-chat": "/v2/chat",
        "ollama-chat": "/api/chat",
        "gemini-generate": "/v1beta/models/gemini-2.5-pro:generateContent",
    }
    for dialect in set(samples).intersection(target.dialects):
        path = path_at(dialect, samples[dialect], target)
        head = RequestHead("POST", "host", path, "", ())
        assert DIALECTS[dialect].claims(head)

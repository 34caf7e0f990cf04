"""Parameters of candidates in every dialect: what goes out, and who else has to know."""

import json

import pytest

from remora.providers import ProviderRegistry
from remora_sidecar.dialects.parameters import parameters
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.engine.leg import Leg, leg_to
from remora_sidecar.engine.target import Target
from remora_sidecar.model.exchange import RequestHead

REGISTRY = ProviderRegistry.builtin()
MESSAGES = b'"messages":[{"role":"user","content":"\\u00fc  hi"}]'
TEMPERATURE = {"temperature": 0}

CALLS = {
    "openai-chat": ("openai", "/v1/chat/completions", b'{"model":"m", ' + MESSAGES + b"}",
                    TEMPERATURE, b',"temperature":0}'),
    "openai-responses": ("openai", "/v1/responses", b'{"model":"m","input":"hi" }',
                         {"reasoning.effort": "low"}, b' ,"reasoning":{"effort":"low"}}'),
    "openai-completions": ("openai", "/v1/completions", b'{"model":"m","prompt":"hi"}',
                           {"max_tokens": 5}, b',"max_tokens":5}'),
    "openai-embeddings": ("openai", "/v1/embeddings", b'{"model":"m","input":"hi"}',
                          {"dimensions": 256}, b',"dimensions":256}'),
    "anthropic-messages": ("anthropic", "/v1/messages",
                           b'{"model":"m","max_tokens":9,' + MESSAGES + b"}",
                           {"thinking.type": "disabled"}, b',"thinking":{"type":"disabled"}}'),
    "gemini-generate": ("google", "/v1beta/models/m:generateContent",
                        b'{"contents":[],"generationConfig":{"topK":1}}',
                        {"generationConfig.temperature": 0}, b'{"topK":1,"temperature":0}}'),
    "bedrock-converse": ("aws-bedrock", "/model/m/converse", b'{' + MESSAGES + b"}",
                         {"inferenceConfig.maxTokens": 7}, b',"inferenceConfig":{"maxTokens":7}}'),
    "bedrock-invoke": ("aws-bedrock", "/model/m/invoke", b'{"max_tokens":9,' + MESSAGES + b"}",
                       TEMPERATURE, b',"temperature":0}'),
    "cohere-chat": ("cohere", "/v2/chat", b'{"model":"m",' + MESSAGES + b"}",
                    TEMPERATURE, b',"temperature":0}'),
    "ollama-chat": ("ollama", "/api/chat", b'{"model":"m",' + MESSAGES + b',"options":{}}',
                    {"options.temperature": 0.5}, b'"options":{"temperature":0.5}}'),
}  # fmt: skip


def own_leg(dialect, provider, path, body):
    head = RequestHead("POST", "h.example", path, "", ((b"Host", b"h.example"),))
    request = DIALECTS[dialect].read_request(head, body)
    found = REGISTRY.get(provider)
    return Leg(found, Target("https", "h.example", 443, path), head, request, body)


@pytest.mark.parametrize(
    ("dialect", "provider", "path", "body", "wanted", "end"),
    [(name, *call) for name, call in CALLS.items()],
    ids=CALLS,
)
def test_parameters_are_set_in_every_dialect_and_nothing_else_changes(
    dialect, provider, path, body, wanted, end
):
    own = own_leg(dialect, provider, path, body)
    leg = leg_to(own, DIALECTS[dialect], own.provider, own.model, parameters(wanted))
    assert leg.body.endswith(end)
    kept = next(n for n in range(len(body), -1, -1) if leg.body.startswith(body[:n]))
    assert body[kept:].strip(b" }") == b""  # all but what closes the objects
    assert leg.changes_body
    assert (leg.head, leg.target, leg.model) == (own.head, own.target, own.model)
    assert leg.request.operation == own.request.operation
    assert leg.parameters.text == json.dumps(wanted, separators=(",", ":"))


def test_a_candidate_whose_parameters_the_agent_set_itself_changes_no_byte():
    body = b'{"model":"m","temperature":0, ' + MESSAGES + b"}"
    own = own_leg("openai-chat", "openai", "/v1/chat/completions", body)
    leg = leg_to(own, DIALECTS["openai-chat"], own.provider, "m", parameters(TEMPERATURE))
    assert (leg.body, leg.changes_body) == (body, False)
    assert leg.parameters.text == '{"temperature":0}'


def test_model_and_parameters_change_together():
    body = b'{ "model" : "m", "temperature": 1 }'
    own = own_leg("openai-chat", "openai", "/v1/chat/completions", body)
    leg = leg_to(own, DIALECTS["openai-chat"], REGISTRY.get("groq"), "n", parameters(TEMPERATURE))
    assert leg.body == b'{ "model" : "n", "temperature": 0 }'
    assert leg.target.host == "api.groq.com"


def test_what_is_set_decides_whether_an_answer_is_a_sample():
    own = own_leg("openai-chat", "openai", "/v1/chat/completions", b'{"model":"m"}')
    assert own.request.samples
    leg = leg_to(own, DIALECTS["openai-chat"], own.provider, "m", parameters(TEMPERATURE))
    assert not leg.request.samples


def test_a_form_can_not_be_made_to_say_it():
    own = own_leg("openai-chat", "openai", "/v1/chat/completions", b"--boundary\r\n")
    assert (
        leg_to(own, DIALECTS["openai-chat"], own.provider, own.model, parameters(TEMPERATURE))
        is None
    )

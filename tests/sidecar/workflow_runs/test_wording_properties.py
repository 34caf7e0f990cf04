"""What holds of every question, whoever is asked."""

import json

import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import TypeAdapter
from tests.sidecar.workflow_runs.worded_questions import (
    CLOSED,
    JSON,
    OPEN,
    TEXT,
    form,
    own,
    provider,
    question,
)

from remora.providers.catalogue import builtin_providers
from remora.workflows.catalogue import Catalogue
from remora.workflows.model import CAPABILITIES
from remora.workflows.sizes import TOKENS_OF_ATTACHMENT
from remora_sidecar.dialects.registry import DIALECTS
from remora_sidecar.model.exchange import RequestHead
from remora_sidecar.workflow_runs.wording import surface_of, worded
from remora_sidecar.workflows.prompts import prompt_tokens
from remora_sidecar.workflows.question import SentMessage

ASKED = [p for p in builtin_providers() if surface_of(p)] + [own("ours")]
MODELS = sorted({entry.model for entry in Catalogue.builtin().models} | {"own"})
TEXTS = st.text(max_size=20)
IMAGES = st.sampled_from(
    [("image", "https://example.com/a.png"), ("image", "data:image/png;base64,AAAA")]
)
MESSAGES = st.builds(
    SentMessage,
    st.sampled_from(["system", "user", "assistant"]),
    TEXTS,
    st.lists(IMAGES, max_size=2).map(tuple),
)
CONVERSATIONS = st.lists(MESSAGES, max_size=4).flatmap(
    lambda said: TEXTS.map(lambda text: [*said, SentMessage("user", f"{text}?")])
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0.1, 1),
        "seed": st.integers(),
        "stop": st.lists(TEXTS, max_size=3),
        "reasoning_effort": st.sampled_from(["low", "high"]),
        "metadata": st.dictionaries(TEXTS, TEXTS, max_size=2),
    },
)
FORMS = st.sampled_from([TEXT, JSON, form(CLOSED), form(OPEN), form({"type": "array"}), form({})])
QUESTIONS = st.builds(
    lambda model, said, wanted, parameters: question(model, *said, form=wanted, **parameters),
    st.sampled_from(MODELS), CONVERSATIONS, FORMS, PARAMETERS,
)  # fmt: skip
OF_OLDER_MODELS = {"temperature", "top_p"}
"""Claudes up to 4.6 take them; Anthropic's SDK has them no more."""

ABILITIES = st.none() | st.frozensets(st.sampled_from(CAPABILITIES))


def texts_of(content):
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content if part["type"] == "text"]


@given(QUESTIONS, st.sampled_from(ASKED), ABILITIES)
def test_every_question_is_a_call_that_its_dialect_reads(asked, provider, can):
    request = worded(asked, provider, can)
    head = RequestHead("POST", "host", f"/v1{request.surface.path}", "", [])
    if request.surface.path.startswith("/v1/"):
        head = head._replace(path=request.surface.path)
    dialect = DIALECTS[request.surface.dialect]
    assert dialect.claims(head)
    read = dialect.read_request(head, request.body)
    assert (read.problem, read.model) == ("", asked.target.model)
    assert read.stream is json.loads(request.body).get("stream", False)
    assert not {"authorization", "x-api-key"} & request.headers.keys()
    assert set(request.left_out) <= set(asked.parameters)


@given(QUESTIONS, st.sampled_from(ASKED), ABILITIES)
def test_the_messages_keep_their_texts_and_their_order(asked, provider, can):
    sent = json.loads(worded(asked, provider, can).body)
    found = [(m["role"], text) for m in sent["messages"] for text in texts_of(m["content"])]
    system = [("system", part["text"]) for part in sent.get("system", ())]
    turns = [(m.role, m.text) for m in asked.messages if m.role != "system" and m.text.strip()]
    assert [(r, t) for r, t in found if r != "system" and t.strip()] == turns
    rest = "".join(text for role, text in [*system, *found] if role == "system")
    for text in (m.text for m in asked.messages if m.role == "system" and m.text.strip()):
        _, there, rest = rest.partition(text)
        assert there == text


@given(QUESTIONS, st.sampled_from(ASKED))
def test_the_estimate_counts_whatever_a_provider_is_told(asked, provider):
    """All texts that reach the model, counted one by one, are within what is reserved."""
    sent = json.loads(worded(asked, provider).body)
    told = [
        SentMessage(m["role"], text)
        for m in [*({"role": "system", "content": [part]} for part in sent.get("system", ())),
                  *sent["messages"]]
        for text in texts_of(m["content"])
    ]  # fmt: skip
    attached = sum(len(m.attachments) for m in asked.messages)
    reserved = prompt_tokens(asked.messages, asked.form) - TOKENS_OF_ATTACHMENT * attached
    assert prompt_tokens(told, TEXT) <= reserved


def test_every_model_of_the_catalogue_can_be_asked_for_json():
    for entry in Catalogue.builtin().models:
        if entry.operation == "chat":
            asked = question(entry.model, form=form(CLOSED))
            sent = json.loads(worded(asked, provider(entry.provider)).body)
            has_feature = "response_format" in sent or "output_config" in sent
            assert has_feature is ("structured_output" in entry.capabilities), entry.name


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("openai", CompletionCreateParamsStreaming),
        ("anthropic", MessageCreateParamsStreaming),
    ],
    ids=["openai", "anthropic"],
)
def test_bodies_are_what_the_official_sdks_send(name, shape):
    """Held against the SDKs' own types, which follow the providers' specifications."""
    sdk = TypeAdapter(shape)

    @given(QUESTIONS)
    def check(asked):
        sent = json.loads(worded(asked, provider(name)).body)
        assert sent.keys() - OF_OLDER_MODELS <= shape.__required_keys__ | shape.__optional_keys__
        sdk.dump_json(sdk.validate_python(sent))

    check()

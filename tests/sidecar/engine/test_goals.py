"""What a call is for, and how much may be left to chance in it: who says so, in which order."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.dialects.request_format import response_format
from remora_sidecar.dialects.request_view import RequestView
from remora_sidecar.engine.attribution import attribute
from remora_sidecar.engine.goal import (
    BAD_GOAL,
    BAD_RISK,
    MAX_CONVERSATIONS,
    GoalRules,
    checked_goal,
    goal_in_header,
    higher,
    risk_in_header,
)
from remora_sidecar.engine.sessions import Sessions
from remora_sidecar.model.exchange import RequestHead

CALL_ID = "0" * 31 + "1"
HEAD = RequestHead("POST", "api.openai.com", "/v1/chat/completions", "", ())
TRANSLATE = "Translate this into French: good morning"


@pytest.fixture
def sessions():
    return Sessions(1)


HEADERS = {
    "nothing said": ([], "of the session", ()),
    "the call says": ([("remora-goal", b"support")], "support", ()),
    "space around it": ([("Remora-Goal", b"  support chat ")], "support chat", ()),
    "in UTF-8": ([("remora-goal", "\u00fcbersetzen".encode())], "\u00fcbersetzen", ()),
    "in Latin-1": ([("remora-goal", "\u00fcbersetzen".encode("latin-1"))], "\u00fcbersetzen", ()),
    "nothing in it": ([("remora-goal", b"   ")], "of the session", (BAD_GOAL,)),
    "too long": ([("remora-goal", b"g" * 129)], "of the session", (BAD_GOAL,)),
    "what stands for all": ([("remora-goal", b"*")], "of the session", (BAD_GOAL,)),
    "just so long": ([("remora-goal", b"g" * 128)], "g" * 128, ()),
    "what nobody sees": ([("remora-goal", b"a\tb")], "of the session", (BAD_GOAL,)),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "goal", "notes"), HEADERS.values(), ids=HEADERS)
def test_the_calls_own_goal_goes_before_its_sessions(sessions, headers, goal, notes):
    session = sessions.open(2, goal="of the session")
    fields = [(name.encode(), value) for name, value in headers]
    found = attribute(fields, session.session_id, sessions, CALL_ID)
    assert (found.attribution.goal, found.notes) == (goal, notes)


def test_a_call_of_which_nobody_says_it_has_no_goal(sessions):
    assert attribute([], "", sessions, CALL_ID).attribution.goal == ""


RISKS = {
    "nothing said": (None, None, ()),
    "low": (b"low", "low", ()),
    "capitals": (b"HIGH", "high", ()),
    "another word": (b"extreme", None, (BAD_RISK,)),
    "nothing in it": (b"", None, (BAD_RISK,)),
}


@pytest.mark.parametrize(("value", "risk", "notes"), RISKS.values(), ids=RISKS)
def test_a_call_may_state_its_risk(sessions, value, risk, notes):
    headers = [] if value is None else [(b"remora-risk", value)]
    found = attribute(headers, "", sessions, CALL_ID)
    assert (found.risk, found.notes) == (risk, notes)


def test_the_higher_risk_counts():
    risks = ("low", "medium", "high")
    for low, one in enumerate(risks):
        for other in risks[low:]:
            assert higher(one, other) == higher(other, one) == other


@given(st.text(max_size=200))
def test_no_header_makes_it_raise_and_what_is_taken_is_a_goal(text):
    value = text.encode("utf-8", "replace").decode("latin-1")
    goal = goal_in_header(value)
    assert goal is None or checked_goal(goal) == goal
    assert risk_in_header(text) in (None, "low", "medium", "high")


def view(*messages, **more):
    asked = {"messages": [{"role": role, "content": text} for role, text in messages], **more}
    return RequestView(HEAD, json.dumps(asked).encode())


def test_rules_tell_what_a_conversation_is_for_that_nobody_says_it_of():
    assert GoalRules().goal_of("chat", view(("user", TRANSLATE))) == "translation"
    assert GoalRules().goal_of("chat", view(("user", "hi"))) == "general"
    assert GoalRules().goal_of("embeddings", view()) == "embedding"


def test_a_conversation_keeps_what_it_began_with():
    rules = GoalRules()
    begun = ("system", "You help."), ("user", TRANSLATE)
    grown = *begun, ("assistant", "bonjour"), ("user", "Summarize our conversation")
    assert rules.goal_of("chat", view(*grown)) == rules.goal_of("chat", view(*begun))
    assert len(rules._known) == 1


def test_ever_new_conversations_fill_no_memory():
    rules = GoalRules()
    for number in range(MAX_CONVERSATIONS + 10):
        rules.goal_of("chat", view(("user", f"{number}")))
    assert len(rules._known) == MAX_CONVERSATIONS


FORMATS = {
    "nothing": ({}, ""),
    "text of OpenAI": ({"response_format": {"type": "text"}}, ""),
    "an object of OpenAI": ({"response_format": {"type": "json_object"}}, "json_object"),
    "a schema of OpenAI": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "json_schema",
    ),
    "a schema of Responses": (
        {"text": {"format": {"type": "json_schema", "schema": {}}}}, "json_schema",
    ),
    "text of Responses": ({"text": {"format": {"type": "text"}}}, ""),
    "a schema of Anthropic": (
        {"output_config": {"format": {"type": "json_schema", "schema": {}}}}, "json_schema",
    ),
    "a schema of Anthropic, as it was": (
        {"output_format": {"type": "json_schema", "schema": {}}}, "json_schema",
    ),
    "a schema of Gemini": ({"generationConfig": {"responseSchema": {}}}, "json_schema"),
    "JSON of Gemini": (
        {"generationConfig": {"responseMimeType": "application/json"}}, "json_object",
    ),
    "text of Gemini": ({"generationConfig": {"responseMimeType": "text/plain"}}, ""),
    "JSON of Ollama": ({"format": "json"}, "json_object"),
    "a schema of Ollama": ({"format": {"type": "object"}}, "json_schema"),
    "a schema of Cohere": (
        {"response_format": {"type": "json_object", "json_schema": {}}}, "json_schema",
    ),
    "nonsense": ({"response_format": 1, "text": [], "generationConfig": "x", "format": 2}, ""),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "form"), FORMATS.values(), ids=FORMATS)
def test_the_form_that_an_answer_is_to_have_is_read_in_every_dialect(asked, form):
    assert response_format(asked) == form

"""What is read of requests, and what is taken out of them: pure."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.engine.sessions import Sessions
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.openai_api.asked import Asked, read_asked
from remora_sidecar.openai_api.client_key import ClientKey, read_client_key
from remora_sidecar.openai_api.failures import moves_on
from remora_sidecar.openai_api.returned import seconds_to_wait
from remora_sidecar.openai_api.surface import CHAT
from remora_sidecar.openai_api.wanted import tiers_from

OWN = {
    "task_id": st.sampled_from([None, "t-1"]),
    "preferred_max_latency": st.sampled_from([None, 250, 0.5]),
    "plugins": st.sampled_from([None, []]),
    "zdr": st.sampled_from([None, False]),
    "data_collection": st.sampled_from([None, "allow"]),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
OTHER = st.dictionaries(
    st.text(max_size=12).filter(lambda name: name not in {*OWN, "preferred_min_throughput"}),
    VALUES,
    max_size=5,
)


@given(OTHER, st.fixed_dictionaries({}, optional=OWN), st.data())
def test_only_what_is_ours_is_taken_out(other, own, data):
    fields = list({**other, "model": "auto", **own}.items())
    shuffled = dict(data.draw(st.permutations(fields)))
    ascii_only = data.draw(st.booleans())
    body = json.dumps(shuffled, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    asked = read_asked(CHAT, body)
    assert isinstance(asked, Asked)
    rest = {name: value for name, value in shuffled.items() if name not in own}
    expected = json.dumps(rest, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert asked.body.replace(b" ", b"") == expected.replace(b" ", b"")
    assert asked.task_id == (own.get("task_id") or "")


@given(st.binary(max_size=60))
def test_no_bytes_are_too_odd(body):
    assert isinstance(read_asked(CHAT, body), Asked | Refusal)


def test_a_field_that_is_spelled_oddly_is_taken_out_as_well():
    asked = read_asked(CHAT, b'{"task\\u005fid": "t-1", "model": "auto", "task_id": "t-2"}')
    assert json.loads(asked.body) == {"model": "auto"}


def test_openrouters_plugins_are_openrouters():
    body = b'{"model": "openrouter/x/y", "plugins": [{"id": "web"}]}'
    assert read_asked(CHAT, body).body == body
    assert isinstance(read_asked(CHAT, body.replace(b"openrouter", b"groq")), Refusal)


@pytest.mark.parametrize(
    ("key", "named", "goes_to"),
    [
        ("sk-ant-1", True, {"anthropic"}),
        ("sk-ant-1", False, {"anthropic"}),
        ("sk-1", True, {"openai", "groq", "anthropic"}),
        ("sk-1", False, set()),
        ("kr_live_1", True, set()),
        ("kr-1", True, set()),
        ("two words", True, set()),
        ("caf\u00e9", True, set()),
        ("\udce9", True, set()),
        ("", True, set()),
        ("default", True, set()),
    ],
)
def test_a_key_goes_to_whom_it_is_for(key, named, goes_to):
    found = read_client_key(f"Bearer {key}", Sessions(0))
    assert isinstance(found, ClientKey)
    providers = ("openai", "groq", "anthropic")
    assert {one for one in providers if found.may_go_to(one, was_named=named)} == goes_to
    assert not key or key == "default" or key not in repr(found)


def test_a_session_of_the_sidecars_own_is_nobodys_key():
    sessions = Sessions(0)
    own = sessions.open_own(0, "remora-judge")
    opened = sessions.open(0)
    assert isinstance(read_client_key(f"Bearer {own.session_id}", sessions), Refusal)
    assert read_client_key(f"Bearer {opened.session_id}", sessions).session is opened
    sessions.end(opened.session_id)
    assert read_client_key(f"bearer {opened.session_id}", sessions).status == 401


def test_a_session_named_beside_a_key_is_the_calls_while_it_is_open():
    sessions = Sessions(0)
    opened, own = sessions.open(0), sessions.open_own(0, "remora-judge")
    found = read_client_key("Bearer sk-proj-1", sessions, opened.session_id)
    assert found.session is opened
    assert found.may_go_to("openai", was_named=False)
    for passed_over in (own.session_id, "sess_unknown", ""):
        assert read_client_key("Bearer sk-1", sessions, passed_over).session is sessions.default
    sessions.end(opened.session_id)
    found = read_client_key("Bearer sk-1", sessions, opened.session_id)
    assert found.session is sessions.default


@pytest.mark.parametrize(
    ("status", "answer", "moves"),
    [
        (200, {}, False),
        (500, None, True),
        (429, {"error": {"code": "rate_limit_exceeded"}}, True),
        (429, {"error": {}, "remora": {"code": "BUDGET_EXCEEDED"}}, False),
        (429, {"error": {}, "remora": {"code": "RATE_LIMITED"}}, False),
        (403, {"error": {}, "remora": {"code": "TASK_PAUSED"}}, False),
        (502, {"error": {}, "remora": {"code": "UPSTREAM_FAILED"}}, True),
        (400, {"error": {"code": "context_length_exceeded"}}, True),
        (400, {"error": {"code": "invalid_value"}}, False),
        (400, [], False),
    ],
)
def test_which_failures_let_another_model_be_tried(status, answer, moves):
    assert moves_on(status, answer) is moves


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", "7"),
        ("0.5", "0.5"),
        ("-1", "0"),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "60"),
        ("Wed, 21 Oct 2020 07:28:00 GMT", "0"),
        ("soon", "1"),
    ],
)
def test_a_time_to_wait_becomes_seconds(value, seconds):
    assert seconds_to_wait(value, datetime(2026, 10, 21, 7, 27, tzinfo=UTC)) == seconds


def test_stronger_tiers_are_looked_through_before_weaker_ones():
    assert tiers_from("balanced") == ("balanced", "high", "fast")
    assert tiers_from("fast") == ("fast", "balanced", "high")
    assert tiers_from("high") == ("high", "balanced", "fast")

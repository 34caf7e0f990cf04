import pytest

from remora_sidecar.engine.attribution import attribute
from remora_sidecar.engine.sessions import Sessions

CALL_ID = "0" * 31 + "1"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def sessions():
    return Sessions(1)


def test_the_proxy_users_session_gives_its_fields(sessions):
    session = sessions.open(2, data_id="d", combo_id="c", agent_id="a", task_id="t")
    found = attribute([], session.session_id, sessions, CALL_ID)
    assert found.session is session
    assert (found.attribution.data_id, found.attribution.combo_id) == ("d", "c")
    assert (found.attribution.agent_id, found.attribution.task_id) == ("a", "t")
    assert found.notes == ()


def test_headers_win_over_the_session_field_by_field(sessions):
    session = sessions.open(2, data_id="d", agent_id="a")
    headers = [(b"remora-agent-id", b"planner"), (b"Remora-Task", b"t9")]
    found = attribute(headers, session.session_id, sessions, CALL_ID).attribution
    assert (found.data_id, found.agent_id, found.task_id) == ("d", "planner", "t9")


def test_the_session_header_wins_over_the_proxy_user(sessions):
    proxied, named = sessions.open(2), sessions.open(3)
    headers = [(b"remora-session", named.session_id.encode())]
    assert attribute(headers, proxied.session_id, sessions, CALL_ID).session is named


def test_an_unknown_session_counts_under_the_default_one_and_is_said(sessions):
    found = attribute([], "sess_unknown", sessions, CALL_ID)
    assert found.session is sessions.default
    assert "unknown session" in found.notes[0]


def test_no_session_is_the_default_one_without_a_word(sessions):
    found = attribute([], "", sessions, CALL_ID)
    assert (found.session, found.notes) == (sessions.default, ())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", (TRACE, SPAN)),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-adds", (TRACE, SPAN)),
        ("", (CALL_ID, "")),
        (f"00-{TRACE}-{SPAN}", (CALL_ID, "")),
        (f"00-{TRACE.upper()}-{SPAN}-01", (CALL_ID, "")),
        (f"00-{'0' * 32}-{SPAN}-01", (CALL_ID, "")),
        (f"00-{TRACE}-{'0' * 16}-01", (CALL_ID, "")),
    ],
    ids=["valid", "later version", "none", "short", "capitals", "zero trace", "zero span"],
)
def test_the_trace_is_traceparents_or_the_calls_own(sessions, value, expected):
    headers = [(b"traceparent", value.encode())] if value else []
    found = attribute(headers, "", sessions, CALL_ID).attribution
    assert (found.trace_id, found.parent_span_id) == expected


def test_an_endless_id_is_cut(sessions):
    found = attribute([(b"remora-data-id", b"x" * 10_000)], "", sessions, CALL_ID)
    assert len(found.attribution.data_id) == 256

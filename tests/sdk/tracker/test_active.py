"""Whose a call is, and which calls are a sidecar's."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.testing.double_tls import Authority
from remora.tracker.active import (
    ActiveSession,
    ProviderHosts,
    SidecarAccess,
    UntrackedCallWarning,
    active_session,
    forget_untracked_causes,
    session_for,
    within,
)

CA = Authority(["api.openai.com"]).ca_pem.decode()
PROVIDERS = (
    ProviderHosts(("api.openai.com", "*.openai.azure.com"), (443,), True),
    ProviderHosts(("localhost", "::1"), (11434,), False),
)


def access(**changed):
    return SidecarAccess(
        **{
            "proxy_host": "127.0.0.1",
            "proxy_port": 15001,
            "ca_pem": CA,
            "ca_file": "/t/ca.pem",
            "bundle_file": "/t/bundle.pem",
            "trust_dir": "/t",
            "providers": PROVIDERS,
            **changed,
        }
    )


@pytest.mark.parametrize(
    ("scheme", "host", "port", "taken"),
    [
        ("https", "api.openai.com", 443, True),
        ("https", "API.OpenAI.com.", 8443, True),
        ("http", "api.openai.com", 80, False),
        ("https", "mine.openai.azure.com", 443, True),
        ("https", "openai.azure.com", 443, False),
        ("https", "evil-api.openai.com", 443, False),
        ("http", "localhost", 11434, True),
        ("http", "[::1]", 11434, True),
        ("http", "localhost", 8000, False),
        ("https", "localhost", 11434, False),
    ],
)
def test_hosts_of_providers_are_taken_and_no_others(scheme, host, port, taken):
    sidecar = access()
    assert [sidecar.takes(scheme, host, port) for _ in range(2)] == [taken, taken]


@given(st.text(max_size=30), st.integers(0, 65535))
def test_any_text_is_a_host_that_can_be_asked_about(host, port):
    assert access().takes("https", host, port) in (True, False)


def test_a_session_can_be_sent_to_another_process():
    sidecar = access()
    assert sidecar.takes("https", "api.openai.com", 443)
    assert sidecar.tls is sidecar.tls
    copy = pickle.loads(pickle.dumps(ActiveSession("sess_1", sidecar)))  # noqa: S301 - our own
    assert copy == ActiveSession("sess_1", sidecar)
    assert copy.sidecar.tls is sidecar.tls
    assert copy.proxy_url == "http://sess_1:x@127.0.0.1:15001"
    assert access(proxy_host="::1").proxy_url == "http://[::1]:15001"


def test_outside_of_sessions_nothing_is_taken_and_nothing_told():
    assert session_for("POST", "http", "mine.example", 80, "/v1/chat/completions") is None


def test_the_innermost_session_counts_and_none_can_be_one():
    one, two = ActiveSession("sess_1", access()), ActiveSession("sess_2", access())
    with within(one):
        with within(two):
            assert session_for("POST", "https", "api.openai.com", 443, "/v1/x") is two
        with within(None):
            assert session_for("POST", "https", "api.openai.com", 443, "/v1/x") is None
        assert session_for("POST", "https", "api.openai.com", 443, "/v1/x") is one
    assert active_session.get() is None


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/proxy/v1/messages?beta=true",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        "/api/chat",
        "/openai/deployments/mine/chat/completions",
    ],
)
def test_what_looks_like_a_call_elsewhere_is_told_once_for_each_host(path):
    forget_untracked_causes()
    with within(ActiveSession("sess_1", access())):
        with pytest.warns(UntrackedCallWarning, match="register_provider"):
            assert session_for("POST", "http", "mine.example", 80, path) is None
        assert session_for("POST", "http", "mine.example", 80, path) is None
        with pytest.warns(UntrackedCallWarning):
            session_for("POST", "http", "other.example", 80, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/chat/completions"), ("POST", "/v1/search"), ("POST", "/chat/completions.html")],
)
def test_what_does_not_look_like_one_is_left_alone(method, path):
    forget_untracked_causes()
    with within(ActiveSession("sess_1", access())):
        assert session_for(method, "http", "mine.example", 80, path) is None

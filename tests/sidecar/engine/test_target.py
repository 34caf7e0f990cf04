import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.engine.refusal import Refusal
from remora_sidecar.engine.target import Target, locate
from remora_sidecar.model.handoff import HandOff

TLS = HandOff("explicit", destination="", port=443, tls_name="api.openai.com")
PROXIED = HandOff("explicit", tls_name="", destination="", port=0)
PLAIN = HandOff("transparent", tls_name="", destination="10.0.0.9:8000", port=8000)


@pytest.mark.parametrize(
    ("hand_off", "target", "host", "expected"),
    [
        (TLS, "/v1/x?a=1", "api.openai.com", Target("https", "api.openai.com", 443, "/v1/x?a=1")),
        (TLS, "/", "API.OpenAI.com:443", Target("https", "api.openai.com", 443, "/")),
        (TLS, "*", "api.openai.com", Target("https", "api.openai.com", 443, "*")),
        (TLS, "https://api.openai.com/v1", "api.openai.com",
         Target("https", "api.openai.com", 443, "/v1")),
        (TLS, "https://api.openai.com", "api.openai.com",
         Target("https", "api.openai.com", 443, "/")),
        (PROXIED, "http://vllm:8000/v1?x", "other", Target("http", "vllm", 8000, "/v1?x")),
        (PROXIED, "HTTP://a.example?q", "", Target("http", "a.example", 80, "/?q")),
        (PROXIED, "http://u:p@a.example/#frag", "", Target("http", "a.example", 80, "/")),
        (PROXIED, "http://[::1]:81/x", "", Target("http", "::1", 81, "/x")),
        (PLAIN, "/v1", "vllm.ml", Target("http", "vllm.ml", 8000, "/v1")),
        (PLAIN, "/v1", "vllm.ml:9", Target("http", "vllm.ml", 8000, "/v1")),
    ],
)  # fmt: skip
def test_requests_go_where_they_say(hand_off, target, host, expected):
    headers = [(b"Host", host.encode())] if host else []
    assert locate("GET", target, headers, hand_off) == expected


@pytest.mark.parametrize(
    ("hand_off", "method", "target", "host", "status", "code"),
    [
        (TLS, "GET", "/", "api.anthropic.com", 421, "MISDIRECTED_REQUEST"),
        (TLS, "GET", "/", "", 421, "MISDIRECTED_REQUEST"),
        (TLS, "GET", "/", "api.openai.com:bad", 421, "MISDIRECTED_REQUEST"),
        (TLS, "GET", "https://evil.example/", "api.openai.com", 400, "BAD_REQUEST"),
        (TLS, "GET", "http://api.openai.com/", "api.openai.com", 400, "BAD_REQUEST"),
        (TLS, "GET", "no-slash", "api.openai.com", 400, "BAD_REQUEST"),
        (TLS, "CONNECT", "a:443", "a:443", 405, "BAD_REQUEST"),
        (PROXIED, "GET", "/", "x", 400, "BAD_REQUEST"),
        (PROXIED, "GET", "http:///x", "", 400, "BAD_REQUEST"),
        (PLAIN, "GET", "/", "", 421, "NOT_A_PROVIDER"),
        (PLAIN, "GET", "nope", "vllm.ml", 400, "BAD_REQUEST"),
    ],
)
def test_what_goes_nowhere_is_refused(hand_off, method, target, host, status, code):
    headers = [(b"Host", host.encode())] if host else []
    refusal = locate(method, target, headers, hand_off)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (status, code)


@given(st.text(max_size=40), st.text(max_size=20))
def test_no_target_reaches_another_host_than_tls_was_made_for(target, host):
    headers = [(b"Host", host.encode("utf-8", "surrogateescape"))]
    found = locate("GET", target, headers, TLS)
    assert isinstance(found, Refusal) or (found.host, found.port) == ("api.openai.com", 443)


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (Target("https", "a.example", 443, "/x?y"), "https://a.example/x?y"),
        (Target("http", "a.example", 8000, "/"), "http://a.example:8000/"),
        (Target("http", "::1", 80, "/"), "http://[::1]/"),
    ],
)
def test_the_url_names_no_default_port(target, url):
    assert target.url == url

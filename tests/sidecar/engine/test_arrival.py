"""What the head of a request says, read once for all that say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.cache.harmless import harmless
from remora_sidecar.engine import arrival as module
from remora_sidecar.engine.arrival import arrival, seal_of
from remora_sidecar.engine.headers import ours, without_ours
from remora_sidecar.engine.target import locate
from remora_sidecar.model.exchange import header
from remora_sidecar.model.handoff import HandOff
from remora_sidecar.model.refusal import Refusal

HOST = b"api.openai.com"
TLS = HandOff("explicit", "api.openai.com", "", 443)
TARGET = "/v1/chat/completions?a=1"
EACH_TIME = sorted(module._EACH_TIME)

names = st.sampled_from(
    [b"Host", b"Content-Length", b"TraceParent", b"Content-Type", b"content-encoding", b"Expect",
     b"Upgrade", b"Authorization", b"Cache-Control", b"remora-task", b"Remora-Data-Id", b"X-A"]
)  # fmt: skip
values = st.sampled_from(
    [HOST, b"12", b"gzip", b"100-continue", b"websocket", b"no-store", b"AWS4-HMAC-SHA256 x", b""]
)
heads = st.lists(st.tuples(names, values), max_size=8).map(
    lambda fields: ((b"Host", HOST), *fields)
)


@given(heads)
def test_it_says_what_the_fields_say(headers):
    found = arrival("POST", TARGET, headers, TLS)

    place = locate("POST", TARGET, headers, TLS)
    assert found.target == place
    assert found.head(headers).headers == (without_ours(headers) if ours(headers) else headers)
    assert found.head(headers)[:4] == ("POST", "api.openai.com", "/v1/chat/completions", "a=1")
    assert found.ours == ours(headers)
    assert found.content_type == (header(headers, b"content-type") or "")
    assert found.content_encoding == header(headers, b"content-encoding")
    assert found.seal == seal_of(headers)


@given(heads)
def test_what_lasts_lacks_only_what_is_ours_or_differs_each_time(headers):
    lasting = arrival("POST", TARGET, headers, TLS).lasting.headers

    left_out = [field for field in without_ours(headers) if field not in lasting]
    assert {name.lower() for name, _ in left_out} <= set(EACH_TIME)
    assert not {name.lower() for name, _ in lasting} & set(EACH_TIME)


@pytest.mark.parametrize("name", EACH_TIME)
def test_heads_that_differ_in_what_differs_each_time_are_read_once(name):
    fields = ((b"Host", HOST), (b"X-Mine", name))
    first, again = (
        arrival("POST", TARGET, (*fields, (name.title(), value)), TLS) for value in (b"1", b"2")
    )
    assert first is again


@pytest.mark.parametrize("name", EACH_TIME)
def test_no_cache_key_knows_what_differs_each_time(name):
    assert harmless("openai", "openai-chat").has_header(name)


def test_connections_that_were_made_for_other_hosts_are_told_apart():
    other = TLS._replace(tls_name="api.anthropic.com")
    headers = ((b"Host", HOST),)
    assert not isinstance(arrival("GET", "/", headers, TLS), Refusal)
    assert isinstance(arrival("GET", "/", headers, other), Refusal)

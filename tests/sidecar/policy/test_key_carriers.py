"""Where requests carry keys: all are found, and nothing else is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.providers import AuthScheme, ProviderRegistry
from remora_sidecar.policy.key_carriers import (
    KEY_HEADERS,
    SIGNATURE_HEADERS,
    key_problem,
    scheme_for,
    with_fingerprint,
    with_key,
    without_keys,
)

KEY = "sk-policy-0123456789"
AGENTS = b"sk-agent-dummy"

_KEPT = [
    (b"Host", b"api.openai.com"),
    (b"ACCEPT", b"*/*  "),
    (b"Cookie", b"session=1; key=2"),
    (b"Idempotency-Key", b"8d4f"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"OpenAI-Organization", b"org-1"),
    (b"x-goog-user-project", b"p"),
    (b"X-Amzn-Bedrock-GuardrailIdentifier", b"g"),
    (b"anthropic-beta", b"a"),
    (b"anthropic-beta", b"b"),
    (b"x-b", b"\xff\x00"),
]


def test_what_carries_no_key_stays_byte_by_byte_and_in_order():
    target = "/v1/x%2Fy?b=%20+&a=1&&=&monkey=k&max_tokens=5&"
    assert without_keys(_KEPT, target) == (_KEPT, target)


@pytest.mark.parametrize("name", sorted(KEY_HEADERS | SIGNATURE_HEADERS))
def test_every_field_that_carries_a_key_is_taken_out_in_any_spelling(name):
    carriers = [(name, AGENTS), (name.title(), AGENTS), (name.upper(), AGENTS)]
    headers = [carriers[0], *_KEPT[:4], carriers[1], *_KEPT[4:], carriers[2]]
    assert without_keys(headers, "/").headers == _KEPT


TARGETS = {
    "only": ("/x?key=k", "/x"),
    "first": ("/x?key=k&a=1", "/x?a=1"),
    "last": ("/x?alt=sse&key=k", "/x?alt=sse"),
    "between": ("/x?a=1&api_key=k&b=2", "/x?a=1&b=2"),
    "all there are": ("/x?a&access_token=k&key=k&b&api-key=k", "/x?a&b"),
    "Azure's": ("/x?api-version=1&subscription-key=k", "/x?api-version=1"),
    "with a dollar": ("/x?$key=k&%24key=k&$alt=sse", "/x?$alt=sse"),
    "in capitals": ("/x?KEY=k&Access-Token=k&A=1", "/x?A=1"),
    "escaped": ("/x?%6bey=k&%61=1", "/x?%61=1"),
    "a signature": ("/m?X-Amz-Signature=s&X-Amz-Credential=c&x=1", "/m?x=1"),
    "by a semicolon": ("/x?a=1;key=k;b", "/x?a=1;b"),
    "twice": ("/x?key=k&key=l", "/x"),
    "without a value": ("/x?key&a", "/x?a"),
    "with equals signs": ("/x?key=a=b=c&d=e", "/x?d=e"),
    "after two marks": ("/x??key=k", "/x"),
    "none": ("/x?a=b", "/x?a=b"),
    "an empty query": ("/x?", "/x?"),
    "no query": ("/key=k", "/key=k"),
}


@pytest.mark.parametrize(("target", "left"), TARGETS.values(), ids=TARGETS)
def test_every_parameter_that_carries_a_key_is_taken_out_and_no_other(target, left):
    assert without_keys([], target) == ([], left)


SUBPROTOCOLS = {
    "OpenAI's": (
        b"realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1",
        b"realtime, openai-beta.realtime-v1",
    ),
    "xAI's": (b"xai-client-secret.x", None),
    "in front": (b"openai-insecure-api-key.sk-1,realtime", b"realtime"),
    "none": (b"realtime,  graphql-ws ", b"realtime,  graphql-ws "),
}


@pytest.mark.parametrize(("sent", "left"), SUBPROTOCOLS.values(), ids=SUBPROTOCOLS)
def test_a_key_among_the_subprotocols_of_a_websocket_is_taken_out(sent, left):
    kept = without_keys([(b"Sec-WebSocket-Protocol", sent)], "/").headers
    assert kept == ([] if left is None else [(b"Sec-WebSocket-Protocol", left)])


SCHEMES = {
    AuthScheme.BEARER: (b"Authorization", b"Bearer " + KEY.encode()),
    AuthScheme.X_API_KEY: (b"x-api-key", KEY.encode()),
    AuthScheme.API_KEY: (b"api-key", KEY.encode()),
    AuthScheme.X_GOOG_API_KEY: (b"x-goog-api-key", KEY.encode()),
}


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.value)
def test_a_key_takes_the_place_and_spelling_of_the_agents_own(scheme):
    name, value = SCHEMES[scheme]
    headers = [_KEPT[0], (name.upper(), AGENTS), *_KEPT[1:], (name, AGENTS)]
    sent = with_key(headers, "/x?key=k&a=1", scheme, KEY)
    assert sent == ([_KEPT[0], (name.upper(), value), *_KEPT[1:]], "/x?a=1")


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.value)
@pytest.mark.parametrize("carrier", sorted(KEY_HEADERS))
def test_a_key_is_the_only_one_whatever_the_agent_used(scheme, carrier):
    name, value = SCHEMES[scheme]
    sent = with_key([(carrier, AGENTS), *_KEPT], "/", scheme, KEY).headers
    assert sorted(sent) == sorted([*_KEPT, (carrier if carrier == name.lower() else name, value)])


def test_a_key_goes_to_the_end_where_the_agent_sent_none():
    assert with_key(_KEPT, "/", AuthScheme.BEARER, KEY).headers == [
        *_KEPT,
        (b"Authorization", b"Bearer " + KEY.encode()),
    ]


@pytest.mark.parametrize(
    "key",
    [
        "qz\r\nb: c",
        "qz\nb",
        "qz\0b",
        "qz\x7f",
        "qz b",
        "qz\tb",
        "qz\u00e4",
        "qz\x85",
        " qz",
        "qz\n",
    ],
    ids=repr,
)
def test_what_is_not_one_visible_word_is_never_sent(key):
    assert "one word" in (key_problem(key) or "")
    with pytest.raises(ValueError, match="one word") as refused:
        with_key([], "/", AuthScheme.BEARER, key)
    assert "qz" not in str(refused.value)


def test_an_empty_key_is_never_sent():
    with pytest.raises(ValueError, match="the key is empty"):
        with_key([], "/", AuthScheme.BEARER, "")


def test_a_scheme_that_signs_sends_no_key():
    with pytest.raises(ValueError, match="signed") as refused:
        with_key([], "/", AuthScheme.SIGV4, KEY)
    assert KEY not in str(refused.value)


def test_a_fingerprint_stands_where_a_key_would_be():
    headers = [(b"x-api-key", AGENTS), (b"authorization", AGENTS), *_KEPT]
    assert with_fingerprint(headers, "/x?key=k", "ab12") == (
        [(b"authorization", b"Remora ab12"), *_KEPT],
        "/x",
    )


@pytest.mark.parametrize(
    ("provider", "dialect", "scheme"),
    [
        ("openai", "openai-chat", AuthScheme.BEARER),
        ("anthropic", "anthropic-messages", AuthScheme.X_API_KEY),
        ("anthropic", "openai-chat", AuthScheme.BEARER),
        ("google", "gemini-generate", AuthScheme.X_GOOG_API_KEY),
        ("google", "openai-chat", AuthScheme.BEARER),
        ("google-vertex", "gemini-generate", AuthScheme.BEARER),
        ("gemini-cli", "gemini-generate", AuthScheme.BEARER),
        ("azure-openai", "openai-chat", AuthScheme.API_KEY),
        ("azure-openai", "anthropic-messages", AuthScheme.X_API_KEY),
        ("deepseek", "anthropic-messages", AuthScheme.BEARER),
        ("aws-bedrock", "bedrock-converse", AuthScheme.SIGV4),
        ("aws-bedrock", "openai-chat", AuthScheme.SIGV4),
        ("anthropic-aws", "anthropic-messages", AuthScheme.SIGV4),
        ("anthropic", "unknown", AuthScheme.X_API_KEY),
    ],
)
def test_a_key_is_put_where_the_endpoint_takes_it(provider, dialect, scheme):
    known = ProviderRegistry.builtin().get(provider)
    assert known is not None
    assert scheme_for(known, dialect) is scheme


_names = st.sampled_from([*sorted(KEY_HEADERS), b"host", b"cookie", b"x-other", b"Accept"])
_fields = st.lists(st.tuples(_names, st.binary(max_size=8)), max_size=8)
_pieces = st.lists(
    st.sampled_from(["key=k", "a=1", "api_key=k", "b", "&", ";", "=", "?", "%6bey=k", "$key=k"]),
    max_size=10,
)
_targets = _pieces.map(lambda pieces: "/p?" + "&".join(pieces))


@given(_fields, _targets)
def test_twice_is_once_and_what_is_left_stood_there_in_this_order(headers, target):
    once = without_keys(headers, target)
    assert without_keys(*once) == once
    assert list(once.headers) == [field for field in headers if field[0] not in KEY_HEADERS]
    remaining = iter(target)
    assert all(character in remaining for character in once.target)


@given(st.binary(max_size=40), st.text(max_size=40))
def test_no_bytes_raise(value, target):
    without_keys([(b"Sec-WebSocket-Protocol", value), (value, value)], target)


@given(st.text(max_size=20))
def test_a_key_that_may_be_sent_is_in_the_field_as_it_is(key):
    if key_problem(key) is None:
        ((_, value),) = with_key([], "/", AuthScheme.BEARER, key).headers
        assert value == b"Bearer " + key.encode()
        assert not set(value) & set(b"\r\n\0")

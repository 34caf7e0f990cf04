import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.cache.harmless import _listed, harmless
from remora_sidecar.cache.key import CacheKeyParts, cache_key, may_be_shared

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
CALL = CacheKeyParts(
    namespace="team-a",
    provider="openai",
    authority="api.openai.com",
    method="POST",
    path="/v1/chat/completions",
    query="",
    dialect="openai-chat",
    sent_model="gpt-4o",
    stream=False,
    headers=(
        (b"Authorization", b"Bearer sk-one"),
        (b"Content-Type", b"application/json"),
        (b"User-Agent", b"OpenAI/Python 2.0"),
    ),
    body=json.dumps(BODY).encode(),
    secret=b"s" * 32,
)
SIGNED = (
    b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/bedrock/aws4_request, "
    b"SignedHeaders=host;x-amz-date, Signature=abc"
)


def with_headers(*more, call=CALL):
    return replace(call, headers=(*call.headers, *more))


def with_body(**more):
    return replace(CALL, body=json.dumps(BODY | more).encode())


def without_credential(*headers, **changes):
    return replace(CALL, headers=(*CALL.headers[1:], *headers), **changes)


def test_the_same_call_has_the_same_key():
    assert cache_key(CALL) == cache_key(replace(CALL))
    assert len(cache_key(CALL)) == 64


@pytest.mark.parametrize(
    "other",
    [
        replace(CALL, namespace="team-b"),
        replace(CALL, provider="groq"),
        replace(CALL, authority="eu.api.openai.com"),
        replace(CALL, authority="api.openai.com:8443"),
        replace(CALL, method="PUT"),
        replace(CALL, path="/v1/completions"),
        replace(CALL, query="api-version=2"),
        replace(CALL, dialect="openai-responses"),
        replace(CALL, sent_model="gpt-4o-mini"),
        replace(CALL, stream=True),
        replace(CALL, secret=b"t" * 32),
        with_body(temperature=1),
        with_body(user="one"),
        with_body(safety_identifier="one"),
        with_body(metadata={"a": "b"}),
        with_body(store=True),
        with_body(unheard_of=1),
        with_headers((b"OpenAI-Organization", b"org-1")),
        with_headers((b"OpenAI-Project", b"proj")),
        with_headers((b"OpenAI-Beta", b"x")),
        with_headers((b"Accept", b"text/event-stream")),
        with_headers((b"Accept-Encoding", b"gzip")),
        with_headers((b"X-Unheard-Of", b"1")),
        with_headers((b"X-Tenant", b"1")),
        with_headers((b"Cookie", b"a=b")),
        with_headers((b"X-Api-Key", b"sk-two")),
        with_headers((b"Authorization", b"Bearer sk-two")),
        without_credential(),
        without_credential((b"Authorization", b"Bearer sk-two")),
        without_credential((b"Api-Key", b"sk-one")),
        without_credential((b"X-Api-Key", b"sk-one")),
        without_credential(query="key=sk-one"),
        without_credential((b"Authorization", SIGNED)),
    ],
    ids=lambda call: "",
)
def test_what_may_change_the_answer_or_tells_tenants_apart_changes_the_key(other):
    assert cache_key(other) != cache_key(CALL)


@pytest.mark.parametrize(
    "same",
    [
        replace(CALL, body=json.dumps(BODY, indent=2).encode()),
        replace(CALL, body=json.dumps(dict(reversed(BODY.items()))).encode()),
        replace(CALL, body=CALL.body.replace(b": 0", b": 0.0")),
        replace(CALL, authority="API.OpenAI.com"),
        replace(CALL, headers=CALL.headers[::-1]),
        replace(CALL, headers=tuple((n.lower(), v + b" ") for n, v in CALL.headers)),
        replace(CALL, headers=CALL.headers[:2]),
        with_headers((b"X-Stainless-Retry-Count", b"2")),
        with_headers((b"traceparent", b"00-1-2-01"), (b"Idempotency-Key", b"1")),
        with_headers((b"Content-Length", b"9"), (b"Host", b"h"), (b"Date", b"now")),
        with_headers((b"Cache-Control", b"max-age=10")),
        with_body(prompt_cache_key="bucket"),
    ],
    ids=[
        "space", "order", "number", "case of the host", "order of fields", "case of fields",
        "user agent", "retries", "tracing", "framing", "directives", "hint",
    ],
)  # fmt: skip
def test_what_does_not_matter_does_not_change_the_key(same):
    assert cache_key(same) == cache_key(CALL)


def test_fields_of_one_name_keep_their_order():
    a, b = (b"Accept", b"a"), (b"Accept", b"b")

    assert cache_key(with_headers(a, b)) != cache_key(with_headers(b, a))


def test_harmless_fields_are_harmless_only_where_they_are_known():
    elsewhere = replace(CALL, provider="somebody")
    hinted = replace(elsewhere, body=with_body(prompt_cache_key="x").body)

    assert cache_key(elsewhere) != cache_key(hinted)


def test_a_harmless_name_inside_the_body_counts():
    messages = [{"role": "user", "content": "Hi", "prompt_cache_key": "x"}]

    assert cache_key(with_body(messages=messages)) != cache_key(CALL)


@pytest.mark.parametrize(
    "body",
    [b"", b"--boundary\r\n", b'{"a":1,"a":2}', b'{"seed":9007199254740993}', b"[1,2]", b"\xff"],
)
def test_a_body_without_canonical_form_counts_byte_by_byte(body):
    call = replace(CALL, body=body)

    assert cache_key(call) == cache_key(replace(call))
    assert cache_key(call) != cache_key(replace(call, body=body + b" "))


def test_integers_that_a_reader_would_round_to_one_are_two():
    one, other = (replace(CALL, body=b'{"seed":%d}' % (2**53 + n)) for n in (0, 1))

    assert cache_key(one) != cache_key(other)


texts = st.text(max_size=8)
calls = st.builds(
    CacheKeyParts,
    namespace=texts,
    provider=texts,
    authority=texts.map(str.lower),
    method=texts,
    path=texts,
    query=texts,
    dialect=texts,
    sent_model=texts,
    stream=st.booleans(),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"a", b"b", b"x-api-key", b"authorization"]), st.binary(max_size=6)
        ).map(lambda field: (field[0], field[1].strip())),
        max_size=4,
        unique_by=lambda field: field[0],
    ).map(lambda fields: tuple(sorted(fields))),
    body=st.binary(max_size=8) | st.just(b'{"a":1}'),
    secret=st.just(b"s" * 32),
)


@given(calls, calls)
def test_different_calls_never_share(one, other):
    assert (one == other) or cache_key(one) != cache_key(other)


@given(st.binary(), st.binary(), st.sampled_from([b"Authorization", b"x-api-key", b"Cookie"]))
def test_two_credentials_never_share(one, other, name):
    keys = {cache_key(without_credential((name, value))) for value in (one, other)}

    assert len(keys) == len({one.strip(), other.strip()})


@given(st.text(), st.text(), st.binary(), st.lists(st.tuples(st.binary(), st.binary())))
def test_any_call_has_a_key(path, query, body, headers):
    cache_key(replace(CALL, path=path, query=query, body=body, headers=tuple(headers)))


# AWS


def signed(signature=b"abc", date=b"20260101", key_id=b"AKIDEXAMPLE", region=b"us-east-1"):
    value = SIGNED.replace(b"abc", signature).replace(b"20260101", date)
    return value.replace(b"AKIDEXAMPLE", key_id).replace(b"us-east-1", region)


def aws(*more, **changes):
    stamp = (b"X-Amz-Date", changes.get("date", b"20260101") + b"T000000Z")
    return without_credential((b"Authorization", signed(**changes)), stamp, *more)


def test_signatures_differ_each_time_and_the_key_does_not():
    later = aws(signature=b"def", date=b"20260102")

    assert cache_key(aws()) == cache_key(later)


@pytest.mark.parametrize(
    "other",
    [
        aws(key_id=b"AKIDOTHER"),
        aws(region=b"eu-west-1"),
        aws((b"X-Amz-Security-Token", b"session")),
        without_credential(
            (b"Authorization", b"AWS4-HMAC-SHA256 nonsense"), (b"X-Amz-Date", b"20260101T000000Z")
        ),
    ],
    ids=["key", "region", "session", "unreadable"],
)
def test_another_signer_has_another_key(other):
    assert cache_key(other) != cache_key(aws())


def test_another_session_of_one_key_has_another_key():
    one, other = (aws((b"X-Amz-Security-Token", token)) for token in (b"one", b"two"))

    assert cache_key(one) != cache_key(other)


PRESIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2Fbedrock"
    "%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=abc"
)


def test_signatures_in_the_query_differ_each_time_and_the_key_does_not():
    later = PRESIGNED.replace("=abc", "=def").replace("20260101", "20260102")
    other = PRESIGNED.replace("AKID", "AKOTHER")
    keys = [cache_key(without_credential(query=query)) for query in (PRESIGNED, later, other)]

    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("call", "shareable"),
    [
        (CALL, True),
        (without_credential(), True),
        (aws(), False),
        (aws((b"X-Amz-Security-Token", b"session")), True),
        (without_credential(query=PRESIGNED), False),
        (without_credential(query=f"{PRESIGNED}&X-Amz-Security-Token=t"), True),
    ],
    ids=["secret", "none", "signed", "signed in a session", "presigned", "presigned in a session"],
)
def test_an_answer_leaves_the_pod_only_if_its_caller_proved_who_it_is(call, shareable):
    assert may_be_shared(cache_key(call)) is shareable


# What is harmless


def test_nothing_that_names_a_caller_is_harmless():
    rules = harmless("openai", "openai-chat")
    callers = [b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"]
    more = [b"openai-organization", b"openai-project", b"x-goog-user-project", b"anthropic-beta"]

    assert [name for name in callers + more if rules.has_header(name)] == []


def test_every_harmless_name_says_why():
    listed = _listed()
    entries = [*listed["headers"].items(), *listed["header_prefixes"].items()]
    entries += [(entry["name"], entry["why"]) for entry in listed["fields"]]

    assert [name for name, why in entries if not why or name != str(name)] == []
    assert [name for name in listed["headers"] if name != name.lower()] == []

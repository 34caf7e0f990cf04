"""Whole bodies: every form, every encoding, cut anywhere; no planted secret is ever kept."""

import base64
import gzip
import itertools
import json
import zlib

import brotli
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from remora.policy.limits import Redaction, RedactionPattern
from remora.records import Body
from remora.testing.aws_events import aws_chunk, aws_event
from remora_sidecar.policy.redaction import RedactionRules, Redactor

SALT = b"s" * 32
SECRETS = (
    "sk-proj-abcdEFGH1234567890ijklMNOP",
    "sk-ant-api03-Zz9Yy8Xx7Ww6Vv5Uu4Tt3Ss2",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "bob.builder@example.com",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "203.0.113.77",
    "+49 30 12345678",
    "-----BEGIN PRIVATE KEY-----\nMIIEvAIBADANBg\nkqhkiG9w0B\n-----END PRIVATE KEY-----",
)
SSE = "text/event-stream"
secrets = st.sampled_from(SECRETS)


def redactor(**changed):
    return Redactor(RedactionRules(Redaction(**changed)), SALT)


REDACTOR = redactor()


def body(content, content_type="application/json", *, truncated=False):
    return Body(content, len(content), truncated, content_type)


def kept(content, content_type="application/json", encoding=None, **changed):
    return REDACTOR.redacted(body(content, content_type, **changed), encoding)


def holds(content, secret):
    """Tell whether a secret can be read in a body, however it is escaped."""
    text = content.decode()
    views = (text, text.replace("\\\\", "\\").replace("\\n", "\n"))
    return any(secret in view for view in views)


def escaped(text):
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


def chat_events(pieces, index=0):
    for piece in pieces:
        delta = {"index": index, "delta": {"content": piece}}
        yield {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [delta]}


def as_sse(events, end="data: [DONE]\n\n"):
    return ("".join(f"data: {json.dumps(each)}\n\n" for each in events) + end).encode()


def data_of(content):
    lines = content.decode().split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12])
@pytest.mark.parametrize(
    "form",
    [
        lambda s: json.dumps({"messages": [{"content": f"it is {s} ok"}]}),
        lambda s: json.dumps({"a": {"b": [{"c": ["x", s]}]}}, indent=2),
        lambda s: f'{{"a": "{escaped(s)}"}}',
        lambda s: json.dumps({"arguments": json.dumps({"to": s})}),
        lambda s: json.dumps({"arguments": f'{{"to": "{escaped(s)}"}}'}),
        lambda s: json.dumps({"a": json.dumps({"b": json.dumps({"c": s})})}),
        lambda s: json.dumps({s: 1}),
        lambda s: f'{{"a": "{escaped(s)}", "a": "x"}}',
        lambda s: "before " + s + " after",
        lambda s: json.dumps({"a": f"it is {s} ok"})[:-1],
        lambda s: f'{{"a": "it is {escaped(s)} ok',
    ],
    ids=[
        "content", "deep", "escaped", "arguments", "escaped in arguments", "twice nested", "a name",
        "a name twice", "plain", "no whole document", "half a document, escaped",
    ],
)  # fmt: skip
def test_a_secret_is_found_wherever_it_stands_in_a_body(form, secret):
    content = kept(form(secret).encode()).content
    assert b"[redacted:" in content or b"x" in content
    assert not holds(content, secret)
    assert not holds(content, json.dumps(secret)[1:-1])


def test_slashes_that_are_escaped_hide_nothing():
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    whole = '{{"aws_secret_access_key": "{}"}}'.format(secret.replace("/", "\\/"))
    for content in (whole, whole[:-1]):
        assert b"MDENG" not in kept(content.encode()).content


def test_a_key_is_known_by_the_name_of_its_member():
    asked = {"headers": {"x-api-key": "0123456789abcdef01"}, "user": "0123456789abcdef01"}
    said = json.loads(kept(json.dumps(asked).encode()).content)
    assert said == {
        "headers": {"x-api-key": "[redacted:provider-key]"},
        "user": "0123456789abcdef01",
    }


def test_numbers_of_cards_are_found_without_quotes():
    content = kept(b'{"card": 4111111111111111, "id": 4111111111111112}').content
    assert json.loads(content) == {"card": "[redacted:credit-card]", "id": 4111111111111112}


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("br", brotli.compress),
        ("zstd", zstandard.compress),
        ("gzip, br", lambda data: brotli.compress(gzip.compress(data))),
    ],
)
def test_a_content_encoding_hides_nothing(encoding, encode):
    wire = encode(json.dumps({"a": SECRETS[0], "b": "kept"}).encode())
    result = kept(wire, encoding=encoding)
    assert json.loads(result.content) == {"a": "[redacted:provider-key]", "b": "kept"}
    assert (result.original_bytes, result.truncated) == (len(wire), False)


def test_what_can_not_be_decoded_is_not_kept():
    result = kept(b"\x1f\x8b" + b"no gzip sk-proj-abcdEFGH1234567890", encoding="gzip")
    assert result.content == b""
    assert result.truncated


@given(secret=secrets, cuts=st.lists(st.integers(0, 80), max_size=8), data=st.data())
def test_a_secret_cut_over_the_events_of_a_stream_is_found(secret, cuts, data):
    text = f"The answer is {secret} indeed."
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    result = kept(as_sse(chat_events(pieces)), SSE)
    said = "".join(each["choices"][0]["delta"]["content"] for each in data_of(result.content))
    assert secret not in said
    assert said.startswith("The answer is [redacted:")
    assert said.endswith("] indeed.")


DELTAS = {
    "openai-chat": lambda p: {"choices": [{"index": 0, "delta": {"content": p}}]},
    "openai-chat tools": lambda p: {
        "choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": p}}]}}]
    },
    "openai-responses": lambda p: {
        "type": "response.output_text.delta", "item_id": "i", "content_index": 0, "delta": p,
    },
    "openai-completions": lambda p: {"choices": [{"index": 0, "text": p}]},
    "anthropic text": lambda p: {
        "type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": p},
    },
    "anthropic tools": lambda p: {
        "type": "content_block_delta", "index": 1, "delta": {"partial_json": p},
    },
    "gemini": lambda p: {"candidates": [{"content": {"parts": [{"text": p}]}}]},
    "cohere": lambda p: {
        "type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": p}}},
    },
    "ollama": lambda p: {"model": "m", "message": {"role": "assistant", "content": p}},
}  # fmt: skip


@pytest.mark.parametrize("delta", DELTAS.values(), ids=DELTAS)
@pytest.mark.parametrize("form", ["events", "lines", "array"])
def test_every_dialects_pieces_are_joined(delta, form):
    events = [delta(piece) for piece in ("mail bob.", "builder@exa", "mple.com", " now")]
    content, kind = {
        "events": (as_sse(events), SSE),
        "lines": ("\n".join(map(json.dumps, events)).encode(), "application/x-ndjson"),
        "array": (json.dumps(events).encode(), "application/json"),
    }[form]
    said = kept(content, kind).content
    assert b"builder" not in said
    assert b"exa" not in said
    assert b"[redacted:email]" in said


def test_texts_that_run_side_by_side_are_not_mixed():
    pairs = zip(
        chat_events(["sk-proj-", "abcdEFGH12", "34567890"]),
        chat_events(["one ", "two ", "three"], index=1),
        strict=True,
    )
    events = data_of(kept(as_sse([each for pair in pairs for each in pair]), SSE).content)
    said = {0: "", 1: ""}
    for each in events:
        choice = each["choices"][0]
        said[choice["index"]] += choice["delta"]["content"]
    assert said == {0: "[redacted:provider-key]", 1: "one two three"}


def test_events_without_anything_to_find_stay_as_they_are():
    events = list(chat_events(["Hello", " wor", "ld"]))
    content = kept(as_sse(events), SSE).content
    assert data_of(content) == events
    assert content.endswith(b"data: [DONE]\n\n")


def test_pieces_in_front_of_a_secret_stay_as_they_are():
    events = data_of(
        kept(as_sse(chat_events(["Hi ", "it is ", "bob@exam", "ple.com."])), SSE).content
    )
    said = [each["choices"][0]["delta"]["content"] for each in events]
    assert said == ["Hi ", "it is ", "[redacted:email].", ""]


def test_names_of_events_and_comments_are_kept_and_redacted():
    stream = (
        b': ping from 203.0.113.9\nevent: delta\ndata: {"a": 1}\n\ndata: just bob@example.com\n\n'
    )
    assert kept(stream, SSE).content == (
        b': ping from [redacted:ip-address]\nevent: delta\ndata: {"a":1}\n\n'
        b"data: just [redacted:email]\n\n"
    )


def test_values_that_are_no_pieces_of_a_text_are_found_each_by_itself():
    hosts = [
        {"host": "10.1.2.3"},
        {"host": "10.1.2.4"},
        {"host": "see "},
        {"host": "bob@a.example"},
    ]
    said = "".join(each["host"] for each in data_of(kept(as_sse(hosts), SSE).content))
    assert "10." not in said
    assert "bob" not in said


def test_data_of_several_lines_stay_data():
    stream = b'data: one\ndata: bob@example.com\n\ndata: {\ndata: "a": 1}\n\n'
    said = kept(stream, SSE).content
    assert said == b'data: one\ndata: [redacted:email]\n\ndata: {"a":1}\n\n'


def test_half_an_event_is_not_kept():
    stream = as_sse(chat_events(["my key is ", "sk-proj-abcdEFGH"]), end="")
    result = kept(stream[:-20], SSE)
    assert b"abcd" not in result.content
    assert b"bytes that are not whole" in result.content


def test_tokens_with_their_probabilities_are_not_kept():
    content = {"text": "x", "logprobs": {"content": [{"token": "sk"}, {"token": "-proj-abc"}]}}
    assert b"-proj-abc" not in kept(json.dumps(content).encode()).content


@pytest.mark.parametrize("wrapped", [False, True], ids=["converse", "invoke"])
def test_messages_of_aws_become_lines(wrapped):
    events = [{"delta": {"text": piece}} for piece in ("mail bob@exa", "mple.com", " now")]
    frames = b"".join(aws_chunk(each) if wrapped else aws_event("delta", each) for each in events)
    result = kept(frames, "application/vnd.amazon.eventstream")
    lines = [json.loads(line) for line in result.content.splitlines()]
    assert result.content_type == "application/x-ndjson"
    assert "".join(line["delta"]["text"] for line in lines) == "mail [redacted:email] now"


def test_pictures_and_sound_are_left_out_with_their_length():
    picture = base64.b64encode(bytes(range(256)) * 20).decode()
    asked = {"image_url": f"data:image/png;base64,{picture}", "text": "what is it?"}
    said = json.loads(kept(json.dumps(asked).encode()).content)
    note = f"[left out: {len(picture)} characters of base64]"
    assert said == {"image_url": f"data:image/png;base64,{note}", "text": "what is it?"}


def test_binary_bodies_are_left_out_with_their_length():
    result = kept(b"ID3\x04\x00\x00sk-proj-abcdEFGH1234567890", "audio/mpeg; x=1")
    assert result.content == b"[left out: 32 bytes of audio/mpeg]"
    assert result.truncated
    assert kept(b"\x00\xff", "a\nb").content == b"[left out: 2 bytes of something unreadable]"


def test_a_long_body_is_cut_after_it_was_redacted():
    long = redactor(maxBody="64")
    content = f"{SECRETS[0]} ".encode() + "é".encode() * 100
    result = long.redacted(body(content, "text/plain"), None)
    assert len(result.content) <= 64
    assert result.truncated
    assert result.content.decode().startswith("[redacted:provider-key]")


@given(secret=secrets, at=st.integers(1, 40))
def test_where_the_captured_part_ends_no_half_of_a_word_is_kept(secret, at):
    whole = json.dumps({"a": f"it is {secret}"})
    cut = whole[: whole.index(json.dumps(secret)[1:-1]) + at]
    words = kept(cut.encode(), truncated=True).content.decode().split()
    assert all(len(word) < 12 or "redacted" in word for word in words), words


def test_digests_make_equal_values_countable_and_tell_nothing_else():
    digests = redactor(mode="digest")
    text = "a@example.com b@example.com A@Example.com 4111 1111 1111 1111 4111-1111-1111-1111"
    first, second, again, card, same_card = digests.text(text).split()
    assert first == again != second
    assert card == same_card
    assert len(first) == len("[redacted:email:12345678]")
    other = Redactor(RedactionRules(Redaction(mode="digest")), b"t" * 32)
    assert other.text(text).split()[0] != first


def test_patterns_of_the_policy_are_taken_out_by_their_name():
    patterns = (
        RedactionPattern(name="employee", regex=r"EMP-\d{4}"),
        RedactionPattern(name="codename", regex=r"(?i)blue (falcon|heron)"),
    )
    own = redactor(patterns=patterns)
    asked = json.dumps({"m": "EMP-1234 flies", "n": "Blue Heron", "o": "EMP-12"}).encode()
    assert json.loads(own.redacted(body(asked), None).content) == {
        "m": "[redacted:employee] flies",
        "n": "[redacted:codename]",
        "o": "EMP-12",
    }


def test_a_pattern_that_takes_everything_takes_each_text_alone():
    own = redactor(patterns=(RedactionPattern(name="all", regex=r"(?s)^.*$"),))
    content = own.redacted(body(b'{"a": "x", "b": "y z"}'), None).content
    assert json.loads(content) == {"a": "[redacted:all]", "b": "[redacted:all]"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | secrets,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | secrets, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(value=json_values, nesting=st.integers(0, 2))
def test_no_value_that_holds_secrets_keeps_one(value, nesting):
    text = json.dumps(value)
    for _ in range(nesting):
        text = json.dumps({"inner": text})
    content = kept(text.encode()).content
    for secret in SECRETS:
        assert not holds(content, secret), (secret, content)


@given(
    content=st.binary(max_size=400)
    | st.text(max_size=400).map(lambda t: t.encode("utf-8", "ignore")),
    kind=st.sampled_from(
        ["", SSE, "application/json", "application/x-ndjson", "application/vnd.amazon.eventstream"]
    ),
    encoding=st.sampled_from([None, "gzip", "br", "zstd", "what"]),
    truncated=st.booleans(),
)
def test_nothing_raises_whatever_the_bytes(content, kind, encoding, truncated):
    kept(content, kind, encoding, truncated=truncated).content.decode()


@example(["sk-proj-abcdEFGH1234567890ijklMNOP", *["+49 30 12345678"] * 24])  # one frees the next
@given(
    st.lists(
        st.sampled_from(
            [*SECRETS, " ", "\n", '"', "{", "}", "[", "]", "data: ", ",", ":", "a", "9"]
        ),
        max_size=25,
    )
)
def test_what_is_kept_holds_nothing_that_would_be_found(parts):
    content = kept("".join(parts).encode(), "text/plain").content.decode()
    assert REDACTOR.text(content) == content


@given(st.lists(secrets | st.text(max_size=5), max_size=12))
def test_texts_are_the_same_when_redacted_again(parts):
    once = REDACTOR.text(" ".join(parts))
    assert REDACTOR.text(once) == once

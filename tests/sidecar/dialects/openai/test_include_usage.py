import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.dialects.framing.decoding import Decoder
from remora_sidecar.dialects.framing.encoding import encoder_for
from remora_sidecar.dialects.framing.json_members import find, members, with_member, without_member
from remora_sidecar.dialects.openai.include_usage import HELD_BYTES, UsageRemover, asking_for_usage

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=6), json_values, max_size=5)
layouts = st.sampled_from([None, 0, 2])


def _written(value: object, indent: int | None) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "replace")


@given(objects, layouts)
def test_members_are_found_where_they_stand(value: dict, indent: int | None):
    text = _written(value, indent)
    found = [(json.loads(b'"%b"' % m.key), json.loads(text[m.value_start : m.end]))
             for m in members(text)]  # fmt: skip

    assert found == list(json.loads(text).items())


@given(objects, layouts, json_values)
def test_a_set_member_changes_nothing_else(value: dict, indent: int | None, new: object):
    text = _written(value, indent)
    changed = with_member(text, b"wanted", _written(new, None))

    assert json.loads(changed) == {**json.loads(text), "wanted": json.loads(_written(new, None))}
    member = find(changed, b"wanted")
    assert json.loads(without_member(changed, member)) == {
        name: inner for name, inner in json.loads(text).items() if name != "wanted"
    }


@given(st.binary(max_size=60) | st.text('{}[]",:\\ab', max_size=40).map(str.encode))
def test_no_bytes_make_the_member_finder_fail(text: bytes):
    for member in members(text):
        assert 0 <= member.start < member.value_start <= member.end <= len(text)


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (b'{"stream":true}', b'{"stream":true,"stream_options":{"include_usage":true}}'),
        (b' {"a": 1\n}\n', b' {"a": 1\n,"stream_options":{"include_usage":true}}\n'),
        (b'{"stream_options":null, "a":1}', b'{"stream_options":{"include_usage":true}, "a":1}'),
        (b'{"stream_options": {}}', b'{"stream_options": {"include_usage":true}}'),
        (
            b'{"stream_options":{"include_usage" : false,"x":[1 ]}}',
            b'{"stream_options":{"include_usage" : true,"x":[1 ]}}',
        ),
        (
            b'{"messages":["\\"stream_options\\""],"stream_options":{"x":1}}',
            b'{"messages":["\\"stream_options\\""],"stream_options":{"x":1,"include_usage":true}}',
        ),
        (b'{"stream_options": 1}', None),
        (b"[]", None),
        (b"{}", None),
        (b"no json", None),
    ],
    ids=["absent", "spaced", "null", "empty", "false", "other options", "a number", "a list",
         "nothing", "not JSON"],
)  # fmt: skip
def test_the_option_is_added_and_all_other_bytes_stay(body: bytes, asked: bytes | None):
    assert asking_for_usage(body) == asked


CONTENT = b'data: {"id":"c","choices":[{"delta":{"content":"\\"usage\\":null"}}],"usage":null}\n\n'
PLAIN = b'data: {"id":"c","choices":[{"delta":{"content":"\\"usage\\":null"}}]}\n\n'
USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1}}\n\n'
FILTERS = b'data: {"choices":[],"prompt_filter_results":[],"usage": null ,"x":1}\r\n\r\n'
FILTERS_PLAIN = b'data: {"choices":[],"prompt_filter_results":[] ,"x":1}\r\n\r\n'
OWN = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\n'
NESTED = b'data: {"choices":[{"usage":null}]}\n\n'
REST = b": ping\n\ndata: [DONE]\n\nevent: x\ndata: oh\n\n"


@pytest.mark.parametrize(
    ("stream", "seen"),
    [
        (CONTENT + USAGE + REST, PLAIN + REST),
        (FILTERS + CONTENT, FILTERS_PLAIN + PLAIN),
        (OWN + REST, OWN + REST),
        (NESTED, NESTED),
        (b'data: {"usage":null}\n\n', b"data: {}\n\n"),
        (b'data: {"usage":null,"a":1}\n\n', b'data: {"a":1}\n\n'),
        (USAGE.rstrip(), b""),
        (b"data: {broken \"usage\":null\n\n", b"data: {broken \"usage\":null\n\n"),
    ],
    ids=["as OpenAI", "as Azure", "in the last choice", "nested", "alone", "first", "at the end",
         "broken"],
)  # fmt: skip
@given(st.data())
def test_only_what_the_option_caused_is_taken_out(stream: bytes, seen: bytes, data: st.DataObject):
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    remover = UsageRemover()
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert b"".join([*map(remover.feed, pieces), remover.flush()]) == seen


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"\r", b"\n", b"data: ", b'"usage"'])))
def test_bytes_that_are_no_stream_pass(pieces: list[bytes]):
    remover = UsageRemover()

    assert b"".join([*map(remover.feed, pieces), remover.flush()]) == b"".join(pieces)


def test_an_event_of_any_size_passes_without_being_held():
    remover, passed, held = UsageRemover(), 0, 0
    for _ in range(200):
        passed += len(remover.feed(b"x" * 10_000))
        held = max(held, len(remover._held))
    assert held <= HELD_BYTES + 10_000
    rest = remover.feed(b'"usage":null\n\n' + USAGE + PLAIN) + remover.flush()
    assert passed + len(rest) == 200 * 10_000 + 14 + len(PLAIN)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd", "identity"])
@given(st.lists(st.binary(max_size=200), max_size=6))
def test_what_is_encoded_again_can_be_decoded_piece_by_piece(name: str, pieces: list[bytes]):
    encoder, decoder = encoder_for(name), Decoder(name)
    for piece in pieces:
        assert b"".join(decoder.feed(encoder.feed(piece))) == piece
    assert b"".join(decoder.feed(encoder.finish())) == b""
    decoder.finish()
    assert decoder.problem == ""


def test_an_unknown_encoding_has_no_encoder():
    assert encoder_for("compress") is None


def test_recorded_streams_pass_but_for_what_the_option_caused(chat_transcripts):
    for transcript in chat_transcripts:
        if not transcript.stream:
            continue
        remover = UsageRemover()
        seen = remover.feed(transcript.response_body) + remover.flush()
        assert re.search(rb'"choices": ?\[\], ?"usage": ?\{', seen) is None, transcript.id
        if b'"usage"' not in transcript.response_body:
            assert seen == transcript.response_body, transcript.id

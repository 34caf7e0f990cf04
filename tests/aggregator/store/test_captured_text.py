import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora_aggregator.store.captured_text import MOST_CHARS, captured_text
from remora_proto.v1 import records_pb2 as pb


def _record(request=b"", response=b""):
    record = pb.CallRecord()
    if request:
        record.request_body.content = request
    if response:
        record.response_body.content = response
    return record


ASKED = json.dumps({"messages": [{"role": "user", "content": "Où est la Lune?"}], "n": 1}).encode()
STREAM = b"""event: x
data: {"delta": {"text": "Bon"}}

data: {"delta": {"text": "jour"}}

data: [DONE]
"""


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (_record(ASKED), ["user", "Lune"]),
        (_record(response=STREAM), ["Bon", "jour"]),
        (_record(gzip.compress(ASKED)), ["Lune"]),
        (_record(gzip.compress(ASKED)[:-12]), []),
        (_record(b"plain words"), ["plain words"]),
        (_record(b"\x00\xff\x01"), []),
        (_record(ASKED[:-5]), ["Lune"]),
    ],
    ids=["json", "stream", "gzip", "cut gzip", "text", "binary", "cut json"],
)
def test_texts_of_bodies_are_found(record, words):
    text = captured_text(record)
    assert all(word in text for word in words)


def test_text_is_bounded():
    body = json.dumps(["x" * MOST_CHARS, "y" * MOST_CHARS]).encode()
    assert len(captured_text(_record(body, body))) <= MOST_CHARS + 3


@given(request=st.binary(max_size=300), response=st.binary(max_size=300))
def test_any_bodies_have_a_text_and_always_the_same(request, response):
    record = _record(request, response)
    assert captured_text(record) == captured_text(record)
    captured_text(record).encode("utf-8", "surrogatepass")


def test_deep_json_is_no_trouble():
    body = b"[" * 100_000 + b"]" * 100_000
    assert isinstance(captured_text(_record(body)), str)

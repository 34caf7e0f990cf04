import pytest
from google.protobuf.message import DecodeError

from remora.record_wire import from_message
from remora.records import Attempt, Body, CallRecord, Usage
from remora_sidecar.spool.row import BODIES_LIMIT_BYTES, SHED, Row, encode

FULL = CallRecord(
    "a" * 32, 5, provider="openai", request_body=Body(b"ask", 3), response_body=Body(b"say", 3)
)


def test_a_row_reads_back_as_the_record():
    assert from_message(Row(1, *encode(FULL)).message()) == FULL


def test_a_record_without_bodies_has_none():
    assert encode(CallRecord("a" * 32, 5))[1] is None


def test_shedding_bodies_keeps_the_facts_and_says_so():
    message = Row(1, *encode(FULL)).without_bodies().message()

    assert message.provider == "openai"
    assert not message.HasField("request_body")
    assert "shed" in message.notes[0]


def test_shedding_a_row_without_bodies_notes_nothing():
    row = Row(1, *encode(CallRecord("a" * 32, 5))[:2])

    assert row.without_bodies() == row


def test_bodies_too_large_for_a_message_are_shed_at_once():
    body = Body(bytes(BODIES_LIMIT_BYTES + 1), BODIES_LIMIT_BYTES + 1)

    assert encode(CallRecord("a" * 32, 5, request_body=body))[1] == SHED


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (CallRecord("a" * 32, 5, response_model="gpt\ud800"), {"response_model": "gpt?"}),
        (CallRecord("a" * 32, 5, tool_names=("\udcff",)), {"tool_names": ("?",)}),
        (
            CallRecord("a" * 32, 5, usage=Usage(1, 10**30)),
            {"usage": Usage(input_tokens=1, output_tokens=None)},
        ),
        (CallRecord("a" * 32, 5, response_bytes=-1), {"response_bytes": 0}),
    ],
    ids=["lone surrogate", "undecodable header", "absurd usage", "negative size"],
)
def test_what_does_not_fit_the_wire_is_mended_and_noted(record, expected):
    mended = from_message(Row(1, *encode(record)).message())

    assert {name: getattr(mended, name) for name in expected} == expected
    assert "replaced or left out" in mended.notes[0]


def test_a_record_that_cannot_be_mended_keeps_its_id():
    record = CallRecord("a" * 32, 5, attempts=(Attempt("p", "m", 2**40, 0.0),))

    message = Row(1, *encode(record)).message()

    assert message.call_id == "a" * 32
    assert "could not write" in message.notes[0]


def test_a_record_without_a_usable_id_is_an_error():
    with pytest.raises((TypeError, ValueError)):
        encode(CallRecord(None, 5))


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff", b"\x12\x00"])
def test_bytes_that_are_no_record_are_refused(data):
    with pytest.raises(DecodeError):
        Row(1, data, None).message()


def test_fields_of_another_version_survive():
    unknown = bytes([0xFA, 0x3E, 2]) + b"hi"  # field 1007, two bytes

    message = Row(1, encode(FULL)[0] + unknown, None).message()

    assert unknown in message.SerializeToString()

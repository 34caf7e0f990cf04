import zlib
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.records import Usage
from remora_sidecar.cache import entry
from remora_sidecar.cache.entry import CachedAnswer, CachedFacts, Chunk, decode, encode
from remora_sidecar.dialects.base import Completeness

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.none() | st.integers(0, 2**63 - 1)
answers = st.builds(
    CachedAnswer,
    status=st.integers(200, 299),
    reason=words,
    headers=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20))).map(tuple),
    chunks=st.lists(
        st.builds(
            Chunk,
            delay_s=st.integers(0, 10**10).map(lambda micro: micro / 1_000_000),
            data=st.binary(max_size=3000),
        ),
        max_size=5,
    ).map(tuple),
    facts=st.builds(
        CachedFacts,
        model=words,
        finish_reason=words,
        response_id=words,
        tool_names=st.lists(words, max_size=3).map(tuple),
        usage=st.none()
        | st.builds(
            Usage,
            input_tokens=counts,
            output_tokens=counts,
            input_audio_seconds=st.none() | st.floats(0, 1e6),
            estimated=st.booleans(),
        ),
        usage_problem=words,
        service_tier=words,
        latency_s=st.floats(0, 1e6),
        ttft_s=st.none() | st.floats(0, 1e6),
    ),
    stored_unix_ns=st.integers(0, 2**62),
)
ANSWER = CachedAnswer(
    200, "OK", ((b"A", b"b"),), (Chunk(0.5, b"x" * 5000), Chunk(0.25, b"y")), stored_unix_ns=7
)


@given(answers)
def test_an_answer_comes_back_as_it_was(answer):
    assert decode(encode(answer, "key"), "key") == answer


@given(answers, st.data())
def test_any_damage_reads_as_nothing(answer, data):
    written = bytearray(encode(answer, "key"))
    at = data.draw(st.integers(0, len(written) - 1))
    written[at] ^= data.draw(st.integers(1, 255))

    assert decode(bytes(written), "key") is None


@given(answers, st.data())
def test_a_part_reads_as_nothing(answer, data):
    written = encode(answer, "key")
    assert decode(written[: data.draw(st.integers(0, len(written) - 1))], "key") is None
    assert decode(written + b"\0", "key") is None


@given(st.binary(), st.text())
def test_any_bytes_read_as_nothing(data, key):
    assert decode(data, key) is None


@given(st.binary(max_size=200))
def test_any_plain_form_with_a_right_sum_raises_nothing(plain):
    """What another version of Remora may have meant by the same version number."""
    check = entry._checksum("key", 0, len(plain), plain)
    decode(entry._HEAD.pack(b"RMRC", 1, 0, len(plain), check) + plain, "key")


def test_a_cost_that_is_no_decimal_reads_as_nothing():
    written = encode(replace(ANSWER, facts=CachedFacts(cost_usd="0.25")), "key")
    plain = written[entry._HEAD.size :].replace(b'"0.25"', b'"dear"')
    check = entry._checksum("key", 0, len(plain), plain)

    assert decode(entry._HEAD.pack(b"RMRC", 1, 0, len(plain), check) + plain, "key") is None


@given(answers)
def test_what_a_hit_is_recorded_with_is_what_the_answer_stated(answer):
    facts, stated = answer.facts, answer.stated
    assert (stated.model, stated.usage, stated.response_id) == (
        facts.model, facts.usage, facts.response_id,
    )  # fmt: skip
    assert (stated.tool_names, stated.finish_reason) == (facts.tool_names, facts.finish_reason)
    assert stated.completeness is Completeness.WHOLE
    assert answer.saved_usd == (Decimal(facts.cost_usd) if facts.cost_usd else None)


def test_what_was_kept_under_another_key_reads_as_nothing():
    assert decode(encode(ANSWER, "one"), "two") is None


def test_another_version_reads_as_nothing():
    written = bytearray(encode(ANSWER, "key"))
    written[4] = 2

    assert decode(bytes(written), "key") is None


def test_a_value_that_says_it_unpacks_to_more_than_is_allowed_is_not_unpacked():
    packed = encode(ANSWER, "key")[entry._HEAD.size :]
    length = entry.MAX_PLAIN_BYTES + 1
    check = entry._checksum("key", 1, length, packed)

    assert decode(entry._HEAD.pack(b"RMRC", 1, 1, length, check) + packed, "key") is None


def test_a_value_whose_frame_says_another_length_is_not_unpacked():
    packed = encode(ANSWER, "key")[entry._HEAD.size :]
    check = entry._checksum("key", 1, 10, packed)

    assert decode(entry._HEAD.pack(b"RMRC", 1, 1, 10, check) + packed, "key") is None


def test_large_bodies_are_compressed_and_small_ones_are_not():
    small = replace(ANSWER, chunks=(Chunk(0.0, b"x" * 100),))

    assert len(encode(ANSWER, "key")) < 1000
    assert b"x" * 100 in encode(small, "key")


def test_what_does_not_compress_is_kept_as_it_is():
    noise = b"".join(zlib.crc32(bytes([n & 255, n >> 8])).to_bytes(4, "big") for n in range(1000))
    written = encode(replace(ANSWER, chunks=(Chunk(0.0, noise),)), "key")

    assert decode(written, "key").body == noise


@pytest.mark.parametrize(
    "answer",
    [
        replace(ANSWER, reason="\ud800"),
        replace(ANSWER, facts=CachedFacts(usage=Usage(input_tokens=2**70))),
        replace(ANSWER, chunks=(Chunk(float("nan"), b"x"),)),
    ],
    ids=["lone surrogate", "number past 64 bits", "no time"],
)
def test_what_can_not_be_written_is_not(answer):
    assert encode(answer, "key") is None


def test_what_is_too_large_is_not_written(monkeypatch):
    monkeypatch.setattr(entry, "MAX_PLAIN_BYTES", 1000)

    assert encode(ANSWER, "key") is None


def test_an_answer_knows_its_body_its_size_and_its_age():
    assert ANSWER.body == b"x" * 5000 + b"y"
    assert ANSWER.body_bytes == 5001
    assert ANSWER.held_bytes > 5001
    assert ANSWER.age_s(2_000_000_007) == 2.0

"""Which ids and names are taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import BadRequest
from remora_aggregator.signals.names import call_id_of, goal_of, id_of, is_goal, name_of
from remora_aggregator.signals.reporters import SLOTS, reporter_hash, slot_of


@given(st.uuids())
def test_a_call_is_the_same_by_any_form_of_its_id(uuid):
    assert {call_id_of(str(uuid)), call_id_of(uuid.hex), call_id_of(str(uuid).upper())} == {
        uuid.hex
    }


@pytest.mark.parametrize(
    "text", ["", "0" * 31, "0" * 33, "g" * 32, "0" * 16 + "-" + "0" * 16, "../x"]
)
def test_what_is_no_call_id_is_refused(text):
    with pytest.raises(BadRequest, match="call_id"):
        call_id_of(text)


@given(st.text(max_size=140))
def test_any_goal_is_taken_as_it_is_or_refused(text):
    if not text or is_goal(text):
        assert goal_of(text) == text
        assert text.isprintable() or not text.isascii()
    else:
        with pytest.raises(BadRequest):
            goal_of(text)


@given(st.text(max_size=80))
def test_any_kind_is_a_plain_name_or_refused(text):
    try:
        taken = name_of(text, "kind")
    except BadRequest:
        return
    assert taken == text
    assert text == "" or (text.isascii() and text.isprintable() and " " not in text)


@pytest.mark.parametrize("text", ["\ud800", "a\x00", "a\u2028b", "\x9b31m"])
def test_ids_hold_nothing_that_moves_a_terminal_or_no_store_takes(text):
    with pytest.raises(BadRequest, match="control"):
        id_of(text, "session_id", 100)


@given(st.binary(min_size=32, max_size=32), st.text(min_size=1))
def test_a_reporter_is_a_hash_by_key_and_namespace(key, name):
    hashed = reporter_hash(key, "team-a", name)
    assert len(hashed) == 32
    assert hashed == reporter_hash(key, "team-a", name)
    assert hashed != reporter_hash(key, "team-b", name)
    assert hashed != reporter_hash(key[::-1] + b"x", "team-a", name)
    assert 0 <= int(slot_of(hashed), 16) < SLOTS


def test_nobody_stays_nobody():
    assert slot_of(reporter_hash(b"k", "team-a", "")) == ""


def test_reporters_spread_over_all_slots():
    slots = {slot_of(reporter_hash(b"k", "n", str(number))) for number in range(2_000)}
    assert len(slots) == SLOTS

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import BadRequest
from remora_aggregator.store.cursor import cursor_of, place_of
from remora_aggregator.store.sql import Place

POSITIONS = st.integers(0, (1 << 63) - 1)
VALUES = (
    st.none()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(-1e15, 1e15, allow_nan=False)
)  # fmt: skip


@given(position=POSITIONS, value=VALUES)
def test_cursors_are_read_as_they_were_written(position, value):
    place = Place(position, value)
    read = place_of(cursor_of(place))
    assert read == place
    assert type(read.value) is type(value)


def test_no_cursor_is_no_place():
    assert place_of("") is None


@pytest.mark.parametrize(
    "cursor",
    ["x", "r", "rzz", "r-1", "r" + "f" * 17, "5", "r5-", "r5-x1", "r5-fnan", "r5-finf", "r5-i"],
)
def test_what_is_no_cursor_is_refused(cursor):
    with pytest.raises(BadRequest, match="cursor"):
        place_of(cursor)


@given(text=st.text(min_size=1))
def test_any_text_is_a_cursor_or_refused(text):
    try:
        place = place_of(text)
    except BadRequest:
        return
    assert 0 <= place.position < 1 << 63

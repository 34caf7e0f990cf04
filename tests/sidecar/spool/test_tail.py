"""The newest rows in memory, beside the list of all that were appended."""

from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.spool.row import Spooled
from remora_sidecar.spool.tail import Tail

_SIZE = 100
_MUCH = 1 << 20


def _tail(first: int, count: int) -> Tail:
    tail = Tail()
    for sequence in range(first, first + count):
        tail.add(Spooled(sequence, bytes(_SIZE)))
    return tail


def _numbers(taken) -> list[int] | None:
    return None if taken is None else [entry.sequence for entry in taken]


def test_rows_are_handed_out_once_in_order():
    tail = _tail(1, 5)

    assert _numbers(tail.take(0, 3, _MUCH)) == [1, 2, 3]
    assert _numbers(tail.take(3, 3, _MUCH)) == [4, 5]
    assert _numbers(tail.take(5, 3, _MUCH)) == []
    assert len(tail) == 0


def test_at_least_one_row_is_handed_out_and_no_more_than_fit():
    tail = _tail(1, 5)

    assert _numbers(tail.take(0, 5, 1)) == [1]
    assert _numbers(tail.take(1, 5, 2 * _SIZE)) == [2, 3]


def test_rows_before_the_first_kept_one_are_for_the_file_to_say():
    tail = _tail(7, 2)

    assert tail.take(3, 5, _MUCH) is None
    assert _numbers(tail.take(6, 5, _MUCH)) == [7, 8]


def test_nothing_is_known_before_the_first_row_and_after_a_clear():
    assert Tail().take(0, 5, _MUCH) is None

    tail = _tail(1, 2)
    tail.clear()
    assert tail.take(0, 5, _MUCH) is None
    assert tail.take(2, 5, _MUCH) is None


def test_a_gap_makes_the_file_say_what_came_before():
    tail = _tail(1, 2)
    tail.add(Spooled(4, bytes(_SIZE)))

    assert tail.take(2, 5, _MUCH) is None
    assert _numbers(tail.take(3, 5, _MUCH)) == [4]


def test_old_rows_give_way():
    tail = _tail(1, 5000)

    assert len(tail) == 2000
    assert tail.take(0, 5, _MUCH) is None


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.booleans()),
            st.tuples(st.just("take"), st.integers(1, 4)),
            st.just(("rewind", 0)),
        )
    )
)
def test_what_is_handed_out_always_follows_what_was_before(steps):
    tail, last, cursor = Tail(), 0, 0
    for what, how in steps:
        if what == "add":
            last += 1
            if how:
                tail.add(Spooled(last, bytes(_SIZE)))
            else:  # it is only in the file
                tail.clear()
        elif what == "rewind":
            cursor = 0
            tail.clear()
        else:
            taken = _numbers(tail.take(cursor, how, _MUCH))
            expected = list(range(cursor + 1, last + 1))[:how]
            assert taken is None or taken == expected
            cursor = expected[-1] if expected else cursor

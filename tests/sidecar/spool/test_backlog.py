from hypothesis import given
from hypothesis import strategies as st

from remora_sidecar.spool.backlog import Backlog
from remora_sidecar.spool.row import SHED, Row


def filled(limit_bytes, rows):
    backlog = Backlog(limit_bytes)
    for row in rows:
        backlog.add(row)
    return backlog


def test_the_oldest_bodies_go_first_then_the_oldest_records():
    backlog = filled(1100, [Row(1, b"r", b"b" * 300), Row(2, b"r", b"b" * 300)])

    backlog.add(Row(3, b"r" * 50, None))
    assert [row.bodies for row in backlog] == [SHED, b"b" * 300, None]

    backlog.add(Row(4, b"r" * 400, None))
    assert [(row.sequence, row.bodies) for row in backlog] == [(2, SHED), (3, None), (4, None)]
    assert (backlog.shed_bodies_total, backlog.shed_records_total) == (2, 1)


def test_numbering_anew_keeps_the_order():
    backlog = filled(10_000, [Row(7, b"a", b"x"), Row(9, b"b", None)])

    assert backlog.renumber(100) == 102
    assert list(backlog) == [Row(100, b"a", b"x"), Row(101, b"b", None)]


rows = st.tuples(st.integers(1, 300), st.none() | st.integers(0, 300))


@given(st.integers(0, 2000), st.lists(rows | st.integers(0, 40)))
def test_it_never_holds_more_than_its_bound_and_loses_nothing_uncounted(limit_bytes, steps):
    backlog = Backlog(limit_bytes)
    added = discarded = 0
    for step in steps:
        if isinstance(step, int):
            before = len(backlog)
            backlog.discard([step])
            discarded += before - len(backlog)
        else:
            size, bodies = step
            added += 1
            backlog.add(Row(added, bytes(size), None if bodies is None else bytes(bodies)))
        held = [row.sequence for row in backlog]
        assert held == sorted(held)
        assert sum(row.size for row in backlog) <= limit_bytes
        assert len(backlog) == added - discarded - backlog.shed_records_total

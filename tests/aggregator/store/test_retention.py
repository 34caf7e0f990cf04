import pytest

from remora_aggregator.store.retention import (
    FEW_RECORDS,
    SLICE_RECORDS,
    Retention,
    Slice,
    Stock,
    bodies_to_shed,
    facts_to_shed,
)

DAY = 86_400_000_000_000
NOW = 100 * DAY
FEW = Slice(FEW_RECORDS)
OLD = Slice(SLICE_RECORDS, NOW - 7 * DAY)


@pytest.mark.parametrize(
    ("keep", "stock", "facts", "bodies"),
    [
        (Retention(), Stock(10**12, 10**12, 0, 0), None, None),
        (Retention(facts_ns=7 * DAY), Stock(0, 0, NOW - 7 * DAY, None), None, None),
        (Retention(facts_ns=7 * DAY), Stock(0, 0, NOW - 7 * DAY - 1, None), OLD, None),
        (Retention(bodies_ns=7 * DAY), Stock(0, 0, 0, NOW - 8 * DAY), None, OLD),
        (Retention(bodies_ns=7 * DAY), Stock(0, 0, 0, None), None, None),
        (Retention(facts_bytes=100), Stock(100, 500, NOW, NOW), None, None),
        (Retention(facts_bytes=100), Stock(101, 0, NOW, NOW), FEW, None),
        (Retention(bodies_bytes=100), Stock(500, 101, NOW, NOW), None, FEW),
    ],
    ids=["without bound", "young enough", "too old", "old bodies", "no bodies", "small enough",
         "too much", "too many bodies"],
)  # fmt: skip
def test_the_oldest_go_where_a_bound_is_passed(keep, stock, facts, bodies):
    assert facts_to_shed(keep, stock, NOW) == facts
    assert bodies_to_shed(keep, stock, NOW) == bodies

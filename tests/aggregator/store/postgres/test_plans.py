"""Which indexes questions are read along, on tables of which nothing is known yet."""

import re
from datetime import UTC, datetime

import psycopg
import pytest

from remora_aggregator.store.postgres.backend import FLAVOUR
from remora_aggregator.store.postgres.connections import marked
from remora_aggregator.store.questions import pieces, usage_question
from remora_aggregator.store.reading import NO_BODIES_COLUMN, RECORD_COLUMNS
from remora_aggregator.store.retention import Slice, oldest_bodies, oldest_records
from remora_aggregator.store.selection import selection
from remora_aggregator.store.sql import Order, Place, page
from remora_proto.v1 import records_pb2 as pb

NOW_US = int(datetime.now(UTC).timestamp() * 1_000_000)
_SORTS = re.compile(r"-> +(Incremental )?Sort")


@pytest.fixture
def plan_of(postgres_dsn):
    """Explain a statement where reading a whole table, or sorting, is worse than anything."""
    with psycopg.connect(postgres_dsn) as connection:
        for way in ("seqscan", "sort", "bitmapscan", "hashagg"):
            connection.execute(f"set enable_{way} = off")

        def plan(statement):
            rows = connection.execute(
                b"explain (costs off) " + marked(statement.sql), statement.parameters
            )
            return "\n".join(text for (text,) in rows)

        yield plan


def _page(wanted, order):
    return page(
        selection(pb.RecordFilter(**wanted), ("local",)),
        FLAVOUR,
        order=order,
        after=Place(NOW_US),
        limit=10,
        columns=(*RECORD_COLUMNS, NO_BODIES_COLUMN),
    )


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({}, "namespace_position"),
        ({"session_id": "s"}, "session_id"),
        ({"task_id": "t"}, "task_id"),
        ({"data_id": "d"}, "data_id"),
        ({"combo_id": "c"}, "combo_id"),
        ({"agent_id": "a"}, "agent_id"),
        ({"provider": "openai"}, "provider"),
        ({"session_id": "s", "since_unix_nano": 5}, "session_id"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("order", [Order(), Order(descending=True)], ids=["oldest", "newest"])
def test_pages_are_read_along_an_index_in_its_order(plan_of, wanted, index, order):
    plan = plan_of(_page(wanted, order))
    assert "Seq Scan" not in plan
    assert not _SORTS.search(plan)  # of what may be millions
    assert index in plan


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"call_id": "0" * 32}, "call_id"),
        ({"since_unix_nano": 5, "until_unix_nano": 9}, "started_unix_ns"),
    ],
    ids=["call", "times"],
)
def test_a_few_records_are_found_along_their_index(postgres_dsn, wanted, index):
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("set enable_seqscan = off")
        statement = _page(wanted, Order())
        rows = connection.execute(
            b"explain (costs off) " + marked(statement.sql), statement.parameters
        )
        plan = "\n".join(text for (text,) in rows)
    assert index in plan
    assert "Seq Scan" not in plan


def test_usage_of_a_session_is_read_from_its_totals(plan_of):
    wanted = pb.RecordFilter(session_id="s")
    (piece,) = pieces(usage_question(pb.UsageRequest(), selection(wanted, ("local",))), FLAVOUR)
    plan = plan_of(piece.statement)
    assert "span_totals_pkey" in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("before", [None, 5], ids=["the oldest", "the too old"])
def test_what_goes_is_found_along_an_index(plan_of, before):
    for statement in (
        oldest_records(Slice(10, before), FLAVOUR),
        oldest_bodies(Slice(10, before), FLAVOUR),
    ):
        plan = plan_of(statement)
        assert "Seq Scan" not in plan
        assert not _SORTS.search(plan)


def test_words_are_found_along_their_index(postgres_dsn):
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("set enable_seqscan = off")
        rows = connection.execute(b"explain " + marked(FLAVOUR.words), ("fox & dog",) * 2)
        assert "lexemes" in "".join(text for (text,) in rows if "Bitmap Index" in text)

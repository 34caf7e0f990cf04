"""The outbox: what is taken outlives the process, each id once, the oldest out first."""

import sqlite3
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.errors import Unavailable
from remora_proto.v1 import signals_pb2 as pb
from remora_sidecar.signals.outbox import Outbox, TakenSignals
from remora_sidecar.signals.outbox_table import SMALLEST_LIMIT_BYTES, OutboxTable

EVERYTHING = (10_000, 1 << 30)


def signal(number, **fields):
    return pb.Signal(signal_id=f"s{number}", call_id=f"{number:032x}", kind="silence", **fields)


async def ids(outbox):
    waiting = await outbox.batch(*EVERYTHING)
    return [pb.Signal.FromString(one.message).signal_id for one in waiting]


@pytest.fixture
async def outbox(tmp_path):
    outbox = Outbox(tmp_path / "signals.db")
    yield outbox
    await outbox.aclose()


async def test_signals_wait_in_the_order_in_which_they_came(outbox):
    assert await outbox.take([signal(3), signal(1)]) == TakenSignals(2, 0)
    assert await outbox.take([signal(2)]) == TakenSignals(1, 0)
    assert await ids(outbox) == ["s3", "s1", "s2"]
    assert (outbox.waiting, outbox.taken_total) == (3, 3)


async def test_one_that_comes_again_while_it_waits_is_known(outbox):
    await outbox.take([signal(1)])
    assert await outbox.take([signal(1, dimension="tone"), signal(2)]) == TakenSignals(2, 1)
    assert await ids(outbox) == ["s1", "s2"]
    first, _ = await outbox.batch(*EVERYTHING)
    assert pb.Signal.FromString(first.message).dimension == ""
    assert outbox.taken_total == 2


async def test_what_is_forgotten_is_gone_and_forgetting_it_again_does_no_harm(outbox):
    await outbox.take([signal(1), signal(2)])
    batch = await outbox.batch(1, 1)
    await outbox.forget(batch)
    await outbox.forget(batch)
    assert await ids(outbox) == ["s2"]
    assert outbox.waiting == 1


async def test_one_signal_is_read_however_large_it_is(outbox):
    await outbox.take([signal(1, text="x" * 1000), signal(2)])
    assert len(await outbox.batch(10, 1)) == 1


async def test_what_was_taken_is_there_for_the_next_process(tmp_path):
    first = Outbox(tmp_path / "signals.db")
    await first.take([signal(1)])
    await first.aclose()
    second = Outbox(tmp_path / "signals.db")
    assert await ids(second) == ["s1"]
    assert second.waiting == 1
    await second.aclose()


async def test_the_file_is_its_owners_alone(outbox, tmp_path):
    await outbox.take([signal(1)])
    assert stat.S_IMODE((tmp_path / "signals.db").stat().st_mode) == 0o600


async def test_the_oldest_go_where_there_is_no_room(tmp_path, caplog):
    outbox = Outbox(tmp_path / "signals.db", SMALLEST_LIMIT_BYTES)
    for start in range(0, 2000, 100):
        await outbox.take([signal(n, text="x" * 400) for n in range(start, start + 100)])
    kept = await ids(outbox)
    assert kept == [f"s{number}" for number in range(2000 - len(kept), 2000)]
    assert 0 < len(kept) < 2000
    assert outbox.shed_total == 2000 - len(kept)
    assert "given up for newer ones" in caplog.text
    await outbox.aclose()


async def test_a_broken_file_is_moved_aside_and_a_new_one_begun(tmp_path, caplog):
    path = tmp_path / "signals.db"
    path.write_bytes(b"this is no database" * 1000)
    outbox = Outbox(path)
    assert await outbox.take([signal(1)]) == TakenSignals(1, 0)
    assert (tmp_path / "signals.db.broken").exists()
    assert "moved to" in caplog.text
    await outbox.aclose()


async def test_where_the_file_can_not_be_written_senders_are_told(tmp_path, caplog):
    (tmp_path / "taken").write_text("no folder")
    outbox = Outbox(tmp_path / "taken" / "signals.db")
    with pytest.raises(Unavailable, match="signals can't be kept"):
        await outbox.take([signal(1)])
    assert outbox.problem
    (tmp_path / "taken").unlink()
    assert await outbox.take([signal(1)]) == TakenSignals(1, 0)
    assert not outbox.problem
    await outbox.aclose()


async def test_of_two_sidecars_only_one_has_the_file(tmp_path, outbox):
    await outbox.take([signal(1)])
    other = Outbox(tmp_path / "signals.db")
    with pytest.raises(Unavailable):
        await other.take([signal(2)])
    await other.aclose()


async def test_a_closed_outbox_takes_nothing(outbox):
    await outbox.aclose()
    with pytest.raises(Unavailable, match="closed"):
        await outbox.take([signal(1)])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("keep"), st.lists(st.integers(0, 20), max_size=5)),
            st.tuples(st.just("forget"), st.integers(0, 5)),
        ),
        max_size=30,
    )
)
def test_the_table_is_a_queue_of_distinct_ids(tmp_path_factory, steps):
    table = OutboxTable(tmp_path_factory.mktemp("queue") / "signals.db", 1 << 20)
    model: list[int] = []
    for step, given_ in steps:
        if step == "keep":
            table.keep([(str(one), str(one).encode()) for one in given_])
            model.extend(one for one in dict.fromkeys(given_) if one not in model)
        else:
            batch = table.oldest(given_, 1 << 30)
            assert [int(one.message) for one in batch] == model[:given_]
            table.forget([one.sequence for one in batch])
            del model[:given_]
    assert [int(one.message) for one in table.oldest(1000, 1 << 30)] == model
    assert table.count() == len(model)
    table.close()


def test_a_file_of_another_version_is_known_as_one(tmp_path):
    OutboxTable(tmp_path / "signals.db", 1 << 20).close()
    connection = sqlite3.connect(tmp_path / "signals.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(sqlite3.DatabaseError, match="version 99"):
        OutboxTable(tmp_path / "signals.db", 1 << 20)

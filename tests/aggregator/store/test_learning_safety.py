"""A process that is killed, and a file of an older version, lose nothing of what is learned."""

import signal as signals_of_posix
import sqlite3
import subprocess
import sys
from contextlib import closing

from sqlite_utils import Database
from tests.aggregator.store.learned import BEGIN_NS, GOAL, call_id, record, signal, stamp

from remora.learning.counts import Counts
from remora.testing.clock import ManualClock
from remora_aggregator.store.committing import new_record
from remora_aggregator.store.learning_score_store import StoredScores
from remora_aggregator.store.learning_signal_store import StoredSignals
from remora_aggregator.store.sqlite import migrations
from remora_aggregator.store.sqlite.backend import opened
from remora_aggregator.store.sqlite.writing import SqliteWriting

CLOCK = ManualClock(BEGIN_NS + 3_600 * 10**9)

WRITER = """
import asyncio, sys
from pathlib import Path
from tests.aggregator.store.learned import record, signal, stamp
from remora_aggregator.store.learning_signal_store import StoredSignals
from remora_aggregator.store.sqlite.backend import opened

async def main(path, first):
    async with opened(Path(path)) as store:
        signals = StoredSignals(store)
        for number in range(first, first + 1_000_000):
            # Turn by turn the one comes first and the other.
            steps = [store.write([record(number)], stamp()), signals.take([signal(number)])]
            for step in steps if number % 2 else reversed(steps):
                await step
            print(number, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def _write_until_killed(path, first, acknowledged):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(first)], stdout=subprocess.PIPE, text=True
    ) as process:
        numbers = [int(process.stdout.readline()) for _ in range(acknowledged)]
        process.send_signal(signals_of_posix.SIGKILL)
        numbers += [int(line) for line in process.stdout if line.endswith("\n")]
    return numbers[-1]


async def test_what_was_acknowledged_before_a_kill_is_counted_once(tmp_path):
    path, first = tmp_path / "records.db", 1
    for acknowledged in (1, 7, 30):
        last = _write_until_killed(path, first, acknowledged)
        async with opened(path) as store:
            # Whoever got no answer sends again, and so does whoever got one.
            for number in range(first, last + 2):
                await store.write([record(number)], stamp())
                await StoredSignals(store).take([signal(number)])
            (sums,) = await StoredScores(store, CLOCK).sums(GOAL, None)
        count = last + 1
        assert sums.by_reporter[""].total == Counts(850_000 * count, 150_000 * count)
        assert sums.calls == sums.spending.priced == count
        first = last + 2


async def test_records_of_an_older_version_are_judged_by_signals_that_come_later(tmp_path):
    path = tmp_path / "records.db"
    with closing(sqlite3.connect(path)) as connection:
        migrations.steps.apply(Database(connection), stop_before="0006_learning")
        SqliteWriting(connection).insert(
            [new_record(record(number, goal=""), stamp()) for number in (1, 2)]
        )
        connection.commit()
    async with opened(path) as store:
        stored = StoredSignals(store)
        await stored.take([signal(1, goal="plan")])
        (judged,) = await stored.trials("local", call_id(1))
        (goal,) = await StoredScores(store, CLOCK).goals(None)
    assert (judged.trial.goal, judged.evidence.kind) == ("plan", "user_accepted")
    assert goal.key == ("local", "plan")

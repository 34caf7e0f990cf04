"""The spool against a list: whatever is done in whatever order, records come out as put in."""

import asyncio
import shutil
import sqlite3
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from remora.records import Body, CallRecord
from remora.testing.clock import ManualClock
from remora_sidecar.spool.spool import Spool


class SpoolMachine(RuleBasedStateMachine):
    @initialize()
    def a_sidecar_starts(self):
        self.runner = asyncio.Runner()
        self.folders = [Path(tempfile.mkdtemp())]
        self.clock = ManualClock()
        self.spool = self.opened()
        self.waiting: list[int] = []
        self.out: dict[int, int] = {}
        self.in_memory: set[int] = set()
        self.appended = 0

    @property
    def path(self) -> Path:
        return self.folders[-1] / "spool.sqlite"

    def opened(self) -> Spool:
        return Spool.open(self.path, clock=self.clock)

    def append(self, body_bytes):
        number = self.appended
        self.appended += 1
        body = Body(bytes(body_bytes), body_bytes) if body_bytes else None
        self.spool.append(CallRecord(f"{number:032x}", number, request_body=body))
        self.waiting.append(number)
        return number

    @rule(body_bytes=st.sampled_from([0, 10, 5000]), times=st.integers(1, 5))
    def records_arrive(self, body_bytes, times):
        for _ in range(times):
            self.clock.advance(60)  # any retry is due
            self.append(body_bytes)
        self.in_memory.clear()

    @rule(times=st.integers(1, 5))
    def records_arrive_while_the_file_is_locked(self, times):
        other = sqlite3.connect(self.path, autocommit=True)
        other.execute("BEGIN IMMEDIATE")
        self.in_memory.update(self.append(0) for _ in range(times))
        other.close()

    @rule(limit=st.integers(1, 7))
    def a_batch_is_taken(self, limit):
        batch = self.runner.run(self.spool.batch(limit, 1 << 20))

        taken = [int(entry.message.call_id, 16) for entry in batch]
        expected = [number for number in self.waiting if number not in self.out][:limit]
        assert taken == expected
        self.out |= {int(e.message.call_id, 16): e.sequence for e in batch}

    @precondition(lambda self: self.out)
    @rule(data=st.data(), refused=st.booleans())
    def some_are_answered(self, data, refused):
        numbers = data.draw(st.lists(st.sampled_from(sorted(self.out)), min_size=1, unique=True))
        sequences = [self.out.pop(number) for number in numbers]
        if refused:
            self.runner.run(self.spool.refused(dict.fromkeys(sequences, "no")))
        else:
            self.runner.run(self.spool.forget(sequences))
        self.waiting = [number for number in self.waiting if number not in numbers]
        self.in_memory.difference_update(numbers)

    @rule()
    def the_reporter_reconnects(self):
        self.spool.rewind()
        self.out.clear()

    @rule()
    def the_sidecar_restarts(self):
        self.spool.close()
        self.spool = self.opened()
        self.out.clear()
        self.in_memory.clear()

    @rule()
    def the_sidecar_is_killed(self):
        """Opens what the files are at this moment, elsewhere, as after kill -9."""
        self.runner.run(self.spool.forget([]))  # let the worker finish: files copied one by one
        self.folders.append(Path(tempfile.mkdtemp()))
        for file in self.folders[-2].iterdir():
            if not file.name.endswith("-shm"):
                shutil.copy(file, self.folders[-1])
        self.spool.close()
        self.spool = self.opened()
        self.waiting = [number for number in self.waiting if number not in self.in_memory]
        self.out.clear()
        self.in_memory.clear()

    @invariant()
    def depth_is_what_waits(self):
        assert self.spool.depth == len(self.waiting)
        assert self.spool.moved_aside is None

    def teardown(self):
        self.spool.close()
        self.runner.close()
        for folder in self.folders:
            shutil.rmtree(folder)


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

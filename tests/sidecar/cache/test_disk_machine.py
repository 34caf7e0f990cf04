"""The disk cache against a dictionary: what is served was kept, is fresh, and fits the bound."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from remora.testing.clock import ManualClock
from remora_sidecar.cache.disk import DiskCache
from remora_sidecar.cache.entry import CachedAnswer, Chunk
from remora_sidecar.cache.key import CacheKeyParts, cache_key
from remora_sidecar.cache.level import Kept
from remora_sidecar.cache.table import PAGE_BYTES, SMALLEST_LIMIT_BYTES

CALLERS = st.sampled_from([b"Bearer one", b"Bearer two", b"Bearer three"])
BODIES = st.sampled_from([b'{"n":%d}' % number for number in range(12)])
SIZES = st.sampled_from([0, 10, 900, 5_000, 20_000, 50_000, 200_000])
NOISE = bytes(n * 7919 % 256 ^ n * 104729 // 256 % 256 for n in range(200_000))


def key_of(caller: bytes, body: bytes) -> str:
    headers = ((b"authorization", caller),)
    return cache_key(
        CacheKeyParts(
            "ns", "p", "h", "POST", "/", "", "d", "m", False, headers, body, b"secret"
        )
    )  # fmt: skip


class CacheMachine(RuleBasedStateMachine):
    @initialize()
    def a_sidecar_starts(self):
        self.runner = asyncio.Runner()
        self.folders = [Path(tempfile.mkdtemp())]
        self.clock = ManualClock()
        self.limit = SMALLEST_LIMIT_BYTES
        self.cache = self.opened()
        self.kept: dict[tuple[bytes, bytes], Kept] = {}
        self.puts = 0

    @property
    def path(self) -> Path:
        return self.folders[-1] / "cache.sqlite"

    @property
    def now(self) -> int:
        return self.clock.now_unix_ns()

    def opened(self) -> DiskCache:
        return DiskCache(self.path, self.limit)

    def found(self, caller, body):
        return self.runner.run(self.cache.find(key_of(caller, body), self.now))

    @rule(caller=CALLERS, body=BODIES, size=SIZES, ttl_s=st.sampled_from([5, 60, 3600]))
    def an_answer_is_kept(self, caller, body, size, ttl_s):
        self.puts += 1
        said = b"%d to %s: " % (self.puts, caller) + NOISE[:size]
        kept = Kept.for_(
            CachedAnswer(200, "", (), (Chunk(0, said),), stored_unix_ns=self.now), ttl_s
        )
        self.runner.run(self.cache.keep(key_of(caller, body), kept, self.now))
        before = self.kept.get((caller, body))
        self.kept[caller, body] = kept
        served = self.found(caller, body)
        # Too large an answer is not kept, and then what was there before may stay.
        assert served == kept or (size >= 50_000 and served in (None, before))
        if served != kept:
            self.kept[caller, body] = before

    @rule(caller=CALLERS, body=BODIES)
    def an_answer_is_looked_for(self, caller, body):
        served = self.found(caller, body)
        if served is None:
            return  # evicted: always allowed
        assert served == self.kept[caller, body]
        assert served.expires_unix_ns > self.now
        assert caller in served.answer.body[:40]

    @rule(seconds=st.sampled_from([1, 10, 100]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def everything_is_made_durable(self):
        self.runner.run(self.cache.flush())

    @rule()
    def everything_is_forgotten(self):
        self.runner.run(self.cache.clear())
        self.kept.clear()
        assert self.cache.stats().entries == 0

    @rule(pages=st.integers(64, 200))
    def policy_changes_the_bound(self, pages):
        self.limit = pages * PAGE_BYTES
        self.runner.run(self.cache.resize(self.limit))

    @rule()
    def the_sidecar_restarts(self):
        self.runner.run(self.cache.aclose())
        self.cache = self.opened()

    @rule()
    def the_sidecar_is_killed(self):
        """Opens what the files are at this moment, elsewhere, as after kill -9."""
        self.runner.run(self.cache.find("none", self.now))
        self.folders.append(Path(tempfile.mkdtemp()))
        for file in self.folders[-2].iterdir():
            shutil.copy(file, self.folders[-1])
        self.runner.run(self.cache.aclose())
        self.cache = self.opened()

    @invariant()
    def the_bound_holds(self):
        if self.path.exists():
            assert self.path.stat().st_size <= self.limit
        stats = self.cache.stats()
        assert (stats.held_bytes or 0) <= self.limit
        assert stats.problem == ""
        assert stats.errors == 0

    @invariant()
    def it_knows_how_many_it_has(self):
        stats = self.cache.stats()
        if stats.entries is not None:
            assert stats.entries <= sum(kept is not None for kept in self.kept.values())

    def teardown(self):
        self.runner.run(self.cache.aclose())
        self.runner.close()
        for folder in self.folders:
            shutil.rmtree(folder)


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)

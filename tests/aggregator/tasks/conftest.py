"""Makers of tasks and calls, and the stores that have to do as `ports` says."""

import pytest

from remora.testing.clock import ManualClock
from remora_aggregator.tasks.memory_store import MemoryTaskStore
from remora_aggregator.tasks.totals import TaskCall


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def make_call(clock):
    """Make calls that ended now: ``make_call(is_refused=True)``."""

    def make(ended_s_ago=0.0, took_s=1.0, **fields):
        ended = clock.now_unix_ns() - round(ended_s_ago * 1e9)
        times = {"started_unix_ns": ended - round(took_s * 1e9), "ended_unix_ns": ended}
        return TaskCall(**({"pod_uid": "pod-1"} | times | fields))

    return make


@pytest.fixture(params=[MemoryTaskStore], ids=["memory"])
def store(request, clock):
    """A store of each kind; it counts calls by ``count(key, call, instead_of=…)``."""
    return request.param(clock)

"""What runs came to is known for a time and up to a number; then no byte of their texts is left."""

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.workflow_ring import PunctualModels, Ring

from remora.testing.virtual_loop import VirtualTimeLoop
from remora_sidecar.workflow_runs import runs
from remora_sidecar.workflow_runs.known import Known

WORKFLOW = {
    "name": "short",
    "steps": [{"id": "one", "prompt": "Say {{input.word}}."}, {"id": "two", "prompt": "Go on."}],
}
KEPT_S = runs.KEPT_NS / 1e9


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """A loop whose hours pass at once."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        yield runner


def run(runner: asyncio.Runner, coroutine: Coroutine[Any, Any, None]) -> None:
    runner.run(coroutine)


async def opened(folder: Path) -> Ring:
    ring = Ring(folder, PunctualModels())
    await ring.runs.take_up()
    return ring


async def ended(ring: Ring, **more: Any) -> Known:
    known = await ring.order(WORKFLOW, input={"word": "zanzibar"}, **more)
    await known.feed.over()
    assert known.status == "completed"
    return known


def found(folder: Path, text: bytes) -> bool:
    """Tell whether bytes stand anywhere in the files of runs."""
    return any(text in file.read_bytes() for file in folder.glob("workflows.db*"))


def test_texts_are_gone_from_the_file_once_their_time_is_over(
    runner: asyncio.Runner, tmp_path: Path
) -> None:
    async def story() -> None:
        ring = await opened(tmp_path)
        known = await ended(ring, idempotency_key="k")
        assert found(tmp_path, b"What one found")
        await asyncio.sleep(KEPT_S - 2 * runs.FORGETS_EVERY_S)
        assert ring.runs.find(known.ordered.execution_id) is known
        await asyncio.sleep(4 * runs.FORGETS_EVERY_S)
        assert ring.runs.find(known.ordered.execution_id) is None
        for text in (b"What one found", b"zanzibar", known.ordered.execution_id.encode()):
            assert not found(tmp_path, text)
        again = await ended(ring, idempotency_key="k")
        assert again.ordered.execution_id != known.ordered.execution_id
        await ring.stop()

    run(runner, story())


def test_what_was_ordered_is_gone_soon_after_the_end(
    runner: asyncio.Runner, tmp_path: Path
) -> None:
    async def story() -> None:
        ring = await opened(tmp_path)
        await ended(ring)
        await asyncio.sleep(2 * runs.FORGETS_EVERY_S)
        assert not found(tmp_path, b"zanzibar")
        assert not found(tmp_path, b"Go on.")
        await ring.stop()

    run(runner, story())


def test_the_oldest_are_forgotten_where_there_are_too_many(
    runner: asyncio.Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MAX_ENDED", 2)

    async def story() -> None:
        ring = await opened(tmp_path)
        ids = [(await ended(ring)).ordered.execution_id for _ in range(4)]
        await asyncio.sleep(1)
        assert [ring.runs.find(one) is not None for one in ids] == [False, False, True, True]
        await ring.stop()
        again = await opened(tmp_path)
        assert [again.runs.find(one) is not None for one in ids] == [False, False, True, True]
        await again.stop()

    run(runner, story())


def test_the_oldest_are_forgotten_where_they_are_too_large_together(
    runner: asyncio.Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        ring = await opened(tmp_path)
        first = await ended(ring)
        monkeypatch.setattr(runs, "MAX_ENDED_BYTES", 2 * first.result_bytes + 100)
        others = [await ended(ring) for _ in range(2)]
        await asyncio.sleep(1)
        known = [ring.runs.find(one.ordered.execution_id) for one in (first, *others)]
        assert known == [None, *others]
        await ring.stop()

    run(runner, story())


def test_what_is_too_old_after_a_restart_is_not_known_again(
    runner: asyncio.Runner, tmp_path: Path
) -> None:
    async def story() -> None:
        ring = await opened(tmp_path)
        known = await ended(ring)
        await ring.stop()
        await asyncio.sleep(KEPT_S + 1)
        again = await opened(tmp_path)
        assert again.runs.find(known.ordered.execution_id) is None
        await again.stop()
        assert not found(tmp_path, b"What one found")

    run(runner, story())

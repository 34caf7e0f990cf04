"""Random workflows in the ring that runs them: answers, failures, people, stops and kills.

Each call that is paid leaves a record, and the sum of the records is what the runs come to.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.workflow_ring import Ring
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.sidecar.workflow_runs.scripted_models import NOTHING, Name, ScriptedModels, known_usd
from tests.sidecar.workflows.random_workflows import GIVEN, steps

from remora.errors import RemoraError
from remora.testing.clock import ManualClock
from remora.testing.virtual_loop import VirtualTimeLoop
from remora_sidecar.engine.task_gate import TaskHold
from remora_sidecar.spool.spool import Spool
from remora_sidecar.workflow_runs.known import Known
from remora_sidecar.workflows.inputs import Answered, Cancel, Failed, Held, Pause, Resume

AT_ONCE = 3
TEXTS = ["fine", "fine", "other", '{"ok": true}', '{"ok": true}', "{bad", "", '{"best": 2}']
COSTS = ["0.0000001", "0.0003", "0.001", "0.02", None]
TASK = "shared"
PATIENCE_S = 100.0
"""Of virtual time."""

PLACES = st.integers(0, 9)


class RingMachine(RuleBasedStateMachine):
    """Everything that may happen to the runs of a sidecar, at any moment."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self.spool = Spool.open(Path(self.folder.name) / "spool.db", clock=ManualClock())
        self.models = ScriptedModels(self.spool)
        self.ids: list[str] = []
        self.results: dict[str, Any] = {}
        self.revision = self.kills = 0
        self._start()

    def _do[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(self._and_settle(coroutine))

    async def _and_settle[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        async with asyncio.timeout(PATIENCE_S):
            done = await coroutine
        await asyncio.sleep(0.000_001)  # passes once nothing is left to be done
        for execution_id in self.ids:
            self._hear(self.ring.runs.find(execution_id))
        return done

    def _hear(self, known: Known | None) -> None:
        assert known is not None, "a run is not known any more"
        execution_id = known.ordered.execution_id
        for step in known.value["steps"]:
            if step["status"] in ("completed", "failed", "skipped", "defaulted"):
                self.models.over.add((execution_id, step["step_id"]))
        if known.ended_unix_ns:
            assert self.results.setdefault(execution_id, known.value) == known.value

    def _start(self) -> None:
        async def start() -> None:
            folder = Path(self.folder.name)
            self.ring = Ring(folder, self.models, waiting=self.spool, at_once=AT_ONCE)
            await self.ring.runs.take_up()

        self._do(start())

    # people

    @precondition(lambda self: len(self.ids) < 4)
    @rule(data=st.data(), task=st.sampled_from([None, TASK]), key=st.sampled_from("abc"))
    def order(self, data: st.DataObject, task: str | None, key: str) -> None:
        drawn = [data.draw(steps(number)) for number in range(data.draw(st.integers(1, 6)))]
        budget = {"max_tokens": 40_000} if task else None
        more = {"task_id": task, "task_budget": budget, "idempotency_key": key}
        workflow = {"name": "drawn", "steps": drawn}
        with contextlib.suppress(RemoraError):
            known = self._do(self.ring.order(workflow, input=GIVEN, **more))
            if known.ordered.execution_id not in self.ids:
                self.ids.append(known.ordered.execution_id)

    @precondition(lambda self: self.ids)
    @rule(place=PLACES, said=st.sampled_from([Pause(), Resume(), Resume(), Cancel()]))
    def steer(self, place: int, said: Any) -> None:
        self._do(self._steer(self.ids[place % len(self.ids)], said))

    async def _steer(self, execution_id: str, said: Any) -> None:
        known = self.ring.runs.find(execution_id)
        assert known is not None
        self.ring.runs.steer(known, said)
        await known.settled()

    @precondition(lambda self: self.ids)
    @rule(control=st.sampled_from(["paused", "open", "open"]))
    def hold(self, control: Any) -> None:
        self._do(self._hold(control))

    async def _hold(self, control: Any) -> None:
        self.revision += 1
        self.ring.gate.take(TaskHold(TASK, control, self.revision))

    # models and time

    def _open(self, place: int) -> Name:
        names = list(self.models.open)
        return names[place % len(names)]

    async def _say(self, name: Name, says: Any, cost: str | None = NOTHING) -> None:
        if name in self.models.open:
            self.models.record(name, cost)
            self.models.say(name, says)

    def _answer(self, name: Name, text: str, cost: str | None) -> Coroutine[Any, Any, None]:
        return self._say(name, lambda slip: Answered(name[1], text, slip.bill), cost)

    @precondition(lambda self: self.models.open)
    @rule(place=PLACES, text=st.sampled_from(TEXTS), cost=st.sampled_from(COSTS))
    def answer(self, place: int, text: str, cost: str | None) -> None:
        self._do(self._answer(self._open(place), text, cost))

    @precondition(lambda self: self.models.open)
    @rule(place=PLACES, text=st.sampled_from(TEXTS), cost=st.sampled_from(COSTS))
    def answer_while_somebody_cancels(self, place: int, text: str, cost: str | None) -> None:
        async def both() -> None:
            name = self._open(place)
            await self._answer(name, text, cost)
            await asyncio.sleep(0)
            await self._steer(name[0], Cancel())

        self._do(both())

    @precondition(lambda self: self.models.open)
    @rule(
        place=PLACES,
        cost=st.sampled_from([*COSTS, NOTHING]),
        may_retry=st.booleans(),
        may_move=st.booleans(),
    )
    def fail(self, place: int, cost: str | None, may_retry: bool, may_move: bool) -> None:
        name = self._open(place)

        def failed(slip: Any) -> Failed:
            return Failed(name[1], "provider_error", "", slip.bill, may_retry, may_move)

        self._do(self._say(name, failed, cost))

    @precondition(lambda self: self.models.open)
    @rule(place=PLACES)
    def refuse_since_the_task_is_paused(self, place: int) -> None:
        name = self._open(place)
        if self.models.open[name][2].bill is None:
            self._do(self._say(name, lambda slip: Held(name[1])))

    @precondition(lambda self: self.models.open)
    @rule(place=PLACES, cost=st.sampled_from(COSTS))
    def record_a_call_before_its_answer_is_heard(self, place: int, cost: str | None) -> None:
        async def recorded() -> None:
            self.models.record(self._open(place), cost)

        self._do(recorded())

    @precondition(lambda self: self.ids)
    @rule(seconds=st.sampled_from([0.001, 0.12, 0.4, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self._do(asyncio.sleep(seconds))

    # the process

    @precondition(lambda self: self.ids)
    @rule()
    def stop_and_take_up(self) -> None:
        self._end(self.ring.stop())
        self._start()

    @precondition(lambda self: self.ids)
    @rule()
    def kill_and_take_up(self) -> None:
        self.kills += 1
        self.models.is_dead = True
        self._end(self.ring.crash())
        self.models.is_dead = False
        self._start()

    def _end(self, ending: Coroutine[Any, Any, None]) -> None:
        async def ended() -> None:
            async with asyncio.timeout(PATIENCE_S):
                await ending
            assert asyncio.all_tasks() == {asyncio.current_task()}, "a task is left"

        self.runner.run(ended())
        assert not self.models.open, "a call is left"

    # the end

    def teardown(self) -> None:
        with self.folder, contextlib.closing(self.spool), self.runner:
            self._play_to_the_end()
            self._check_sums()
            self._end(self.ring.stop())

    def _play_to_the_end(self) -> None:
        for _ in range(400):
            if len(self.results) == len(self.ids):
                assert self.ring.turns.room == AT_ONCE, "a turn was not given back"
                return
            self._do(self._hold("open"))
            for execution_id in self.ids:
                self._do(self._steer(execution_id, Resume()))
            for name in list(self.models.open):
                self._do(self._answer(name, "fine", "0.0001"))
            self._do(asyncio.sleep(1))
        raise AssertionError("a run does not end")

    def _check_sums(self) -> None:
        for execution_id, result in self.results.items():
            trace_id = execution_id.removeprefix("exec_")
            mine = [r for r in self.models.records if r.attribution.trace_id == trace_id]
            receipts = [one for step in result["steps"] for one in step["receipt_ids"]]
            assert sorted(receipts) == sorted(record.call_id for record in mine)
            assert Decimal(result["known_cost_usd"]) == sum(map(known_usd, mine), Decimal(0))
            lost = [c for s in result["steps"] for c in s["calls"] if c["status"] == "lost"]
            unpriced = sum(record.cost is None for record in mine) + len(lost)
            assert result["unpriced_calls"] == unpriced
            assert self.kills or not lost, "a call is lost though no process was killed"
            assert (result["error"] or {}).get("code") not in ("internal", "unreadable")


TestRing = RingMachine.TestCase
TestRing.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

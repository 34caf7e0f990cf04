"""Evaluates: an agent with one combination on one datapoint, within a session of the tracker.

Each evaluation has an agent of its own, so that none depends on what others did before it.
What agent or evaluation raise is the evaluation's failure; what the tracker raises is the run's.
"""

import math
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from remora.selectors.combination import Combination
from remora.selectors.contract import AgentFn, EvalFn, SelectorTracker
from remora.selectors.evaluation import CallFacts, Cell, Evaluation
from remora.selectors.pricing import PriceList, facts_of
from remora.selectors.user_code import UserCode, is_async

_MAX_ERROR_CHARACTERS = 2000


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        agent: Its class.
        combinations: What it is made with.
        dataset: What it is run on: (input, expected).
        eval_fn: Scores its answers.
        tracker: Tells what its calls used.
        prices: Of models, where the user named them.
    """

    agent: AgentFn
    combinations: Sequence[Combination]
    dataset: Sequence[tuple[Any, Any]]
    eval_fn: EvalFn
    tracker: SelectorTracker
    prices: PriceList

    async def evaluate(self, cell: Cell, threads: Executor) -> Evaluation:
        """Run the agent once, score its answer and add up what it used."""
        code = UserCode(threads)
        run = await self._run(cell, code)
        calls = await code.in_thread(self._calls, cell, run.session_id)
        score, error = await self._score(cell, run, code)
        bill = self.prices.bill(calls, has_failed=error is not None)
        latency_s = run.seconds + bill.cached_latency_seconds
        return Evaluation(cell, score, latency_s, calls, bill, error)

    def _session(self, cell: Cell) -> dict[str, str]:
        combination = self.combinations[cell.combination]
        return {"data_id": combination.data_id(cell.datapoint), "combo_id": combination.label}

    def _calls(self, cell: Cell, session_id: str) -> tuple[CallFacts, ...]:
        """Give the calls of this evaluation; the tracker may know earlier ones of the same name."""
        found = self.tracker.get_records(**self._session(cell))
        return tuple(facts_of(call) for call in found if call.session_id == session_id)

    async def _run(self, cell: Cell, code: UserCode) -> "_Run":
        session = self.tracker.track(**self._session(cell))
        opened = await code.in_thread(session.__enter__)
        try:
            return replace(await self._run_agent(cell, code), session_id=opened.session_id)
        finally:
            await code.in_thread(session.__exit__, None, None, None)

    async def _run_agent(self, cell: Cell, code: UserCode) -> "_Run":
        given, _ = self.dataset[cell.datapoint]
        begun_s = time.monotonic()
        try:
            agent = await self._make_agent(cell, code)
            begun_s = time.monotonic()
            answer = await code.call(agent.run, given)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the agent's failure
            return _Run(time.monotonic() - begun_s, error=_told("the agent", error))
        return _Run(time.monotonic() - begun_s, answer)

    async def _make_agent(self, cell: Cell, code: UserCode) -> Any:
        """Make it where it will run: clients that it opens may belong to the loop."""
        candidates = dict(self.combinations[cell.combination].candidates)
        if not is_async(getattr(self.agent, "run", self.agent)):
            return await code.in_thread(self.agent, candidates)

        async def make() -> Any:
            return self.agent(candidates)

        return await code.call(make)

    async def _score(self, cell: Cell, run: "_Run", code: UserCode) -> tuple[float, str | None]:
        """Score an answer, outside of the session: a judge's calls are not the agent's."""
        if run.error is not None:
            return 0.0, run.error
        _, expected = self.dataset[cell.datapoint]
        try:
            score = float(await code.call(self.eval_fn, expected, run.answer))
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no score
            return 0.0, _told("eval_fn", error)
        if not math.isfinite(score):
            return 0.0, f"eval_fn gave {score}, which is no score"
        return score, None


@dataclass(frozen=True, slots=True)
class _Run:
    """What came of an agent's run."""

    seconds: float
    answer: Any = None
    error: str | None = None
    session_id: str = ""


def _told(who: str, error: Exception) -> str:
    text = f"{who} raised {type(error).__name__}: {error}"[:_MAX_ERROR_CHARACTERS]
    return text.encode(errors="replace").decode()  # what SQLite can't keep must not end the run

"""What a run may cost before any of it has been paid. Pure.

Two numbers for each step and the whole: `least`, which no run can stay below that runs its
steps, and `most`, by which budgets reserve: every answer as long as it may get, every attempt
used, every answer repaired once. What costs an unknown price costs an unknown sum, never nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from remora.workflows.capabilities import needs_of
from remora.workflows.choosing import Candidate, Market, Wanted
from remora.workflows.compiled import CompiledStep, CompiledWorkflow
from remora.workflows.model import TIERS, Tier
from remora.workflows.prompt_sizes import PromptSizes, Size
from remora.workflows.sizes import latency_ms, most_tokens
from remora.workflows.step import Step
from remora.workflows.strategy import Drafter, Judge

REPAIR_TOKENS = 1_000
"""Of the message that says what is wrong with an answer."""

VERDICT_TOKENS = 512
"""A judge's answer."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What something takes.

    Attributes:
        cost_usd: None: a price is unknown.
        tokens: Of prompts and answers.
        latency_ms: From begin to end; by assumed speeds.
    """

    cost_usd: Decimal | None = Decimal(0)
    tokens: int = 0
    latency_ms: int = 0


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """One kind of call that a step makes.

    Attributes:
        role: ``answer``, ``draft``, ``verify``, ``repair`` or ``judge``.
        model: ``provider/model``; empty: no candidate is there.
        calls: How many of them, at most.
        input_tokens: Of one prompt, at most.
        output_tokens: Of one answer, at most, thoughts included.
        cost_usd: Of all of them; None: unknown.
    """

    role: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None


@dataclass(frozen=True)
class StepEstimate:
    """What a step may take.

    Attributes:
        step_id: Which one.
        calls: The kinds of calls behind `most`.
        least: One short call; nothing if it may be skipped.
        most: If all goes as badly as it may.
    """

    step_id: str
    calls: tuple[CallEstimate, ...]
    least: Amount
    most: Amount


@dataclass(frozen=True)
class Estimate:
    """What a run may take.

    Attributes:
        steps: By their ids, in the order of the document.
        least: The sum of the steps'; of no latency.
        most: The sum of the steps'; its latency is that of the longest chain of steps.
        assumed: References of whose size nothing is known, for which `ASSUMED_TOKENS` stand.
    """

    steps: Mapping[str, StepEstimate]
    least: Amount
    most: Amount
    assumed: tuple[str, ...] = ()


def estimate(workflow: CompiledWorkflow, market: Market, input_value: object = None) -> Estimate:
    """Reckon what a run may take.

    Args:
        workflow: What would be run.
        market: Models and prices.
        input_value: The input, if it is known; its sizes then stand for the assumed ones.
    """
    sizes = PromptSizes(workflow, input_value)
    steps = {
        step_id: _Reckoning(step, market, sizes, _may_be_free(workflow, step_id)).estimate()
        for step_id, step in workflow.steps.items()
    }
    least = _sum([step.least for step in steps.values()], 0)
    most = _sum([step.most for step in steps.values()], _chain_ms(workflow, steps))
    return Estimate(steps, least, most, tuple(sorted(sizes.assumed)))


def _sum(amounts: list[Amount], chain_ms: int) -> Amount:
    costs = [amount.cost_usd for amount in amounts]
    return Amount(add_costs(costs), sum(amount.tokens for amount in amounts), chain_ms)


def add_costs(costs: list[Decimal | None]) -> Decimal | None:
    """Add up; None if any of them is unknown."""
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def _chain_ms(workflow: CompiledWorkflow, steps: Mapping[str, StepEstimate]) -> int:
    """Return how long the longest chain of steps may take."""
    ends: dict[str, int] = {}
    for step_id in workflow.graph.order:
        begin = max((ends[before] for before in workflow.graph.dependencies[step_id]), default=0)
        ends[step_id] = begin + steps[step_id].most.latency_ms
    return max(ends.values(), default=0)


def _may_be_free(workflow: CompiledWorkflow, step_id: str) -> bool:
    """Tell whether a run may succeed in which a step asks nothing."""
    own = workflow.steps[step_id]
    if own.condition is not None or own.over is not None:
        return True
    before = (workflow.steps[other] for other in workflow.graph.needed_for([step_id]))
    return any(_may_skip_others(step) for step in before if step is not own)


def _may_skip_others(step: CompiledStep) -> bool:
    skips = step.condition is not None or step.step.on_failure == "skip"
    return skips and not step.step.has_default


@dataclass(frozen=True, slots=True)
class Role:
    """Whom a step looks for: its own model, a drafter or a judge."""

    tier: Tier
    model: str | None = None
    provider: str | None = None


@dataclass(frozen=True)
class _Reckoning:
    """Reckons one step."""

    compiled: CompiledStep
    market: Market
    sizes: PromptSizes
    may_be_free: bool

    @property
    def step(self) -> Step:
        return self.compiled.step

    def estimate(self) -> StepEstimate:
        prompt, items = self.sizes.of_step(self.compiled)
        calls = tuple(call for call in self._calls(prompt.most, items) if call.calls)
        tokens = sum(call.calls * (call.input_tokens + call.output_tokens) for call in calls)
        cost = add_costs([call.cost_usd for call in calls])
        most = Amount(cost, tokens, self._latency_ms(items))
        return StepEstimate(self.step.id, calls, self._least(prompt), most)

    def _calls(self, prompt: int, items: int) -> list[CallEstimate]:
        step = self.step
        times, size = items * step.retry.attempts, (prompt, step.answer_limit_tokens)
        if step.strategy.kind == "speculative":
            calls = [
                self._call("draft", self._found(prompt, step.strategy.drafter), times, size),
                self._call("verify", self._found(prompt, step), times, size),
            ]
        else:
            racers = racers_of(step, self.market, input_tokens=prompt)
            calls = [self._call("answer", chosen, times, size) for chosen in racers]
        return [*calls, *self._repairs(prompt, items), *self._verdicts(prompt, times)]

    def _found(self, prompt: int, asked: Step | Drafter | Judge) -> list[Candidate]:
        role = role_of(asked)
        return candidates_of(self.step, self.market, input_tokens=prompt, role=role)

    def _repairs(self, prompt: int, items: int) -> list[CallEstimate]:
        answer = self.step.answer_limit_tokens
        if self.step.output.type != "json":
            return []
        size = (prompt + answer + REPAIR_TOKENS, answer)
        racers = racers_of(self.step, self.market, input_tokens=size[0])
        menders = [self._call("repair", chosen, items, size) for chosen in racers]
        return [max(menders, key=_dearness)]  # whose answer it is that is mended is not known

    def _verdicts(self, prompt: int, times: int) -> list[CallEstimate]:
        judge = self.step.strategy.best
        if judge is None:
            return []
        answers = self.step.strategy.racers * self.step.answer_limit_tokens
        size = (prompt + answers + most_tokens(judge.criteria), VERDICT_TOKENS)
        return [self._call("judge", self._found(size[0], judge), times, size)]

    def _call(
        self, role: str, chosen: list[Candidate], calls: int, size: tuple[int, int]
    ) -> CallEstimate:
        """Reckon calls of one prompt's and one answer's size to the first that is chosen."""
        price = chosen[0].price if chosen else None
        prompt, answer = size
        answer += chosen[0].thought_tokens if chosen else 0
        cost = None if price is None else price.cost_usd(prompt, answer) * calls
        model = chosen[0].entry.name if chosen else self.step.model or ""
        return CallEstimate(role, model, calls, prompt, answer, cost)

    def _least(self, prompt: Size) -> Amount:
        """Reckon one call to the cheapest model, with the shortest prompt and answer."""
        if self.may_be_free:
            return Amount()
        roles = answerers_of(self.step)
        if self.step.strategy.kind == "speculative":  # a draft may be all that is paid
            roles.append(role_of(self.step.strategy.drafter))
        costs = [self._least_usd(prompt.least, role) for role in roles]
        known = [cost for cost in costs if cost is not None]
        cheapest = min(known) if len(known) == len(costs) else None
        return Amount(cheapest, prompt.least + 1, 0)

    def _least_usd(self, prompt: int, role: Role) -> Decimal | None:
        """Return what the cheapest of some models takes; None: a price is unknown."""
        found = candidates_of(self.step, self.market, input_tokens=prompt, role=role)
        costs = [None if c.price is None else c.price.cost_usd(prompt, 1) for c in found]
        known = [cost for cost in costs if cost is not None]
        return min(known, default=None) if len(known) == len(costs) else None

    def _latency_ms(self, items: int) -> int:
        step = self.step
        one = latency_ms(step.tier, step.answer_limit_tokens)
        one = one if step.timeout is None else min(one, step.timeout.milliseconds)
        asked = one * step.retry.attempts + step.retry.pauses_ms
        asked += one if step.output.type == "json" else 0
        if step.strategy.best is not None:
            asked += latency_ms(step.strategy.best.tier, VERDICT_TOKENS) * step.retry.attempts
        rounds = 1 if step.map is None else math.ceil(items / step.map.concurrency)
        return asked * rounds


def _dearness(call: CallEstimate) -> tuple[bool, Decimal]:
    """Order by cost, unknown ones last."""
    return call.cost_usd is None, call.cost_usd or Decimal(0)


def role_of(asked: Step | Drafter | Judge) -> Role:
    """Return whom a step, or one that it asks besides, looks for."""
    return Role(asked.tier, asked.model, asked.provider)


def candidates_of(
    step: Step, market: Market, *, input_tokens: int = 0, role: Role | None = None
) -> list[Candidate]:
    """Return the models that a step may be given to, best first.

    Args:
        step: Says what is needed.
        market: What is on offer.
        input_tokens: Size of the prompt.
        role: Whom it looks for; None: for its own model.
    """
    role = role or role_of(step)
    wanted = Wanted(
        needs=needs_of(step),
        tiers=(role.tier,) if role.model is None else TIERS,
        model=role.model,
        provider=role.provider,
        input_tokens=input_tokens,
        output_tokens=step.answer_limit_tokens,
    )
    return list(market.choose(wanted).candidates)


def answerers_of(step: Step) -> list[Role]:
    """Return whom a step asks its own question: one role, or one for each that it names."""
    named = step.strategy.candidates
    return [Role(step.tier, one.model, one.provider) for one in named] or [role_of(step)]


def racers_of(step: Step, market: Market, *, input_tokens: int = 0) -> list[list[Candidate]]:
    """Return the models that a single or parallel step asks at once, best first.

    A parallel step that pins a model asks that one as often as it says. Each place has one
    model, or none where the market knows none for it.
    """
    if step.strategy.candidates:
        roles = answerers_of(step)
        found = [candidates_of(step, market, input_tokens=input_tokens, role=r) for r in roles]
        return [candidates[:1] for candidates in found]
    ranked = candidates_of(step, market, input_tokens=input_tokens)
    if step.model is not None:
        return [ranked[:1]] * step.strategy.racers
    return [[racer] for racer in ranked[: step.strategy.racers]] or [[]]

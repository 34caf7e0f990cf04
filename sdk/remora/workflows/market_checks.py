"""What a workflow asks of models that none offers, and budgets that no run can keep. Pure."""

from collections.abc import Iterator

from remora.workflows.budget import Budget
from remora.workflows.capabilities import needs_of
from remora.workflows.choosing import Market, Wanted
from remora.workflows.compiled import CompiledWorkflow
from remora.workflows.estimate import Amount, Role, candidates_of, estimate, role_of
from remora.workflows.findings import Findings, Path
from remora.workflows.model import TIERS
from remora.workflows.step import Step


def check_market(workflow: CompiledWorkflow, market: Market, findings: Findings) -> None:
    """Note steps without a candidate, and budgets below the least that a run costs."""
    for number, compiled in enumerate(workflow.steps.values()):
        _check_candidates(compiled.step, market, findings, ("steps", number))
    if not findings.problems:
        _check_budgets(workflow, market, findings)


def _check_candidates(step: Step, market: Market, findings: Findings, path: Path) -> None:
    for where, role in _roles(step, path):
        if role.model is not None and not market.catalogue.find(role.model, role.provider):
            findings.odd(where, f"the catalogue does not know {role.model!r}: nothing is checked")
        elif not candidates_of(step, market, role=role):
            findings.wrong(where, f"no candidate: {_reason(step, market, role)}")
    if step.strategy.kind == "speculative":
        _check_draft(step, market, findings, path)
    if step.strategy.kind == "parallel" and not step.strategy.candidates and step.model is None:
        found = len(candidates_of(step, market))
        if 0 < found < step.strategy.racers:
            what = f"asks {step.strategy.racers} models, but only {found} can do it"
            findings.wrong((*path, "strategy"), what)


def _check_draft(step: Step, market: Market, findings: Findings, path: Path) -> None:
    drafters = candidates_of(step, market, role=role_of(step.strategy.drafter))
    verifiers = candidates_of(step, market)
    if drafters and verifiers and drafters[0].entry == verifiers[0].entry:
        what = f"the same model drafts and verifies, {drafters[0].entry.name}"
        findings.odd((*path, "strategy"), what)


def _roles(step: Step, path: Path) -> list[tuple[Path, Role]]:
    """Give whom a step looks for, and where it says so."""
    below = (*path, "strategy")
    roles = []
    if not step.strategy.candidates:
        field = "model" if step.model is not None else "capabilities"
        roles.append(((*path, field), role_of(step)))
    for number, named in enumerate(step.strategy.candidates):
        role = Role(step.tier, named.model, named.provider)
        roles.append(((*below, "candidates", number), role))
    if step.strategy.kind == "speculative":
        roles.append(((*below, "draft"), role_of(step.strategy.drafter)))
    if step.strategy.best is not None:
        roles.append(((*below, "best"), role_of(step.strategy.best)))
    return roles


def _reason(step: Step, market: Market, role: Role) -> str:
    """Say what keeps the models out that come nearest."""
    needs = needs_of(step)
    tiers = TIERS if role.model is not None else (role.tier,)
    wanted = Wanted(needs, tiers, role.model, role.provider, output_tokens=step.answer_limit_tokens)
    dropped = market.choose(wanted).dropped
    near = [(entry, why) for entry, why in dropped if not why.startswith(("tier ", "other "))]
    said = sorted({why for _, why in near}) or ["no model of that provider and tier"]
    elsewhere = sorted(
        {c.entry.tier for c in market.choose(Wanted(needs, provider=role.provider)).candidates},
        key=TIERS.index,
    )
    hint = (
        f"; of tier {' or '.join(elsewhere)} there are" if elsewhere and role.model is None else ""
    )
    return f"{'; '.join(said[:3])}{hint}"


def _check_budgets(workflow: CompiledWorkflow, market: Market, findings: Findings) -> None:
    budget = workflow.workflow.budget
    if budget is None and all(one.step.budget is None for one in workflow.steps.values()):
        return
    reckoned = estimate(workflow, market)
    if budget is not None:
        _check(reckoned.least, budget, findings, ("budget",))
    for number, (step_id, compiled) in enumerate(workflow.steps.items()):
        limits, path = compiled.step.budget, ("steps", number, "budget")
        if limits is not None:
            _check(reckoned.steps[step_id].least, limits, findings, path)


def _check(least: Amount, limits: Budget, findings: Findings, path: Path) -> None:
    for field, what in limit_problems(least, limits):
        findings.wrong((*path, field), what)


def limit_problems(least: Amount, limits: Budget) -> Iterator[tuple[str, str]]:
    """Say of each limit that no run can keep why not.

    One that only warns is no reason not to run, and what a run costs that is moved to cheaper
    models is not known from its tiers.
    """
    cost, tokens = least.cost_usd, limits.max_tokens
    if limits.on_exceed == "warn":
        return
    if limits.on_exceed == "block" and cost is not None and cost > limits.cost_limit_usd:
        yield "max_cost_usd", f"less than the least that it costs, about {cost:.6f} USD"
    if tokens is not None and least.tokens > tokens:
        yield "max_tokens", f"less than the least that it takes, about {least.tokens} tokens"

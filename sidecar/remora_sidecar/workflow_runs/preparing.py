"""An order read and checked whole, before anything is spent on it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from remora.errors import ConfigError, Problem, RemoraError
from remora.workflows.budget import Budget
from remora.workflows.catalogue import Catalogue, CatalogueModel
from remora.workflows.choosing import Market
from remora.workflows.compiled import CompiledWorkflow
from remora.workflows.document import given_workflow, read_workflow
from remora.workflows.estimate import Amount, Estimate, estimate
from remora.workflows.library import TEMPLATES, shipped_text, shipped_workflow
from remora.workflows.market_checks import limit_problems
from remora_sidecar.openai_api.client_key import ClientKey
from remora_sidecar.openai_api.offers import Offers
from remora_sidecar.workflow_runs.order import RunOrder, WorkflowSource
from remora_sidecar.workflow_runs.wording.request import surface_of
from remora_sidecar.workflows.amounts import usd_text

type Document = dict[str, Any] | WorkflowSource


class UnknownWorkflow(RemoraError):
    """There is no workflow of that name."""

    def __init__(self, name: str) -> None:
        """Say which ones there are."""
        super().__init__(f"there is no workflow {name!r}; there are {', '.join(TEMPLATES)}")


class WrongInput(ConfigError):
    """The input is not what the workflow takes."""


@dataclass(frozen=True)
class Prepared:
    """A workflow that can be run.

    Attributes:
        document: As it was written.
        workflow: Ready to be run.
        estimate: What the run may take.
    """

    document: Document
    workflow: CompiledWorkflow
    estimate: Estimate


class Preparing:
    """Reads orders, on a thread: a large workflow takes a while."""

    def __init__(self, offers: Offers) -> None:
        """Take who knows the models."""
        self._offers = offers

    def market(self, key: ClientKey) -> Market:
        """Return what a client may be given now."""
        return self._offers.market(Catalogue.builtin(), surface_of, key)

    async def prepare(self, order: RunOrder, key: ClientKey) -> Prepared:
        """Read an order.

        Raises:
            UnknownWorkflow: It names a workflow that does not exist.
            WrongInput: The input does not fit; holds every problem.
            ConfigError: The workflow has problems, or its budget is below the least that it
                takes; holds all of them.
        """
        return await asyncio.to_thread(self._prepared, order, key)

    async def read(self, document: Document) -> CompiledWorkflow:
        """Read a workflow again that was run before; raises ConfigError."""
        return await asyncio.to_thread(self._read, document)

    def _read(self, document: Document) -> CompiledWorkflow:
        self._offers.load()
        return _compiled(document, None)

    def _prepared(self, order: RunOrder, key: ClientKey) -> Prepared:
        document, market = document_of(order), _asked_once(self.market(key))
        workflow = _compiled(document, market)
        if problems := workflow.input_problems(order.input):
            raise WrongInput(problems)
        reckoned = estimate(workflow, market, workflow.with_defaults(order.input))
        _check_budgets(reckoned.least, {"budget": order.budget, "task_budget": order.task_budget})
        return Prepared(document, workflow, reckoned)


def _asked_once(market: Market) -> Market:
    """Return a market that asks about each model once: an order is read within a moment."""
    why_not: dict[tuple[str, str], str] = {}

    def permits(entry: CatalogueModel) -> str:
        name = (entry.provider, entry.model)
        if name not in why_not:
            why_not[name] = market.permits(entry)
        return why_not[name]

    return replace(market, price_of=cache(market.price_of), permits=permits)


def document_of(order: RunOrder) -> Document:
    """Return the workflow that is ordered; raises UnknownWorkflow."""
    if order.source is not None:
        return order.source
    if isinstance(order.workflow, str):
        if order.workflow not in TEMPLATES:
            raise UnknownWorkflow(order.workflow)
        return WorkflowSource(text=shipped_text(order.workflow), file=f"{order.workflow}.yaml")
    return order.workflow or {}


def _compiled(document: Document, market: Market | None) -> CompiledWorkflow:
    if isinstance(document, WorkflowSource):
        return read_workflow(document.text, document.file, market)
    return given_workflow(document, market)


def _check_budgets(least: Amount, budgets: Mapping[str, Budget | None]) -> None:
    problems = [
        Problem(f"{name}.{limit}", what)
        for name, budget in budgets.items()
        if budget is not None
        for limit, what in limit_problems(least, budget)
    ]
    if problems:
        raise ConfigError(problems)


def estimate_value(reckoned: Estimate) -> dict[str, Any]:
    """Write an estimate as answers carry it."""
    return {"least": _amount(reckoned.least), "most": _amount(reckoned.most)}


def _amount(amount: Amount) -> dict[str, Any]:
    return {
        "cost_usd": usd_text(amount.cost_usd),
        "tokens": amount.tokens,
        "latency_ms": amount.latency_ms,
    }


def template_value(name: str, market: Market) -> dict[str, Any]:
    """Describe a workflow of the package; raises UnknownWorkflow."""
    if name not in TEMPLATES:
        raise UnknownWorkflow(name)
    from remora.workflows.drawing import mermaid

    workflow = shipped_workflow(name)
    plain = workflow.workflow.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {
        **summary_value(workflow),
        "document": plain,
        "examples": plain.get("examples", []),
        "estimate": estimate_value(estimate(workflow, market)),
        "mermaid": mermaid(workflow),
    }


def summary_value(workflow: CompiledWorkflow) -> dict[str, Any]:
    """Describe a workflow in short."""
    return {
        "name": workflow.workflow.name,
        "description": workflow.workflow.description,
        "steps": list(workflow.graph.order),
        "outputs": list(workflow.outputs),
        "input": workflow.workflow.input_schema,
        "digest": workflow.digest,
    }

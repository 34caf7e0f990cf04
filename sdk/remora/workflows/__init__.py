"""The language of workflows: what people write, checked whole, explained and reckoned. Pure.

`document` reads and checks; what comes out (`CompiledWorkflow`) is all that a runner needs.
`choosing` finds models for steps, `estimate` reckons a run, `drawing` shows the graph, `library`
has the package's own workflows. `executing` is no part of the language: it has the sidecar run
them. Names load on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remora.workflows.budget import Budget
    from remora.workflows.capabilities import Overrides
    from remora.workflows.catalogue import Catalogue, CatalogueModel
    from remora.workflows.choosing import Market, ModelPrice
    from remora.workflows.compiled import CompiledStep, CompiledWorkflow
    from remora.workflows.document import given_workflow, read_workflow
    from remora.workflows.estimate import Estimate
    from remora.workflows.executing import (
        execute,
        execute_async,
        list,  # noqa: A004 - the published name
        list_async,
        stream,
        stream_async,
    )
    from remora.workflows.library import TEMPLATES, shipped_workflow
    from remora.workflows.scope import Scope, StepResult
    from remora.workflows.step import Step
    from remora.workflows.workflow import Workflow

_HOMES = {
    "TEMPLATES": "library",
    "Budget": "budget",
    "Catalogue": "catalogue",
    "CatalogueModel": "catalogue",
    "CompiledStep": "compiled",
    "CompiledWorkflow": "compiled",
    "Estimate": "estimate",
    "Market": "choosing",
    "ModelPrice": "choosing",
    "Overrides": "capabilities",
    "Scope": "scope",
    "Step": "step",
    "StepResult": "scope",
    "Workflow": "workflow",
    "execute": "executing",
    "execute_async": "executing",
    "given_workflow": "document",
    "list": "executing",
    "list_async": "executing",
    "read_workflow": "document",
    "shipped_workflow": "library",
    "stream": "executing",
    "stream_async": "executing",
}

__all__ = [
    "TEMPLATES",
    "Budget",
    "Catalogue",
    "CatalogueModel",
    "CompiledStep",
    "CompiledWorkflow",
    "Estimate",
    "Market",
    "ModelPrice",
    "Overrides",
    "Scope",
    "Step",
    "StepResult",
    "Workflow",
    "execute",
    "execute_async",
    "given_workflow",
    "list",
    "list_async",
    "read_workflow",
    "shipped_workflow",
    "stream",
    "stream_async",
]


def __getattr__(name: str) -> Any:
    """Import one of the names above."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)

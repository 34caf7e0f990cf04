"""The language of workflows: what people write, checked whole, explained and reckoned. Pure.

`document` reads and checks; what comes out (`CompiledWorkflow`) is all that a runner needs.
`choosing` finds models for steps, `estimate` reckons a run, `drawing` shows the graph, `library`
has the package's own workflows. Names load on first use.
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
    "given_workflow": "document",
    "read_workflow": "document",
    "shipped_workflow": "library",
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
    "given_workflow",
    "read_workflow",
    "shipped_workflow",
]


def __getattr__(name: str) -> Any:
    """Import one of the names above."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)

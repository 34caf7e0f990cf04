"""The workflows that the package ships, read on first use."""

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

from remora.workflows.compiled import CompiledWorkflow
from remora.workflows.document import read_workflow

TEMPLATES = (
    "research",
    "write",
    "analyze",
    "code",
    "transform",
    "decide",
    "refactor",
    "classify",
    "qa",
    "extract",
)
"""Their names, in the order in which people are shown them."""


@lru_cache(maxsize=len(TEMPLATES))
def shipped_workflow(name: str) -> CompiledWorkflow:
    """Return a workflow of the package.

    Raises:
        KeyError: There is none of that name.
    """
    if name not in TEMPLATES:
        raise KeyError(name)
    return read_workflow(shipped_text(name), f"{name}.yaml")


def shipped_text(name: str) -> str:
    """Return the text of a workflow of the package, as it is written."""
    return files(__package__).joinpath("templates", f"{name}.yaml").read_text(encoding="utf-8")


def shipped_workflows() -> Iterator[CompiledWorkflow]:
    """Give every workflow of the package."""
    return map(shipped_workflow, TEMPLATES)

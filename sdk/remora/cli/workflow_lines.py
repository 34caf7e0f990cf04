"""Workflows as a terminal shows them: the graph, level by level, and the list of them."""

from collections.abc import Iterator, Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from remora.cli.figures import plural
from remora.workflows.compiled import CompiledStep, CompiledWorkflow
from remora.workflows.drawing import condition_text, facts_of
from remora.workflows.templates import Template, ValueTemplate, templates_in

_MAX_CONDITION_CHARACTERS = 60


def drawing(compiled: CompiledWorkflow) -> RenderableType:
    """Draw a workflow: a row of boxes for each level, what waits below what it waits for."""
    return Group(*_rows(compiled))


def _rows(compiled: CompiledWorkflow) -> Iterator[RenderableType]:
    workflow = compiled.workflow
    levels = compiled.graph.levels
    count = f"{plural(len(workflow.steps), 'step')}, {plural(len(levels), 'level')}"
    yield Text.assemble((workflow.name, "bold"), f"  {count}")
    for number, level in enumerate(levels):
        if number:
            yield Text("     │\n     ▼")
        yield Columns([_box(compiled, compiled.steps[step_id]) for step_id in level])
    for name, value in compiled.outputs.items():
        yield Text.assemble("  → ", (name, "bold"), f"  {_sources(value)}")


def _box(compiled: CompiledWorkflow, step: CompiledStep) -> Panel:
    lines = [", ".join(facts_of(step))]
    before = sorted(compiled.graph.dependencies[step.step.id])
    if before:
        lines.append(f"after {', '.join(before)}")
    condition = condition_text(step)
    if condition:
        lines.append(f"if {_cut(condition)}")
    return Panel(Text("\n".join(lines)), title=step.step.id, title_align="left", expand=False)


def _cut(text: str) -> str:
    if len(text) <= _MAX_CONDITION_CHARACTERS:
        return text
    return f"{text[: _MAX_CONDITION_CHARACTERS - 1]}…"


def _sources(value: ValueTemplate) -> str:
    """Name what an output is made of."""
    found = [template for _, template in templates_in(value)]
    if isinstance(value, Template) and value.lone_reference is not None:
        return str(value.lone_reference)
    names = dict.fromkeys(str(r) for template in found for r in template.references)
    return f"from {', '.join(names)}" if names else ""


def listing(workflows: Sequence[CompiledWorkflow]) -> Table:
    """List workflows: name, steps, what they give, what they are for."""
    table = Table(box=None, pad_edge=False)
    for column in ("name", "steps", "outputs", "what it does"):
        table.add_column(column, overflow="fold")
    for compiled in workflows:
        table.add_row(
            compiled.workflow.name,
            " → ".join(", ".join(level) for level in compiled.graph.levels),
            ", ".join(compiled.outputs),
            compiled.workflow.description.strip(),
        )
    return table

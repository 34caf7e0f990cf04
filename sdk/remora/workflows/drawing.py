"""A workflow's graph as text for other programs: Mermaid and Graphviz. Pure."""

import json
from collections.abc import Iterator

from remora.workflows.compiled import CompiledStep, CompiledWorkflow


def facts_of(compiled: CompiledStep) -> tuple[str, ...]:
    """Return what people want to see of a step at a glance, most important first."""
    return tuple(_facts(compiled))


def _facts(compiled: CompiledStep) -> Iterator[str]:
    step = compiled.step
    yield step.model or step.tier
    if step.strategy.kind != "single":
        count = f" of {step.strategy.racers}" if step.strategy.kind == "parallel" else ""
        yield f"{step.strategy.kind}{count}"
    if step.output.type == "json":
        yield "json"
    if step.map is not None:
        yield f"for each of {compiled.over}".replace("{{", "").replace("}}", "")
    if step.on_failure != "fail":
        yield f"on failure: {step.on_failure}"


def condition_text(compiled: CompiledStep) -> str:
    """Write a step's condition on one line; empty without one."""
    if compiled.condition is None:
        return ""
    return json.dumps(compiled.condition.rule, ensure_ascii=False)


def mermaid(workflow: CompiledWorkflow) -> str:
    """Draw as a Mermaid flowchart."""
    names = {step_id: f"s{number}" for number, step_id in enumerate(workflow.steps)}
    lines = ["flowchart TD"]
    for step_id, compiled in workflow.steps.items():
        label = _mermaid_text(f"{step_id}\n{', '.join(facts_of(compiled))}")
        left, right = ("{{", "}}") if compiled.condition is not None else ("[", "]")
        lines.append(f'  {names[step_id]}{left}"{label}"{right}')
    lines.extend(f"  {names[a]} --> {names[b]}" for a, b in edges(workflow))
    return "\n".join(lines) + "\n"


def dot(workflow: CompiledWorkflow) -> str:
    """Draw for Graphviz."""
    lines = [f"digraph {json.dumps(workflow.workflow.name)} {{", "  node [shape=box];"]
    for step_id, compiled in workflow.steps.items():
        label = f"{step_id}\n{', '.join(facts_of(compiled))}"
        style = ", style=dashed" if compiled.condition is not None else ""
        text = json.dumps(label, ensure_ascii=False)
        lines.append(f"  {json.dumps(step_id)} [label={text}{style}];")
    lines.extend(f"  {json.dumps(a)} -> {json.dumps(b)};" for a, b in edges(workflow))
    return "\n".join([*lines, "}"]) + "\n"


def edges(workflow: CompiledWorkflow) -> Iterator[tuple[str, str]]:
    """Give each pair of a step and one that waits for it."""
    for step_id in workflow.steps:
        for before in sorted(workflow.graph.dependencies[step_id]):
            yield before, step_id


def _mermaid_text(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace('"', "&quot;")
    return escaped.replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br/>")

"""What a run gives back: its outputs, whole or as far as it came."""

from collections.abc import Iterator, Mapping

from remora.workflows.compiled import CompiledWorkflow
from remora.workflows.references import step_of
from remora.workflows.scope import Scope
from remora.workflows.templates import RenderError, ValueTemplate, render_all, templates_in


def rendered(workflow: CompiledWorkflow, scope: Scope) -> tuple[dict[str, object], dict[str, str]]:
    """Render the outputs; what refers to a step that is not over is null.

    Returns:
        The outputs by their names, and why some of them, which are null, could not be rendered.
    """
    outputs: dict[str, object] = {}
    problems: dict[str, str] = {}
    for name, template in workflow.outputs.items():
        outputs[name] = None
        if all(step_id in scope.steps for step_id in _steps_of(template)):
            try:
                outputs[name] = render_all(template, scope.look_up)
            except RenderError as error:
                problems[name] = str(error)
    return outputs, problems


def _steps_of(template: ValueTemplate) -> Iterator[str]:
    for _, found in templates_in(template):
        for reference in found.references:
            step_id = step_of(reference)
            if step_id is not None:
                yield step_id


def output_problem(problems: Mapping[str, str]) -> str:
    """Say which outputs could not be rendered."""
    return "; ".join(f"outputs.{name}: {what}" for name, what in problems.items())

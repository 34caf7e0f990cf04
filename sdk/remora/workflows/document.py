"""Workflows read from text or from plain values, checked whole, every problem at once."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from remora.errors import ConfigError, Problem
from remora.policy.problems import explain, nearest
from remora.policy.yaml_source import SourceDocument, read_documents
from remora.workflows.choosing import Market
from remora.workflows.compiled import CompiledStep, CompiledWorkflow
from remora.workflows.findings import Findings, GivenDocument, Path
from remora.workflows.graph import Graph, circles, graph_of
from remora.workflows.market_checks import check_market
from remora.workflows.model import plain_problem
from remora.workflows.references import Vocabulary, step_of
from remora.workflows.schemas import schema_problems
from remora.workflows.step import Step
from remora.workflows.step_compiler import StepCompiler
from remora.workflows.templates import (
    Reference,
    Template,
    ValueTemplate,
    parse_value,
    templates_in,
)
from remora.workflows.workflow import Workflow


def read_workflow(text: str, file: str, market: Market | None = None) -> CompiledWorkflow:
    """Read a workflow from YAML or JSON.

    Args:
        text: One document.
        file: Its name, for messages.
        market: Models and prices to check capabilities and budgets against; None: neither is.

    Raises:
        ConfigError: Something is wrong; holds every problem, each with line and column.
    """
    documents, problems = read_documents(file, text)
    if not problems and len(documents) != 1:
        problems = [Problem(file, "should be one document that holds a workflow")]
    if problems:
        raise ConfigError(problems)
    return compile_workflow(documents[0], market)


def given_workflow(value: Mapping[str, Any], market: Market | None = None) -> CompiledWorkflow:
    """Take a workflow that a program gives as mappings, lists and scalars.

    Raises:
        ConfigError: Something is wrong; holds every problem, each with its path.
    """
    return compile_workflow(GivenDocument(value), market)


def compile_workflow(source: SourceDocument, market: Market | None = None) -> CompiledWorkflow:
    """Check a document whole.

    Raises:
        ConfigError: Something is wrong; holds every problem.
    """
    findings = Findings(source)
    value = source.value
    if not isinstance(value, dict):
        raise ConfigError([Problem(source.where(), "should be a mapping of fields")])
    workflow = _model(value, findings)
    reading = _Reading(value, findings)
    graph = reading.graph()
    if workflow is None or graph is None or findings.problems:
        raise ConfigError(findings.problems)
    compiled = reading.compiled(workflow, graph)
    if market is not None:
        check_market(compiled, market, findings)
        if findings.problems:
            raise ConfigError(findings.problems)
    return dataclasses.replace(compiled, warnings=tuple(findings.warnings))


def _model(value: dict[str, Any], findings: Findings) -> Workflow | None:
    try:
        return Workflow.model_validate(value)
    except ValidationError as error:
        for path, what in explain(Workflow, error):
            findings.wrong(tuple(path), what)
        return None


class _Reading:
    """What can be told of a document even where other parts of it are wrong."""

    def __init__(self, value: dict[str, Any], findings: Findings) -> None:
        self._findings = findings
        self._places: dict[str, Path] = {}
        self._read: dict[str, Step | None] = {}
        self._note_steps(value.get("steps"))
        schema = value.get("input")
        compiler = StepCompiler(findings, Vocabulary(None, self._read, {}))
        self._input_shape = compiler.shape(schema, ("input",))
        known = schema if self._input_shape is not None else None
        told = {step_id: _tellable(step) for step_id, step in self._read.items()}
        self._compiler = StepCompiler(findings, Vocabulary(known, told, {}))
        self.steps = dict(self._compiled_steps())
        self._outputs, self._output_references = self._output_templates(value.get("outputs"))
        self._check_examples(value.get("examples"))

    def _note_steps(self, steps: object) -> None:
        for number, raw in enumerate(steps if isinstance(steps, list) else ()):
            step_id = raw.get("id") if isinstance(raw, dict) else None
            if not isinstance(step_id, str):
                continue
            if step_id in self._read:
                self._findings.wrong(("steps", number, "id"), f"{step_id!r} stands twice")
                continue
            self._places[step_id] = ("steps", number)
            self._read[step_id] = _lenient_step(raw)

    def _compiled_steps(self) -> Iterator[tuple[str, CompiledStep]]:
        for step_id, step in self._read.items():
            if step is not None:
                yield step_id, self._compiler.compile(step, self._places[step_id])

    def _output_templates(
        self, outputs: object
    ) -> tuple[dict[str, ValueTemplate], tuple[Reference, ...]]:
        if not isinstance(outputs, dict) or plain_problem(outputs):
            return {}, ()
        wrong: list[tuple[Path, str]] = []
        templates = {name: parse_value(v, wrong, ("outputs", name)) for name, v in outputs.items()}
        for path, what in wrong:
            self._findings.wrong(path, what)
        references = []
        for path, template in templates_in(dict(templates), ("outputs",)):
            for reference in template.references:
                self._compiler.follow(reference, path, self._compiler.vocabulary)
                references.append(reference)
        return templates, tuple(references)

    def _check_examples(self, examples: object) -> None:
        if self._input_shape is None or not isinstance(examples, list):
            return
        for number, example in enumerate(examples):
            given = example.get("input") if isinstance(example, dict) else None
            for path, what in self._input_shape.problems(given):
                self._findings.wrong(("examples", number, "input", *path), what)

    def graph(self) -> Graph | None:
        """Order the steps; None if they can't be, which is noted."""
        dependencies: dict[str, set[str]] = {step_id: set() for step_id in self._read}
        for step_id, compiled in self.steps.items():
            dependencies[step_id] = set(self._waits_for(compiled))
        found = list(circles(dependencies))
        for circle in found:
            place = (*self._places[circle[0]], "id")
            self._findings.wrong(place, f"waits for itself: {' -> '.join(circle)}")
        return None if found else graph_of(dependencies)

    def _waits_for(self, compiled: CompiledStep) -> Iterator[str]:
        place = self._places[compiled.step.id]
        for number, other in enumerate(compiled.step.depends_on):
            if other in self._read:
                yield other
            else:
                hint = nearest(other, list(self._read))
                what = f"there is no step {other!r}{hint}"
                self._findings.wrong((*place, "depends_on", number), what)
        for reference in compiled.references:
            referred = step_of(reference)
            if referred in self._read:
                yield referred

    def compiled(self, workflow: Workflow, graph: Graph) -> CompiledWorkflow:
        """Put together what was found to be right."""
        outputs = self._outputs
        if workflow.outputs is None:
            outputs = {step_id: _output_of(step_id) for step_id in graph.last}
        else:
            self._warn_of_unneeded(graph)
        return CompiledWorkflow(
            workflow=workflow,
            steps=self.steps,
            graph=graph,
            outputs=outputs,
            input_shape=self._input_shape,
            digest=_digest(workflow),
            optional=frozenset(self._compiler.optional),
        )

    def _warn_of_unneeded(self, graph: Graph) -> None:
        wanted = {found for r in self._output_references if (found := step_of(r)) is not None}
        needed = graph.needed_for(wanted)
        for step_id in graph.order:
            if step_id not in needed:
                self._findings.odd((*self._places[step_id], "id"), _UNNEEDED.format(id=step_id))


_UNNEEDED = "no output needs step {id!r}: it runs and costs all the same"


def _lenient_step(raw: dict[str, Any]) -> Step | None:
    """Read what can be read of a step, so that the rest of it is checked as well."""
    kept = dict(raw)
    for _ in range(2):
        try:
            return Step.model_validate(kept)
        except ValidationError as error:
            wrong = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
            kept = {name: value for name, value in kept.items() if name not in wrong}
            kept.setdefault("id", raw["id"])
            if "messages" not in kept:
                kept.setdefault("prompt", "")
    return None


def _tellable(step: Step | None) -> Step | None:
    """Leave out a step whose answers nothing is known of, since their schema is wrong."""
    if step is None or step.output.json_schema is None:
        return step
    return None if schema_problems(step.output.json_schema) else step


def _output_of(step_id: str) -> Template:
    return Template((Reference("steps", (step_id, "output")),))


def _digest(workflow: Workflow) -> str:
    plain = workflow.model_dump(mode="json", by_alias=True, exclude_unset=True)
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""`remora workflow`: check workflow files, draw them, run them, list those that there are."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remora.cli.options import JSON
from remora.cli.workflow_executions import executions
from remora.cli.workflow_run import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from remora.errors import Problem
    from remora.workflows import CompiledWorkflow

_FORMS = ("terminal", "mermaid", "dot")


@click.group(name="workflow")
def command() -> None:
    """Check workflow files, draw them, run them, list those that are there."""


command.add_command(run)
command.add_command(executions)


@command.command(name="validate")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@JSON
def validate(*, files: tuple[Path, ...], as_json: bool) -> None:
    """Check workflow files whole, in YAML or JSON, before anything is spent.

    Every problem is said at once, with file, line and column: references that lead nowhere,
    types that do not fit, circles, capabilities that no known model has. Exit code 1 with
    problems, 0 without; warnings alone are no problem.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for file in files:
        found = _checked(str(file), file)
        if isinstance(found, list):
            problems.extend(found)
        else:
            warnings.extend(found.warnings)
    (_say_json if as_json else _say)({"problem": problems, "warning": warnings})
    if not as_json:
        _sum_up(len(files), problems, warnings)
    sys.exit(1 if problems else 0)


def _checked(name: str, file: Path) -> "CompiledWorkflow | list[Problem]":
    """Read and check a file; gives its problems if there are any."""
    from remora.errors import ConfigError, Problem
    from remora.workflows import Catalogue, Market, read_workflow

    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        return [Problem(name, f"can't be read: {error.strerror}")]
    except UnicodeDecodeError:
        return [Problem(name, "can't be read: it is no UTF-8 text")]
    try:
        return read_workflow(text, name, Market(Catalogue.builtin()))
    except ConfigError as error:
        return list(error.problems)


def _say(found: "dict[str, list[Problem]]") -> None:
    for level, entries in found.items():
        for entry in entries:
            click.echo(f"{entry.where}: {level}: {entry.what}")


def _say_json(found: "dict[str, list[Problem]]") -> None:
    for level, entries in found.items():
        for entry in entries:
            line = {"level": level, "where": entry.where, "what": entry.what}
            click.echo(json.dumps(line, ensure_ascii=False))


def _sum_up(files: int, problems: "Sequence[Problem]", warnings: "Sequence[Problem]") -> None:
    from remora.cli.figures import plural

    found = {"problem": problems, "warning": warnings}
    said = [plural(len(entries), level) for level, entries in found.items() if entries]
    click.echo(f"{plural(files, 'file')}: {', '.join(said) or 'no problem'}", err=True)


@command.command(name="graph")
@click.argument("workflow", metavar="FILE|NAME")
@click.option(
    "--format", "form", type=click.Choice(_FORMS), default="terminal", help="How it is drawn."
)
def graph(*, workflow: str, form: str) -> None:
    """Draw a workflow: which step waits for which, its conditions, strategies and models' tiers.

    FILE is a file; NAME is one of `remora workflow list`.
    """
    from remora.workflows.drawing import dot, mermaid

    compiled = named_workflow(workflow)
    if form == "terminal":
        from remora.cli.screen import output
        from remora.cli.workflow_lines import drawing

        output().print(drawing(compiled))
        return
    click.echo((mermaid if form == "mermaid" else dot)(compiled), nl=False)


def named_workflow(name: str) -> "CompiledWorkflow":
    """Return the workflow of a file, or one that the package ships.

    Raises:
        ConfigError: It has problems; holds all of them.
        click.UsageError: There is no such file or workflow.
    """
    from remora.errors import ConfigError
    from remora.workflows import TEMPLATES, shipped_workflow

    if name in TEMPLATES and not Path(name).is_file():
        return shipped_workflow(name)
    if not Path(name).is_file():
        known = ", ".join(TEMPLATES)
        raise click.UsageError(f"{name}: neither a file nor a workflow; there are {known}")
    found = _checked(name, Path(name))
    if isinstance(found, list):
        raise ConfigError(found)
    return found


@command.command(name="list")
@JSON
def list_(*, as_json: bool) -> None:
    """List the workflows that the package ships: what they take and what they give."""
    from remora.workflows.library import shipped_workflows

    if as_json:
        for compiled in shipped_workflows():
            click.echo(json.dumps(_view(compiled), ensure_ascii=False))
        return
    from remora.cli.screen import output
    from remora.cli.workflow_lines import listing

    output().print(listing(list(shipped_workflows())))


def _view(compiled: "CompiledWorkflow") -> dict[str, object]:
    workflow = compiled.workflow
    return {
        "name": workflow.name,
        "description": workflow.description,
        "steps": list(compiled.graph.order),
        "outputs": list(compiled.outputs),
        "input": workflow.input_schema,
        "digest": compiled.digest,
    }

"""`remora policy`: check policy files, show what applies, explain what it makes of a call."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remora.cli.options import JSON
from remora.cli.policy_explain import explain
from remora.cli.policy_sources import (
    FILES,
    LABELS,
    checked,
    policy_of_files,
    read_texts,
    refuse_labels_without_files,
    running_view,
)

if TYPE_CHECKING:
    from remora.errors import Problem


@click.group(name="policy")
def command() -> None:
    """Check policy files, show which policy applies, explain what it makes of a call."""


command.add_command(explain)


@command.command(name="validate")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@JSON
def validate(*, files: tuple[Path, ...], as_json: bool) -> None:
    """Check files, and the *.yaml and *.yml files of folders; all of them together.

    Every problem is said at once, with file, line and column. Exit code 1 with problems, 0
    without; warnings alone are no problem.
    """
    from remora.errors import ConfigError

    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()
    texts, unreadable = read_texts(files)
    try:
        documents = checked(texts, unreadable)
        warnings = documents.warnings
    except ConfigError as error:
        problems = error.problems
    say = _say_json if as_json else _say
    say({"problem": problems, "warning": warnings}, len(texts))
    sys.exit(1 if problems else 0)


def _say(found: "Mapping[str, Sequence[Problem]]", file_count: int) -> None:
    from remora.cli.figures import plural

    for level, entries in found.items():
        for entry in entries:
            click.echo(f"{entry.where}: {level}: {entry.what}")
    said = [plural(len(entries), level) for level, entries in found.items() if entries]
    click.echo(f"{plural(file_count, 'file')}: {', '.join(said) or 'no problem'}", err=True)


def _say_json(found: "Mapping[str, Sequence[Problem]]", file_count: int) -> None:
    del file_count
    for level, entries in found.items():
        for entry in entries:
            line = {"level": level, "where": entry.where, "what": entry.what}
            click.echo(json.dumps(line, ensure_ascii=False))


@command.command(name="show")
@FILES
@LABELS
@JSON
def show(*, files: tuple[Path, ...], labels: dict[str, str] | None, as_json: bool) -> None:
    """Show the policy that applies to a pod: selected, floors merged, with its version.

    Without FILE the running sidecar is asked for the one in force.
    """
    refuse_labels_without_files(files, labels)
    view = _view_of_files(files, labels or {}) if files else running_view()
    click.echo(json.dumps(view, ensure_ascii=False) if as_json else _yaml(view), nl=as_json)


def _view_of_files(files: Sequence[Path], labels: Mapping[str, str]) -> Mapping[str, object]:
    from remora.policy.view import policy_view

    return policy_view(policy_of_files(files, labels))


def _yaml(view: Mapping[str, object]) -> str:
    import io

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(dict(view), text)
    return text.getvalue()

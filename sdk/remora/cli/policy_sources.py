"""Where the commands below `remora policy` take policies from: files, or the running sidecar."""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from remora.errors import Problem
    from remora.policy import EffectivePolicy, PolicyDocuments

RUNNING = "remora.running_policy"
"""Entry-point group in which the sidecar's part says how to ask a running one."""


class Labels(click.ParamType[dict[str, str]]):
    """A pod's labels."""

    name = "labels"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, str]:
        """Read ``key=value,key=value``."""
        pairs = [part.strip().partition("=") for part in str(value).split(",") if part.strip()]
        if any(not key or not equals for key, equals, _ in pairs):
            self.fail("labels are written key=value,key=value", param, ctx)
        return {key.strip(): label.strip() for key, _, label in pairs}


FILES = click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="FILE...")
LABELS = click.option("--labels", type=Labels(), help="The pod's labels: key=value,key=value.")


def read_texts(files: Sequence[Path]) -> "tuple[dict[str, str], list[Problem]]":
    """Read files and folders; gives their texts, and what can't be read."""
    from remora.errors import ConfigError
    from remora.policy import read_policy_files

    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for file in files:
        try:
            texts |= read_policy_files(file)
        except ConfigError as error:
            problems.extend(error.problems)
    return texts, problems


def checked(texts: Mapping[str, str], unreadable: "Sequence[Problem]") -> "PolicyDocuments":
    """Check the files that could be read; what could not is a problem as well.

    Raises:
        ConfigError: With every problem.
    """
    from remora.errors import ConfigError
    from remora.policy import load_documents

    problems = list(unreadable)
    try:
        documents = load_documents(texts)
    except ConfigError as error:
        problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return documents


def policy_of_files(files: Sequence[Path], labels: Mapping[str, str]) -> "EffectivePolicy":
    """Give the policy that files hold for a pod.

    Raises:
        ConfigError: With every problem of the files.
    """
    from remora.policy import effective_policy

    return effective_policy(checked(*read_texts(files)), labels)


def refuse_labels_without_files(files: Sequence[Path], labels: Mapping[str, str] | None) -> None:
    """Say that labels choose nothing where a sidecar has chosen already."""
    if labels is not None and not files:
        raise click.UsageError("--labels chooses among policies of files: name FILE as well")


def running_view() -> Mapping[str, object]:
    """Ask the running sidecar what it has in force, by what its part has registered."""
    entries = list(entry_points(group=RUNNING))
    if not entries:
        raise click.ClickException("no sidecar is installed that could be asked: name FILE")
    view: Mapping[str, object] = entries[0].load()()
    return view


def running_policy() -> "EffectivePolicy":
    """Give the policy that the running sidecar has in force.

    Raises:
        ConfigError: It says what this release does not know.
    """
    from remora.policy import effective_from_canonical

    view = running_view()
    document = {name: view[name] for name in ("policy", "providers")}
    # As the version was taken of it; what is shown holds the same in another order.
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return effective_from_canonical(text.encode(), str(view["version"]))

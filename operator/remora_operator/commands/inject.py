"""`remora inject`: do offline what the admission webhook does."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from remora.cli.policy_sources import Labels, checked, read_texts

if TYPE_CHECKING:
    from remora.policy import PolicyDocuments
    from remora_operator.commands.manifest import Document
    from remora_operator.inject.config import InjectionConfig, Namespace, PolicyNeeds
    from remora_operator.inject.offline import Outcome

_REFUSED_EXIT_CODE = 1

type Injected = Sequence[tuple[Document, object, Sequence[Outcome]]]


@click.command(name="inject")
@click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Manifests, YAML or JSON; - reads standard input. May be given again.",
)
@click.option(
    "-n", "--namespace", default="default", show_default=True, help="Where a manifest has none."
)
@click.option(
    "--namespace-labels",
    type=Labels(),
    default="",
    metavar="KEY=VALUE,…",
    help="Labels of namespaces that are not among the manifests.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="The operator's configuration of injection.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Policy documents, for the ports and Secrets that pods need.",
)
@click.option(
    "--mode",
    type=click.Choice(["auto", "transparent", "explicit"]),
    help="How calls reach the sidecar where a pod does not say.",
)
@click.option(
    "--dry-run",
    type=click.Choice(["patch"]),
    help="Print each object's JSON Patch, one line each, instead of the manifests.",
)
def command(
    *,
    files: tuple[Path, ...],
    namespace: str,
    namespace_labels: dict[str, str],
    config_file: Path | None,
    policies: tuple[Path, ...],
    mode: str | None,
    dry_run: str | None,
) -> None:
    """Add the sidecar to manifests, as the admission webhook does to pods.

    Looks into Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs, Lists,
    agent-sandbox's Sandbox and SandboxTemplate, and custom resources with a pod template at the
    usual place; other documents pass as they are. What happened to each is said on stderr.

    Exit codes: 0 done, or nothing to do; 1 a pod is refused, and nothing is printed; 2 options,
    manifests or configuration that can't be read.
    """
    from remora_operator.commands.manifest import read_manifest
    from remora_operator.inject.offline import inject_document, namespaces_in

    config = _config(config_file, mode)
    documents = [d for file in files for d in read_manifest(*_text(file))]
    labels = dict(namespaces_in([document.value for document in documents]))
    namespace_of = _namespaces(namespace, labels, namespace_labels, _needs(policies))
    injected = [
        (document, *inject_document(document.value, namespace_of, config)) for document in documents
    ]
    refused = _say(injected)
    if refused:
        click.echo("refused: nothing is printed", err=True)
        sys.exit(_REFUSED_EXIT_CODE)
    click.echo(_patches(injected) if dry_run else _manifests(injected), nl=False)


def _text(file: Path) -> tuple[str, str]:
    """Read a file; returns its name for messages, and its text."""
    from remora.errors import ConfigError, Problem

    try:
        if str(file) == "-":
            return "stdin", sys.stdin.buffer.read().decode()
        return str(file), file.read_text("utf-8")
    except OSError as error:
        raise ConfigError([Problem(str(file), error.strerror or str(error))]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(file), f"not UTF-8: {error.reason}")]) from error


def _config(file: Path | None, mode: str | None) -> "InjectionConfig":
    from remora_operator.inject.settings import read_config

    config = read_config("", "") if file is None else read_config(*_text(file))
    return config if mode is None else replace(config, mode=mode)  # type: ignore[arg-type]


type _Needs = Callable[[str, Mapping[str, str]], PolicyNeeds]


def _needs(files: tuple[Path, ...]) -> _Needs:
    from remora.policy import effective_policy
    from remora_operator.inject.config import PolicyNeeds, policy_needs

    if not files:
        return lambda _namespace, _labels: PolicyNeeds()
    documents = checked(*read_texts(files))

    def needs(namespace: str, labels: Mapping[str, str]) -> PolicyNeeds:
        return policy_needs(effective_policy(_of_namespace(documents, namespace), labels))

    return needs


def _of_namespace(documents: "PolicyDocuments", namespace: str) -> "PolicyDocuments":
    """Keep the policies of a namespace, and those that do not say where they belong."""
    own = (p for p in documents.policies if p.metadata.namespace in (None, namespace))
    return replace(documents, policies=tuple(own))


def _namespaces(
    default: str,
    known: Mapping[str, Mapping[str, str]],
    others: Mapping[str, str],
    needs: _Needs,
) -> "Callable[[str], Namespace]":
    from remora_operator.inject.config import Namespace

    def namespace_of(name: str) -> Namespace:
        name = name or default
        labels = known.get(name, others)
        return Namespace(name, labels, needs=lambda pod_labels: needs(name, pod_labels))

    return namespace_of


def _say(injected: Injected) -> bool:
    """Say what happened to each pod; returns whether one is refused."""
    from remora_operator.inject import Refuse

    refused = False
    for document, _, outcomes in injected:
        for outcome in outcomes:
            found = outcome.found
            what = f"{document.where} {found.kind}/{found.name}".rstrip("/")
            for line in _lines(outcome):
                click.echo(f"{what}: {line}", err=True)
            refused = refused or isinstance(outcome.decision, Refuse)
    if not any(outcomes for _, _, outcomes in injected):
        click.echo("no pod, and nothing that makes one", err=True)
    return refused


def _lines(outcome: "Outcome") -> list[str]:
    from remora_operator.inject import Injection, Refuse, Skip

    lines = [f"warning: {warned.message}" for warned in outcome.decision.warnings]
    match outcome.decision:
        case Refuse(causes=causes):
            return [*lines, *(f"refused: {cause.message}" for cause in causes)]
        case Skip(message=message):
            return [*lines, f"skipped: {message}"]
        case Injection(mode=mode):
            done = "injected" if outcome.operations else "injected already"
            return [*lines, f"{done}, {mode.value} mode"]


def _patches(injected: Injected) -> str:
    lines = [
        json.dumps(
            {
                "kind": outcome.found.kind,
                "name": outcome.found.name,
                "namespace": outcome.found.namespace,
                "patch": [operation.as_json() for operation in outcome.operations],
            },
            ensure_ascii=False,
        )
        for _, _, outcomes in injected
        for outcome in outcomes
        if outcome.operations
    ]
    return "".join(f"{line}\n" for line in lines)


def _manifests(injected: Injected) -> str:
    from remora_operator.commands.manifest import written

    return written(
        [
            (document, None if value is document.value else document.with_value(value))
            for document, value, _ in injected
        ]
    )

"""`remora doctor`: says why pods were or were not injected, and what else is wrong with them."""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from remora_operator.commands.workloads import Target, TargetType

if TYPE_CHECKING:
    from remora_operator.diagnosis import Diagnosis, Finding

_FOUND_EXIT_CODE = 1
_UNASKED_EXIT_CODE = 2


@click.command(name="doctor")
@click.argument("targets", nargs=-1, required=True, type=TargetType(), metavar="KIND/NAME...")
@click.option("-n", "--namespace", metavar="NAME", help="Default: the kubeconfig's.")
@click.option("--context", metavar="NAME", help="Of the kubeconfig; default: its own.")
@click.option(
    "--operator-namespace", default="remora-system", show_default=True, help="The operator's."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; docs/cli.md.")
def command(
    *,
    targets: tuple[Target, ...],
    namespace: str | None,
    context: str | None,
    operator_namespace: str,
    as_json: bool,
) -> None:
    """Say why pods were or were not injected, and what else is wrong with their sidecars.

    KIND is pod, deployment, statefulset, daemonset, job, cronjob or replicaset, also in kubectl's
    short forms; a name alone is a pod's. Works by your kubeconfig, with your rights; it reads
    no Secret and changes nothing.

    Exit codes: 0 all is well; 1 something is to be done; 2 it can't be asked.
    """
    from remora.errors import RemoraError

    try:
        diagnoses = asyncio.run(_diagnosed(targets, namespace, context, operator_namespace))
    except RemoraError as error:
        click.echo(f"remora doctor: {error}", err=True)
        sys.exit(_UNASKED_EXIT_CODE)
    for target, diagnosis in zip(targets, diagnoses, strict=True):
        shown = [_json(target, diagnosis)] if as_json else _lines(target, diagnosis)
        click.echo("\n".join(shown))
    if not all(diagnosis.is_fine for diagnosis in diagnoses):
        sys.exit(_FOUND_EXIT_CODE)


async def _diagnosed(
    targets: tuple[Target, ...], namespace: str | None, context: str | None, operator: str
) -> "list[Diagnosis]":
    from datetime import UTC, datetime

    from remora_operator.commands.cluster_access import cluster_api, current_namespace
    from remora_operator.commands.cluster_evidence import Gathering
    from remora_operator.diagnosis import diagnose

    inside = namespace or current_namespace(context)
    diagnoses, now = [], datetime.now(UTC)
    async with cluster_api(context) as api:
        for target in targets:
            gathering = Gathering(api, inside, operator)
            diagnoses.append(diagnose(await gathering.evidence(target, now)))
    return diagnoses


def _lines(target: Target, diagnosis: "Diagnosis") -> Iterator[str]:
    of = f"{diagnosis.kind.lower()}/{diagnosis.name}"
    made = "" if str(target) == of else f" (of {of})"
    have = f"{diagnosis.injected} of {diagnosis.pods} pods have a sidecar"
    if str(target).startswith("pod/"):
        have = "has a sidecar" if diagnosis.injected else "has no sidecar"
    yield f"{target}{made} in {diagnosis.namespace}: {have}"
    for finding in diagnosis.findings:
        yield from _finding_lines(finding)
    if not diagnosis.findings:
        yield "  nothing is wrong with it"


def _finding_lines(finding: "Finding") -> Iterator[str]:
    yield f"  {finding.weight.value}: {finding.kind}: {finding.where}: {finding.what}"
    if finding.todo:
        yield f"    → {finding.todo}"


def _json(target: Target, diagnosis: "Diagnosis") -> str:
    shown = {
        "target": str(target),
        "namespace": diagnosis.namespace,
        "workload": {"kind": diagnosis.kind, "name": diagnosis.name},
        "pods": {"seen": diagnosis.pods, "injected": diagnosis.injected},
        "findings": [
            {
                "kind": finding.kind,
                "weight": finding.weight.value,
                "where": finding.where,
                "what": finding.what,
                "todo": finding.todo,
            }
            for finding in diagnosis.findings
        ],
    }
    return json.dumps(shown, ensure_ascii=False)

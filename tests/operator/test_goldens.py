"""Pods in and out: what is in `goldens/in` becomes what is in `goldens/out`, letter by letter.

The command and the webhook must agree. After a change that is meant, look at the difference:

    REMORA_REFRESH_GOLDENS=1 .venv/bin/python -m pytest tests/operator/test_goldens.py
    git diff tests/operator/goldens
"""

import base64
import copy
import json
import os
import shlex
from pathlib import Path

import jsonpatch
import pytest
from click.testing import CliRunner

from remora.policy import effective_policy, load_documents
from remora_operator.commands.inject import command
from remora_operator.commands.manifest import read_manifest
from remora_operator.inject import Namespace, policy_needs
from remora_operator.inject.settings import read_config
from remora_operator.webhook.review import answer

FOLDER = Path(__file__).parent / "goldens"
CASES = sorted((FOLDER / "in").glob("*.yaml"))
HASH = "6b75c8b9f4"


def _options(case: Path) -> list[str]:
    """The options in the first line of an input, with files made whole."""
    first = case.read_text().splitlines()[0]
    written = shlex.split(first.partition("# options:")[2])
    options = written if "--config" in written else ["--config", "config.yaml", *written]
    return [str(FOLDER / "with" / o) if o.endswith(".yaml") else o for o in options]


def _inject(case: Path) -> str:
    ran = CliRunner().invoke(command, ["-f", str(case), *_options(case)])
    assert ran.exit_code == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module", autouse=True)
def _refreshed() -> None:
    """Write the goldens anew before any is looked at, if that is asked for."""
    if not os.environ.get("REMORA_REFRESH_GOLDENS"):
        return
    for file in (FOLDER / "out").iterdir():
        file.unlink()
    for case in CASES:
        (FOLDER / "out" / case.name).write_text(_inject(case))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_command_writes_the_golden(case):
    assert _inject(case) == (FOLDER / "out" / case.name).read_text()


def test_no_golden_is_unused():
    assert {f.name for f in (FOLDER / "out").iterdir()} == {case.name for case in CASES}


def test_the_golden_of_a_pod_that_is_passed_by_is_its_input():
    assert (
        _inject(FOLDER / "in" / "opted-out.yaml") == (FOLDER / "in" / "opted-out.yaml").read_text()
    )


def test_an_injected_golden_is_not_injected_again():
    for case in CASES:
        again = CliRunner().invoke(
            command, ["-f", str(FOLDER / "out" / case.name), *_options(case)]
        )
        assert again.stdout == (FOLDER / "out" / case.name).read_text()


def _of_deployment(name, template):
    labels = {**template["metadata"]["labels"], "pod-template-hash": HASH}
    return {"labels": labels}, {"kind": "ReplicaSet", "name": f"{name}-{HASH}"}


def _of_cron_job(name, template):
    return {}, {"kind": "Job", "name": f"{name}-29371440"}


CONTROLLERS = {
    "Deployment": (("spec", "template"), _of_deployment),
    "CronJob": (("spec", "jobTemplate", "spec", "template"), _of_cron_job),
    "Sandbox": (("spec", "podTemplate"), None),
    "SandboxTemplate": (("spec", "podTemplate"), None),
}


def _pods(document):
    """The pods that controllers make of a document, each with its path in the document."""
    kind = document["kind"]
    if kind == "List":
        for index, item in enumerate(document["items"]):
            for path, pod in _pods(item):
                yield ("items", index, *path), pod
    elif kind == "Pod":
        yield (), copy.deepcopy(document)
    elif kind in ("StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Rollout", *CONTROLLERS):
        path, controller = CONTROLLERS.get(kind, (("spec", "template"), None))
        template = _at(document, path)
        name = document["metadata"]["name"]
        more, owner = (
            controller(name, template) if controller else ({}, {"kind": kind, "name": name})
        )
        own = {"generateName": f"{name}-", "ownerReferences": [{**owner, "controller": True}]}
        metadata = {**template.get("metadata", {}), **more, **own}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        yield path, copy.deepcopy(pod)


def _at(document, path):
    for step in path:
        document = document[step]
    return document


def _values(text):
    return [d.value for d in read_manifest("x", text) if d.value is not None]


def _namespace(case, document, documents):
    options = _options(case)
    given = dict(zip(options[::2], options[1::2], strict=True))
    name = document["metadata"].get("namespace") if document["kind"] != "List" else None
    name = name or given.get("--namespace", "default")
    pairs = [p.split("=") for p in given.get("--namespace-labels", "").split(",") if p]
    stated = {
        d["metadata"]["name"]: d["metadata"]["labels"]
        for d in documents
        if d["kind"] == "Namespace"
    }
    if "--policy" not in given:
        return Namespace(name, stated.get(name, dict(pairs)))
    policy = load_documents({"p": Path(given["--policy"]).read_text()})
    needs = lambda labels: policy_needs(effective_policy(policy, labels))  # noqa: E731
    return Namespace(name, stated.get(name, dict(pairs)), needs=needs)


def _review(pod, namespace):
    request = {
        "uid": "u",
        "operation": "CREATE",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": namespace.name,
        "object": pod,
    }
    return json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    ).encode()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_webhook_does_the_same(case):
    before, after = _values(case.read_text()), _values((FOLDER / "out" / case.name).read_text())
    config_file = _options(case)[_options(case).index("--config") + 1]
    config = read_config("c", Path(config_file).read_text())
    compared = 0
    for document, injected in zip(before, after, strict=True):
        namespace = _namespace(case, document, before)
        for path, pod in _pods(document):
            body = answer(_review(pod, namespace), lambda _, n=namespace: n, config).body
            response = json.loads(body)["response"]
            assert response["allowed"]
            patch = json.loads(base64.b64decode(response.get("patch", "W10=")))
            got = jsonpatch.JsonPatch(patch).apply(pod)
            wanted = _at(injected, path)
            assert got["spec"] == wanted["spec"]
            assert got["metadata"].get("annotations") == wanted.get("metadata", {}).get(
                "annotations"
            )
            compared += 1
    assert compared == 1

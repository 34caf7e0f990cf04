"""Where pods stand in documents."""

import pytest

from remora_operator.inject.outcome import Operation
from remora_operator.inject.templates import find_pods

TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}


def _object(kind, path, api="apps/v1", template=TEMPLATE):
    value = template
    for step in reversed(path):
        value = {step: value}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "n"}, **value}


@pytest.mark.parametrize(
    ("document", "steps"),
    [
        pytest.param(_object(kind, ("spec", "template")), [("spec", "template")], id=kind)
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job",
                     "ReplicationController")
    ]
    + [
        pytest.param({"kind": "Pod", "spec": {}}, [()], id="Pod"),
        pytest.param(
            _object("CronJob", ("spec", "jobTemplate", "spec", "template")),
            [("spec", "jobTemplate", "spec", "template")],
            id="CronJob",
        ),
        pytest.param(_object("PodTemplate", ("template",)), [("template",)], id="PodTemplate"),
        pytest.param(
            _object("Sandbox", ("spec", "podTemplate")), [("spec", "podTemplate")], id="Sandbox"
        ),
        pytest.param(
            _object("SandboxTemplate", ("spec", "podTemplate")),
            [("spec", "podTemplate")],
            id="SandboxTemplate",
        ),
        pytest.param(
            _object("Rollout", ("spec", "template")), [("spec", "template")], id="custom resource"
        ),
        pytest.param(
            _object("Service", ("spec", "template"), "serving.knative.dev/v1"), [], id="Knative"
        ),
        pytest.param(_object("Service", ("spec", "selector")), [], id="no template"),
        pytest.param(
            {"kind": "List", "items": [{"kind": "Pod"}, None, {"kind": "ConfigMap"}]},
            [("items", 0)],
            id="List",
        ),
        pytest.param(
            {"kind": "PodList", "apiVersion": "v1", "items": [{"spec": {}}, {"spec": {}}]},
            [("items", 0), ("items", 1)],
            id="PodList",
        ),
        pytest.param(
            {"kind": "List", "items": [{"kind": "List", "items": [{"kind": "Pod"}]}]},
            [("items", 0, "items", 0)],
            id="list in a list",
        ),
        pytest.param(None, [], id="nothing"),
        pytest.param([1], [], id="a list"),
        pytest.param({"kind": 5, "items": 7}, [], id="junk"),
        pytest.param({"kind": "Deployment", "spec": {"template": 1}}, [], id="junk for a template"),
    ],
)  # fmt: skip
def test_pods_are_found(document, steps):
    assert [found.steps for found in find_pods(document)] == steps


def test_a_templates_pod_has_its_owner_and_the_template_none():
    document = _object("Deployment", ("spec", "template"))
    [found] = find_pods(document)

    assert found.pod["metadata"]["ownerReferences"][0]["name"] == "n"
    assert document == _object("Deployment", ("spec", "template"))


@pytest.mark.parametrize("metadata", [..., None])
def test_a_template_without_metadata_gets_it_whole(metadata):
    template = {"spec": {"containers": []}} | ({} if metadata is ... else {"metadata": None})
    [found] = find_pods(_object("Job", ("spec", "template"), template=template))

    [operation] = found.in_document((Operation("add", "/metadata/annotations", {"x": "y"}),))

    assert operation == Operation("add", "/spec/template/metadata", {"annotations": {"x": "y"}})

"""The chart renders what kustomize does, and refuses values that mean nothing."""

import json
import re
import shutil

import helm_python
import pytest
import yaml
from tests.operator.packaging.rendered import (
    CHART,
    EVERYTHING,
    K8S,
    SYSTEM,
    charted,
    container_of,
    keyed,
    kustomized,
    only,
    pod_template,
    variables,
    workloads,
)
from tests.operator.packaging.test_manifests import POSTGRES

from remora import __version__
from remora_operator.inject import InjectionConfig
from remora_operator.inject.settings import InjectionSettings, read_config
from remora_operator.settings import OperatorSettings

NAMESPACE = ("Namespace", "", SYSTEM)
"""What Helm makes of it: `--create-namespace`."""

OF_HELM = ("app.kubernetes.io/managed-by", "helm.sh/chart")


def _comparable(one):
    """Leave out what Helm adds, and read the documents within as what they mean."""
    one = json.loads(json.dumps(one))
    metadata = one["metadata"]
    for name in OF_HELM:
        metadata.get("labels", {}).pop(name, None)
    metadata.get("annotations", {}).pop("helm.sh/resource-policy", None)
    for holder in ("labels", "annotations"):
        if not metadata.get(holder, True):
            del metadata[holder]
    match one["kind"], metadata["name"]:
        case "ConfigMap", "remora-config":
            one["data"]["injection.yaml"] = yaml.safe_load(one["data"]["injection.yaml"])
        case "Secret", "remora-aggregator-callers":
            lines = one["stringData"]["tokens"].splitlines()
            one["stringData"]["tokens"] = [x.split() for x in lines if not x.startswith("#")]
    return one


def _compared(objects):
    return {name: _comparable(one) for name, one in keyed(objects).items() if name != NAMESPACE}


OPTIONS = {
    "enforce": ("components/enforce", {"enforce": {"enabled": True}}),
    "monitoring": ("components/monitoring", {"monitoring": {"enabled": True}}),
    "grafana": ("grafana", {"grafana": {"enabled": True}}),
    "clusterTrustBundles": (
        "components/cluster-trust-bundles",
        {"injection": {"trustSource": "clusterTrustBundle"}},
    ),
}


@pytest.mark.parametrize(
    ("values", "folder"), [({}, "."), (POSTGRES, "overlays/postgres")], ids=["defaults", "postgres"]
)
def test_the_chart_renders_what_kustomize_does(values, folder):
    by_chart, by_kustomize = _compared(charted(values)), _compared(kustomized(folder))
    assert by_chart.keys() == by_kustomize.keys()
    for name, one in by_kustomize.items():
        assert by_chart[name] == one, name


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_renders_what_its_component_does(option):
    folder, values = OPTIONS[option]
    added = _compared(charted(values))
    before = _compared(charted())
    new = {name: one for name, one in added.items() if name not in before}
    assert new == _compared(kustomized(folder))
    changed = {name for name in before if added[name] != before[name]}
    in_config = {("ConfigMap", SYSTEM, "remora-config")} if "injection" in values else set()
    assert changed == in_config


def test_the_charts_objects_can_be_told_by_their_labels():
    for one in charted(EVERYTHING):
        if one["kind"] != "CustomResourceDefinition":
            assert (
                one["metadata"]["labels"].items()
                >= {
                    "app.kubernetes.io/name": "remora",
                    "app.kubernetes.io/managed-by": "Helm",
                    "helm.sh/chart": f"remora-{__version__}",
                }.items()
            )


def test_versions_are_the_projects():
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (metadata["version"], str(metadata["appVersion"])) == (__version__, __version__)


@pytest.mark.parametrize("file", sorted((K8S / "crds").glob("*.yaml")), ids=lambda file: file.name)
def test_the_charts_definitions_are_the_generated_ones(file):
    assert (CHART / "files/crds" / file.name).read_bytes() == file.read_bytes(), "make crds"


def test_the_chart_has_the_board_and_no_file_too_many():
    board = (K8S / "grafana/remora.json").read_bytes()
    assert (CHART / "files/remora.json").read_bytes() == board
    names = {file.name for file in (K8S / "crds").glob("*.yaml")}
    assert {file.name for file in (CHART / "files/crds").iterdir()} == names


def test_definitions_outlive_the_release_unless_told_otherwise():
    for values, kept in (({}, True), ({"crds": {"keep": False}}, False)):
        crds = [one for one in charted(values) if one["kind"] == "CustomResourceDefinition"]
        assert len(crds) == 3
        for one in crds:
            annotations = one["metadata"].get("annotations", {})
            assert (annotations.get("helm.sh/resource-policy") == "keep") is kept
    assert [
        one for one in charted({"crds": {"install": False}}) if "crd" in one["kind"].lower()
    ] == []


def test_the_linter_has_nothing_to_say(tmp_path):
    shutil.copytree(CHART, tmp_path / "remora")
    found = helm_python.lint(tmp_path / "remora")
    assert found["errors"] == []
    assert [one for one in found["messages"] if one["severity"] > INFORMATION] == []


def test_the_chart_can_be_packed_and_unpacked(tmp_path):
    with helm_python.Chart.load(CHART) as chart:
        packed, rendered = chart.save(tmp_path), chart.render(name="remora", namespace=SYSTEM)
    with helm_python.Chart.load(packed) as chart:
        assert chart.render(name="remora", namespace=SYSTEM) == rendered
    assert f"-n {SYSTEM} rollout status" in rendered["remora/templates/NOTES.txt"]


INFORMATION = 1
"""Of the linter's: an icon is recommended."""

SPEAKING = {
    "affinity", "aggregator", "crds", "database", "enabled", "enforce", "grafana", "image",
    "install", "key", "labels", "limits", "monitoring", "networkPolicies", "nodeSelector",
    "operator",
    "podAnnotations", "podLabels", "priorityClassName", "remora.dev/metrics", "requests",
    "resources", "signIn", "storage", "tolerations", "webhook", "cpu", "memory", "interval",
    "grafana_dashboard", "replicas",
}  # fmt: skip
"""Values whose name says all, or that only hold others."""


def test_values_are_explained():
    silent, before = set(), ""
    for line in (CHART / "values.yaml").read_text().splitlines():
        named = re.match(r" *([\w./]+):", line)
        if named and not before.lstrip().startswith("#"):
            silent.add(named[1])
        before = line
    assert silent <= SPEAKING


def _schema():
    return json.loads((CHART / "values.schema.json").read_text())


def _leaves(schema, values, path=""):
    for name, value in values.items():
        assert name in schema["properties"], f"{path}.{name}"
        inner = schema["properties"][name]
        if isinstance(value, dict) and value and "properties" in inner:
            yield from _leaves(inner, value, f"{path}.{name}")
        else:
            yield f"{path}.{name}"


def test_the_schema_has_the_values_that_there_are_and_no_other():
    values, schema = yaml.safe_load((CHART / "values.yaml").read_text()), _schema()
    assert len(list(_leaves(schema, values))) > 40

    def same(schema, values, path):
        if "properties" not in schema or path == "injection":
            return
        assert schema["additionalProperties"] is False, path
        assert schema["properties"].keys() - {"global"} == values.keys(), path
        for name, value in values.items():
            same(schema["properties"][name], value, name)

    same(schema, values, "")


def test_the_schema_knows_the_fields_of_the_operators_configuration():
    names = {field.alias or name for name, field in InjectionSettings.model_fields.items()}
    assert _schema()["properties"]["injection"]["properties"].keys() == names


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 2},
        {"operator": {"replica": 2}},
        {"operator": {"replicas": 0}},
        {"operator": {"replicas": "2"}},
        {"operator": {"logLevel": "trace"}},
        {"operator": {"resources": {"limits": {"cpu": "lots"}}}},
        {"operator": {"env": [{"value": "x"}]}},
        {"image": {"tag": "a b"}},
        {"image": {"repository": "remora:0.1.0"}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"webhook": {"timeoutSeconds": 30}},
        {"webhook": {"failurePolicy": "fail"}},
        {"injection": {"modus": "explicit"}},
        {"enforce": {"actions": []}},
        {"enforce": {"actions": ["Deny", "Warn"]}},
        {"aggregator": {"storage": {"size": "large"}}},
        {"aggregator": {"replicas": 3}},
        {"aggregator": {"database": {"existingSecret": "pg"}}},
        {"networkPolicies": {"metricsNamespaces": {"a": 1}}},
        {"enforce": {"enabled": True}, "injection": {"nativeSidecars": False}},
    ],
    ids=str,
)
def test_values_that_mean_nothing_are_refused(values):
    with pytest.raises(helm_python.HelmError):
        charted(values)


def _config(values, namespace=SYSTEM):
    document = only(charted(values, namespace), "ConfigMap", "remora-config")
    return read_config("injection.yaml", document["data"]["injection.yaml"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"image": {"repository": "r.example.com/x", "tag": "9"}}, {"image": "r.example.com/x:9"}),
        ({"image": {"pullPolicy": "Always"}}, {"image_pull_policy": "Always"}),
        ({"injection": {"mode": "explicit"}}, {"mode": "explicit"}),
        ({"injection": {"image": "other:1"}}, {"image": "other:1"}),
        ({"injection": {"startupSeconds": 60}}, {"startup_s": 60}),
        ({"aggregator": {"enabled": False}}, {"aggregator_address": "none"}),
        ({"ipv6Only": True}, {"status_listen": "[::]:15021"}),
        (
            {"webhook": {"excludedNamespaces": ["kube-system", "cattle-system"]}},
            {"excluded_namespaces": frozenset({"kube-system", "cattle-system", SYSTEM})},
        ),
    ],
    ids=lambda one: json.dumps(one, default=sorted),
)
def test_the_operators_configuration_follows_the_values(values, expected):
    assert _config(values) == InjectionConfig(**expected)


def test_a_release_elsewhere_is_whole():
    config = _config({}, "elsewhere")
    assert config.operator_address == "remora-operator.elsewhere.svc:15443"
    assert config.aggregator_address == "remora-aggregator.elsewhere.svc:15090"
    assert "elsewhere" in config.excluded_namespaces
    objects = charted(EVERYTHING, "elsewhere")
    assert SYSTEM not in json.dumps(objects)
    assert {namespace for _, namespace, _ in keyed(objects)} == {"", "elsewhere"}


def test_placement_and_variables_reach_the_pods():
    placed = {
        "nodeSelector": {"pool": "system"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "priorityClassName": "important",
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "affinity": {"nodeAffinity": {}},
    }
    drain = {"name": "REMORA_OPERATOR_DRAIN_S", "value": "1"}
    keep = {"name": "REMORA_AGGREGATOR_KEEP_RECORDS", "value": "90d"}
    values = {
        "operator": {**placed, "logLevel": "debug", "env": [drain]},
        "aggregator": {**placed, "env": [keep], "httpHosts": ["remora.example.com"]},
        "image": {"pullSecrets": [{"name": "registry"}]},
    }
    found = {w["metadata"]["name"]: w for w in workloads(charted(values))}
    for workload in found.values():
        template = pod_template(workload)
        for name in ("nodeSelector", "tolerations", "priorityClassName", "affinity"):
            assert template["spec"][name] == placed[name]
        assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        assert template["metadata"]["annotations"]["a"] == "b"
        assert template["metadata"]["labels"]["c"] == "d"
    operator = variables(container_of(found["remora-operator"]))
    aggregator = variables(container_of(found["remora-aggregator"]))
    assert (operator["REMORA_OPERATOR_LOG_LEVEL"], operator["REMORA_OPERATOR_DRAIN_S"]) == (
        "debug",
        "1",
    )
    assert aggregator["REMORA_AGGREGATOR_KEEP_RECORDS"] == "90d"
    assert aggregator["REMORA_AGGREGATOR_HTTP_HOSTS"].endswith(",remora.example.com")


def test_where_pods_have_ipv6_alone_everybody_listens_there():
    found = {w["metadata"]["name"]: w for w in workloads(charted({"ipv6Only": True}))}
    operator = variables(container_of(found["remora-operator"]))
    settings = {name: field.default for name, field in OperatorSettings.model_fields.items()}
    for name in ("webhook_listen", "grpc_listen", "status_listen"):
        port = settings[name].rpartition(":")[2]
        assert operator[f"REMORA_OPERATOR_{name.upper()}"] == f"[::]:{port}"
    aggregator = variables(container_of(found["remora-aggregator"]))
    assert aggregator["REMORA_AGGREGATOR_LISTEN"] == "[::]:15090"


def test_without_an_aggregator_there_is_nothing_of_it():
    objects = charted({"aggregator": {"enabled": False}, "monitoring": {"enabled": True}})
    left = {name for kind, _, name in keyed(objects) if "aggregator" in name}
    assert left <= {"remora-aggregator"}
    assert {k for k, _, n in keyed(objects) if n == "remora-aggregator"} <= {"NetworkPolicy"}

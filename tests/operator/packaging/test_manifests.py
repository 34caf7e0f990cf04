"""Every manifest is what an API server takes, and says what the parts say."""

import json
import os
import re

import kubernetes_validate
import pytest
from tests.operator.packaging.rendered import (
    EVERYTHING,
    K8S,
    KUSTOMIZATIONS,
    SYSTEM,
    built,
    charted,
    container_of,
    keyed,
    kustomized,
    only,
    pod_template,
    samples,
    variables,
    workloads,
)
from tests.operator.packaging.schemas import problems
from tests.operator.pod_security import violations

from remora import __version__
from remora.client.settings import ClientSettings
from remora_aggregator.settings import AggregatorSettings
from remora_operator.inject import InjectionConfig
from remora_operator.inject.settings import read_config
from remora_operator.settings import OperatorSettings

MOST_ANNOTATION_BYTES = 256 * 1024
"""Of all annotations of an object."""

MOST_MESSAGE_CHARACTERS = 5 * 1024
"""That a validation may show."""

FOREIGN = ("ServiceMonitor", "PodMonitor", "LLMPolicy", "ClusterLLMPolicy", "LLMProvider")
"""Custom resources, which Kubernetes' own schemas do not know."""

POSTGRES = {
    "aggregator": {
        "replicas": 3,
        "database": {"existingSecret": "remora-aggregator-database"},
        "signIn": {"existingSecret": "remora-aggregator-sign-in"},
    }
}
INSTALLS = {
    "kustomize": lambda: kustomized(),
    "kustomize, postgres": lambda: kustomized("overlays/postgres"),
    "helm": lambda: charted(),
    "helm, postgres": lambda: charted(POSTGRES),
}


def _rendered():
    for folder in KUSTOMIZATIONS:
        yield pytest.param(lambda folder=folder: kustomized(folder), id=f"k8s/{folder}")
    values = {
        "defaults": {},
        "everything": EVERYTHING,
        "postgres": POSTGRES,
        "v6": {"ipv6Only": True},
    }
    for name, given in values.items():
        yield pytest.param(lambda given=given: charted(given), id=f"chart, {name}")
    yield pytest.param(lambda: [one for file in samples().values() for one in file], id="samples")


def _every(objects, *path):
    """Find every value at a path, wherever it begins."""
    if isinstance(objects, dict):
        inner = objects
        for name in path:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if inner is not None:
            yield inner
        for value in objects.values():
            yield from _every(value, *path)
    elif isinstance(objects, list):
        for value in objects:
            yield from _every(value, *path)


@pytest.mark.parametrize("version", ["1.36", "1.37"])
@pytest.mark.parametrize("objects", list(_rendered()))
def test_every_object_is_valid(objects, version):
    given = objects()
    assert given
    for one in given:
        if one["kind"] not in FOREIGN:
            assert problems(one, version) == []


def test_the_schemas_read_once_are_those_of_the_tool():
    good = only(kustomized(), "Deployment", "remora-operator")
    bad = {**good, "spec": {**good["spec"], "replica": 2}}

    assert kubernetes_validate.validate(good, "1.37", strict=True) == "1.37"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(bad, "1.37", strict=True)
    assert [bool(problems(one, "1.37")) for one in (good, bad)] == [False, True]


@pytest.mark.parametrize("install", INSTALLS)
def test_every_objects_namespace_is_ours_or_none(install):
    assert {namespace for _, namespace, _ in keyed(INSTALLS[install]())} == {"", SYSTEM}


@pytest.mark.parametrize("install", INSTALLS)
def test_services_are_where_sidecars_look_for_them(install):
    objects, config = INSTALLS[install](), InjectionConfig()
    for address, port in ((config.operator_address, "grpc"), (config.aggregator_address, "grpc")):
        host, _, number = address.partition(":")
        name, namespace, _ = host.split(".")
        service = only(objects, "Service", name)
        assert service["metadata"]["namespace"] == namespace
        [found] = [p for p in service["spec"]["ports"] if p["name"] == port]
        assert found["port"] == int(number)


@pytest.mark.parametrize("install", INSTALLS)
def test_every_service_leads_to_a_port_that_its_pods_have(install):
    objects = INSTALLS[install]()
    for service in (one for one in objects if one["kind"] == "Service"):
        [workload] = [
            w for w in workloads(objects)
            if service["spec"]["selector"].items() <= pod_template(w)["metadata"]["labels"].items()
        ]  # fmt: skip
        named = {port["name"] for port in container_of(workload)["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


@pytest.mark.parametrize("install", INSTALLS)
def test_servers_listen_on_the_ports_of_their_containers(install):
    objects = INSTALLS[install]()
    operator = container_of(only(objects, "Deployment", "remora-operator"))
    ports = {port["name"]: port["containerPort"] for port in operator["ports"]}
    settings = {name: field.default for name, field in OperatorSettings.model_fields.items()}
    for name in ("webhook", "grpc", "status"):
        assert settings[f"{name}_listen"] == f"0.0.0.0:{ports[name]}"
    [aggregator] = [w for w in workloads(objects) if w["metadata"]["name"] == "remora-aggregator"]
    container = container_of(aggregator)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    said = variables(container)
    assert said["REMORA_AGGREGATOR_LISTEN"] == f"0.0.0.0:{ports['grpc']}"
    assert said["REMORA_AGGREGATOR_HTTP_LISTEN"] == f"0.0.0.0:{ports['https']}"


@pytest.mark.parametrize("install", [*INSTALLS, "samples"])
def test_every_variable_of_ours_is_a_setting(install):
    objects = INSTALLS[install]() if install in INSTALLS else samples()["07-look.yaml"]
    is_sample = install == "samples"
    models = (ClientSettings,) if is_sample else (OperatorSettings, AggregatorSettings)
    known = {
        f"{m.model_config['env_prefix']}{name}".upper() for m in models for name in m.model_fields
    }
    for workload in workloads(objects):
        assert set(variables(container_of(workload))) <= known
        assert variables(container_of(workload))


@pytest.mark.parametrize("install", INSTALLS)
def test_the_aggregator_takes_its_settings(install, monkeypatch):
    objects = INSTALLS[install]()
    [aggregator] = [w for w in workloads(objects) if w["metadata"]["name"] == "remora-aggregator"]
    for name, value in variables(container_of(aggregator)).items():
        is_secret = not isinstance(value, str)
        monkeypatch.setenv(name, "postgresql://u@h/remora" if is_secret else value)
    settings = AggregatorSettings()
    assert not settings.is_open
    assert f"remora-aggregator.{SYSTEM}.svc" in settings.http_hosts


@pytest.mark.parametrize("install", INSTALLS)
def test_every_file_that_a_server_is_told_of_is_in_a_volume(install):
    for workload in workloads(INSTALLS[install]()):
        container, spec = container_of(workload), pod_template(workload)["spec"]
        folders = {mount["mountPath"] for mount in container["volumeMounts"]}
        files = [
            v for v in variables(container).values() if isinstance(v, str) and v.startswith("/")
        ]
        assert files
        for file in files:
            assert any(file.startswith(f"{folder}/") for folder in folders), file
        claims = [c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", ())]
        volumes = [*claims, *(volume["name"] for volume in spec["volumes"])]
        assert sorted(m["name"] for m in container["volumeMounts"]) == sorted(volumes)


@pytest.mark.parametrize("install", INSTALLS)
def test_pods_pass_the_level_that_their_namespace_enforces(install):
    for workload in workloads(INSTALLS[install]()):
        assert violations(pod_template(workload), "restricted") == []
    namespace = only(kustomized(), "Namespace", SYSTEM)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("install", INSTALLS)
def test_containers_write_nowhere_but_in_volumes_and_are_bounded_and_probed(install):
    for workload in workloads(INSTALLS[install]()):
        container = container_of(workload)
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"requests", "limits"} <= container["resources"].keys()
        for amounts in container["resources"].values():
            assert amounts.keys() == {"cpu", "memory"}
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] in ports
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


@pytest.mark.parametrize("install", INSTALLS)
def test_what_has_replicas_survives_a_node_and_a_drain(install):
    objects = INSTALLS[install]()
    several = [w for w in workloads(objects) if w["spec"]["replicas"] > 1]
    assert several
    for workload in several:
        template = pod_template(workload)
        apart = template["spec"]["affinity"]["podAntiAffinity"]
        for one in apart["preferredDuringSchedulingIgnoredDuringExecution"]:
            selector = one["podAffinityTerm"]["labelSelector"]["matchLabels"]
            assert selector.items() <= template["metadata"]["labels"].items()
        budget = only(objects, "PodDisruptionBudget", workload["metadata"]["name"])
        assert budget["spec"]["selector"] == workload["spec"]["selector"]
        assert budget["spec"]["minAvailable"] < workload["spec"]["replicas"]


@pytest.mark.parametrize("install", INSTALLS)
def test_a_single_server_holds_up_no_drain(install):
    objects = INSTALLS[install]()
    budgets = {one["metadata"]["name"] for one in objects if one["kind"] == "PodDisruptionBudget"}
    for workload in workloads(objects):
        if workload["spec"]["replicas"] == 1:
            assert workload["metadata"]["name"] not in budgets


@pytest.mark.parametrize("install", INSTALLS)
def test_the_operators_configuration_is_injections_own_default(install):
    document = only(INSTALLS[install](), "ConfigMap", "remora-config")["data"]["injection.yaml"]
    assert read_config("injection.yaml", document) == InjectionConfig()


def test_one_version_is_everywhere():
    image = f"remora:{__version__}"
    assert InjectionConfig().image == image
    everything = [*kustomized(), *kustomized("overlays/postgres"), *charted(EVERYTHING)]
    everything += [*kustomized("components/enforce"), *samples()["07-look.yaml"]]
    assert set(_every(workloads(everything), "image")) == {image}
    policies = [one for one in everything if one["metadata"]["name"] == "remora-enforce"]
    images = [
        variable["expression"]
        for one in policies
        for variable in one["spec"].get("variables", ())
        if variable["name"] == "images"
    ]
    assert images == [f'["{image}"]'] * 2


def test_another_registrys_image_reaches_everything_that_names_it():
    objects = kustomized("overlays/registry")
    images = set(_every(workloads(objects), "image"))
    document = only(objects, "ConfigMap", "remora-config")["data"]["injection.yaml"]
    config = read_config("injection.yaml", document)
    assert images == {config.image} == {f"registry.example.com/team/remora:{__version__}"}


def test_the_overlay_for_postgres_replaces_the_server_and_nothing_else():
    base, shared = keyed(kustomized()), keyed(kustomized("overlays/postgres"))
    assert base.keys() - shared.keys() == {("StatefulSet", SYSTEM, "remora-aggregator")}
    assert shared.keys() - base.keys() == {
        ("Deployment", SYSTEM, "remora-aggregator"),
        ("PodDisruptionBudget", SYSTEM, "remora-aggregator"),
    }
    assert [k for k in base.keys() & shared.keys() if base[k] != shared[k]] == []


@pytest.mark.parametrize("folder", [".", "overlays/postgres", "overlays/registry"])
def test_a_deletion_begins_with_what_can_hold_up_pods(folder):
    kinds = [one["kind"] for one in kustomized(folder)]
    assert kinds[:4] == [
        "ValidatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "Namespace",
    ]


@pytest.mark.parametrize("folder", [".", "overlays/postgres", "overlays/registry"])
def test_what_others_stand_on_is_applied_before_them(folder):
    kinds = [one["kind"] for one in kustomized(folder)]
    for before, after in [
        ("Namespace", "ServiceAccount"),
        ("CustomResourceDefinition", "Deployment"),
        ("ServiceAccount", "Deployment"),
        ("ClusterRole", "ClusterRoleBinding"),
        ("ConfigMap", "Deployment"),
    ]:
        last = max(index for index, kind in enumerate(kinds) if kind == before)
        assert last < kinds.index(after), (before, after)


def test_network_policies_name_ports_that_pods_have_and_leave_no_port_out():
    objects = kustomized()
    policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
    for workload in workloads(objects):
        labels = pod_template(workload)["metadata"]["labels"].items()
        ours = [p for p in policies if p["podSelector"]["matchLabels"].items() <= labels]
        opened = {
            port["port"] for policy in ours for rule in policy["ingress"] for port in rule["ports"]
        }
        assert {port["name"] for port in container_of(workload)["ports"]} <= opened
    for policy in policies:
        for rule in policy["ingress"]:
            is_webhook = [port["port"] for port in rule["ports"]] == ["webhook"]
            assert bool(rule.get("from")) is not is_webhook


def test_monitors_scrape_ports_that_there_are():
    services = {one["metadata"]["name"]: one for one in kustomized() if one["kind"] == "Service"}
    monitors = kustomized("components/monitoring")
    for monitor in monitors:
        if monitor["kind"] == "ServiceMonitor":
            service = services[monitor["metadata"]["name"]]
            selector = monitor["spec"]["selector"]["matchLabels"]
            assert selector.items() <= service["metadata"]["labels"].items()
            named = {port["name"] for port in service["spec"]["ports"]}
            assert {e["port"] for e in monitor["spec"]["endpoints"]} <= named
    pods = only(monitors, "PodMonitor", "remora-sidecars")["spec"]
    assert [e["port"] for e in pods["podMetricsEndpoints"]] == ["remora-status"]


def test_the_callers_file_is_one_that_the_aggregator_reads(tmp_path):
    from remora_aggregator.service.token_file import TokenFile

    for objects in (
        kustomized(),
        charted({"aggregator": {"callers": "0123456789abcdef * reader x"}}),
    ):
        file = tmp_path / "tokens"
        file.write_text(
            only(objects, "Secret", "remora-aggregator-callers")["stringData"]["tokens"]
        )
        tokens = TokenFile(file)
        for name, role in (("remora-reader", "reader"), ("remora-admin", "admin")):
            grant = tokens.grant_of_name(f"system:serviceaccount:{SYSTEM}:{name}")
            assert (grant.role.value, grant.namespaces) == (role, None)
            only(objects, "ServiceAccount", name)
    assert tokens.grant_of_token("0123456789abcdef").name == "x"


def test_no_manifest_holds_a_key():
    text = "\n".join(str(one) for one in [*kustomized(), *charted(EVERYTHING)])
    assert not re.search(r"PRIVATE KEY|caBundle|sk-[A-Za-z0-9]{8}", text)


@pytest.mark.parametrize("install", [*INSTALLS, "samples"])
def test_services_become_no_variables_that_look_like_settings(install):
    objects = INSTALLS[install]() if install in INSTALLS else samples()["07-look.yaml"]
    for workload in workloads(objects):
        assert pod_template(workload)["spec"]["enableServiceLinks"] is False


def test_every_object_fits_into_the_annotation_that_kubectl_keeps_it_in():
    for one in [*kustomized(), *kustomized("grafana")]:
        assert len(json.dumps(one)) < MOST_ANNOTATION_BYTES


def test_admission_policies_are_written_as_the_api_server_wants_them():
    for policy in [*kustomized(), *kustomized("components/enforce")]:
        if policy["kind"] == "ValidatingAdmissionPolicy":
            for rule in policy["spec"]["validations"]:
                assert "\n" not in rule["message"]
                assert "\n" not in rule["expression"]
                assert len(rule["message"]) < MOST_MESSAGE_CHARACTERS


def test_components_can_be_named_in_a_kustomization_of_ones_own(tmp_path):
    components = [
        folder for folder in KUSTOMIZATIONS if folder.startswith(("components", "grafana"))
    ]

    def relative(folders):
        return [os.path.relpath((K8S / folder).resolve(), tmp_path.resolve()) for folder in folders]

    own = {"resources": relative(["crds", "base"]), "components": relative(components)}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(own))
    alone = [one for folder in (".", *components) for one in kustomized(folder)]
    assert keyed(built(tmp_path)) == keyed(alone)

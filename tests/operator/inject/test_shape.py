"""What stands where in an injected pod."""

import pytest
from tests.operator.api_server import admitted
from tests.operator.pods import (
    CONFIG,
    ENABLED,
    annotated,
    container,
    environment,
    injected,
    named,
    names,
    pod,
)

from remora_operator.inject import Injection, InjectionConfig, inject
from remora_operator.inject.config import Namespace, PolicyNeeds, Resources, SecretKey
from remora_operator.inject.pod import read_pod
from remora_operator.inject.workload import workload_name
from remora_sidecar.netinit.settings import NetworkSettings
from remora_sidecar.settings import SidecarSettings

CLASSIC = InjectionConfig(native_sidecars=False)


def _volume(given, name):
    [volume] = [v for v in given["spec"]["volumes"] if v["name"] == name]
    return volume


def test_native_our_containers_stand_before_the_users_init_containers():
    given = injected(pod(initContainers=[container("first"), container("second")]))

    assert names(given, "initContainers") == ["remora-netinit", "remora", "first", "second"]
    assert names(given, "containers") == ["app"]
    assert named(given, "remora")["restartPolicy"] == "Always"


def test_classic_the_rules_come_last_and_the_sidecar_first():
    given = injected(pod(initContainers=[container("first")]), config=CLASSIC)

    assert names(given, "initContainers") == ["first", "remora-netinit"]
    assert names(given, "containers") == ["remora", "app"]
    assert "restartPolicy" not in named(given, "remora")
    [python, option, script] = named(given, "remora")["lifecycle"]["postStart"]["exec"]["command"]
    assert (python, option) == ("python3", "-c")
    compile(script, "postStart", "exec")
    assert "/readyz" in script


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (pod(initContainers=[container("i")]), "calls of init containers go past the sidecar"),
        (pod(restartPolicy="Never"), "does not complete"),
        (pod(), "stops at the same time"),
    ],
    ids=["init containers", "a job", "any"],
)
def test_classic_limits_are_said(given, said):
    decision = inject(given, ENABLED, CLASSIC)
    [text] = [w.message for w in decision.warnings if w.kind.value == "ClassicSidecar"]
    assert said in text


def test_the_sidecar_has_no_rights_and_netinit_one():
    given = injected(pod())

    assert named(given, "remora")["securityContext"] == {
        "runAsUser": 1500,
        "runAsGroup": 1500,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    rights = named(given, "remora-netinit")["securityContext"]
    assert rights["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert rights["seccompProfile"] == {"type": "RuntimeDefault"}
    assert rights["readOnlyRootFilesystem"]


@pytest.mark.parametrize(
    ("as_root", "user", "escalation"), [(True, 0, False), (False, 65534, True)]
)
def test_netinit_is_root_or_may_gain_the_files_capability(as_root, user, escalation):
    given = injected(pod(), config=InjectionConfig(netinit_as_root=as_root))

    rights = named(given, "remora-netinit")["securityContext"]
    assert rights["runAsUser"] == user
    assert rights["runAsNonRoot"] == (user != 0)
    assert rights["allowPrivilegeEscalation"] is escalation


def test_probes_ask_the_status_listener_and_nothing_blocks_the_end():
    sidecar = named(injected(pod()), "remora")

    probes = {kind: sidecar[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness")}
    assert {(p["path"], p["port"]) for p in probes.values()} == {("/readyz", 15021)}
    assert sidecar["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert sidecar["startupProbe"]["failureThreshold"] == 120
    assert "lifecycle" not in sidecar


def test_only_the_sidecar_mounts_tokens_data_and_secrets():
    namespace = Namespace(
        "team",
        {"remora.dev/injection": "enabled"},
        needs=lambda _: PolicyNeeds(secrets=(SecretKey("openai", "key"),)),
    )
    given = injected(pod(initContainers=[container("i")]), namespace)

    private = {"remora-data", "remora-identity", "remora-secrets"}
    for name in ("app", "i", "remora-netinit"):
        mounts = named(given, name).get("volumeMounts", [])
        assert {m["name"] for m in mounts} <= {"remora-trust"}
    own = named(given, "remora")["volumeMounts"]
    assert {m["name"] for m in own} == {*private, "remora-trust"}
    assert {m["name"] for m in own if not m.get("readOnly")} == {"remora-data"}


def test_secrets_are_optional_and_stand_where_the_sidecar_looks():
    needed = (SecretKey("openai", "b"), SecretKey("aws", "id"), SecretKey("openai", "a"))
    namespace = Namespace("team", chosen=True, needs=lambda _: PolicyNeeds(secrets=needed))

    sources = _volume(injected(pod(), namespace), "remora-secrets")["projected"]["sources"]

    def secret(name, *keys):
        items = [{"key": key, "path": f"{name}/{key}"} for key in keys]
        return {"secret": {"name": name, "items": items, "optional": True}}

    assert sources == [secret("aws", "id"), secret("openai", "a", "b")]


def test_without_credentials_there_is_no_volume_for_them():
    given = injected(pod())
    assert "remora-secrets" not in [v["name"] for v in given["spec"]["volumes"]]


def test_tokens_have_one_audience_each():
    sources = _volume(injected(pod()), "remora-identity")["projected"]["sources"]
    tokens = [s["serviceAccountToken"] for s in sources if "serviceAccountToken" in s]
    assert {t["audience"]: t["path"] for t in tokens} == {
        "remora-operator": "operator-token",
        "remora-aggregator": "aggregator-token",
    }


def test_policy_is_asked_with_the_pods_labels():
    asked = []

    def needs(labels):
        asked.append(dict(labels))
        return PolicyNeeds(ports=(8000, 15001))

    namespace = Namespace("team", chosen=True, needs=needs)
    given = pod(metadata={"labels": {"app": "research"}})
    decision = inject(given, namespace, CONFIG)

    assert asked == [{"app": "research"}]
    assert environment(injected(given, namespace), "remora")["REMORA_REDIRECT_PORTS"] == (
        "80,443,8000"
    )
    assert [w.kind.value for w in decision.warnings] == ["RedirectPorts"]


def test_netinit_and_sidecar_are_told_the_same():
    config = InjectionConfig(sidecar_uid=2000)
    given = injected(annotated(redirect_ports="8000", network_profile="strict"), config=config)
    netinit, sidecar = environment(given, "remora-netinit"), environment(given, "remora")

    assert netinit == {name: sidecar[name] for name in netinit}
    assert netinit["REMORA_SIDECAR_UID"] == "2000"
    assert named(given, "remora")["securityContext"]["runAsUser"] == 2000


def _settings_of(given, tmp_path, monkeypatch, model):
    """Read a container's variables as its program does, with files where it expects them."""
    for variable in named(given, "remora")["env"]:
        value = variable.get("value", "downward")
        if value.startswith(("/var/", "/run/")):
            file = tmp_path / value.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            value = str(file)
        monkeypatch.setenv(variable["name"], value)
    return model()


@pytest.mark.parametrize("mode", ["transparent", "explicit"])
def test_the_sidecar_understands_its_variables(mode, tmp_path, monkeypatch):
    config = InjectionConfig(upstream_ca=True, mode=mode)
    given = injected(pod(terminationGracePeriodSeconds=2), config=config)
    settings = _settings_of(given, tmp_path, monkeypatch, SidecarSettings)

    known = {f"REMORA_{n}".upper() for n in SidecarSettings.model_fields}
    known |= {f"REMORA_{n}".upper() for n in NetworkSettings.model_fields}
    assert {v["name"] for v in named(given, "remora")["env"]} <= known
    assert settings.mode == mode
    assert settings.in_pod
    assert settings.status_listen == ("0.0.0.0", 15021)  # noqa: S104
    assert settings.drain_s == 1.0
    assert settings.upstream_ca is not None


def test_netinit_understands_its_variables(tmp_path, monkeypatch):
    given = injected(annotated(redirect_ports="8000"))
    settings = _settings_of(given, tmp_path, monkeypatch, NetworkSettings)
    assert settings.redirect_ports == (80, 443, 8000)


def test_without_an_aggregator_records_stay_in_the_spool():
    given = injected(pod(), config=InjectionConfig(aggregator_address="none"))
    variables = environment(given, "remora")
    assert variables["REMORA_AGGREGATOR"] == "none"
    assert "REMORA_AGGREGATOR_CA" not in variables


def test_the_default_container_is_the_users_first():
    annotation = "kubectl.kubernetes.io/default-container"
    given = pod(container("a"), container("b"))
    chosen = pod(container("a"), container("b"), metadata={"annotations": {annotation: "b"}})

    assert injected(given)["metadata"]["annotations"][annotation] == "a"
    assert injected(given, config=CLASSIC)["metadata"]["annotations"][annotation] == "a"
    assert injected(chosen)["metadata"]["annotations"][annotation] == "b"


QUARTER = {"cpu": "250m", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("given", "requests", "limits"),
    [
        pytest.param(pod(), "128Mi", "512Mi", id="best effort"),
        pytest.param(
            pod(container(resources={"requests": QUARTER})), "128Mi", "512Mi", id="burstable"
        ),
        pytest.param(
            pod(container(resources={"limits": QUARTER})), "512Mi", "512Mi", id="guaranteed"
        ),
        pytest.param(
            pod(container(resources={"limits": QUARTER}), container("b")),
            "128Mi",
            "512Mi",
            id="one guaranteed, one not",
        ),
    ],
)
def test_resources_do_not_change_the_pods_class(given, requests, limits):
    once = injected(given)

    for name in ("remora", "remora-netinit"):
        resources = named(once, name)["resources"]
        assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}
    assert named(once, "remora")["resources"]["requests"]["memory"] == requests
    assert named(once, "remora")["resources"]["limits"]["memory"] == limits
    netinit = named(once, "remora-netinit")["resources"]
    assert netinit["requests"] == netinit["limits"]


def test_a_pods_own_sum_of_resources_is_not_added_to():
    given = injected(pod(resources={"limits": QUARTER}))
    assert "resources" not in named(given, "remora")
    assert "resources" not in named(given, "remora-netinit")
    assert given["spec"]["resources"] == {"limits": QUARTER}


def test_cluster_trust_bundles_give_all_but_the_truststore():
    config = InjectionConfig(trust_source="clusterTrustBundle")
    sources = _volume(injected(pod(), config=config), "remora-trust")["projected"]["sources"]

    assert [s["clusterTrustBundle"]["path"] for s in sources[:2]] == ["ca.pem", "bundle.pem"]
    assert [i["key"] for i in sources[2]["configMap"]["items"]] == ["truststore.p12"]


@pytest.mark.parametrize("mode", ["transparent", "explicit"])
@pytest.mark.parametrize("native", [True, False], ids=["native", "classic"])
def test_what_the_api_server_fills_in_makes_no_stranger_of_our_containers(mode, native):
    config = InjectionConfig(mode=mode, native_sidecars=native, upstream_ca=True)
    once = admitted(injected(pod(initContainers=[container("i")]), config=config))

    again = inject(once, ENABLED, config)

    assert isinstance(again, Injection)
    assert again.operations == ()


def test_a_container_that_another_webhook_added_gets_its_share_and_nothing_else_changes():
    once = admitted(injected(pod()))
    once["spec"]["containers"].append(container("added"))
    once["spec"]["initContainers"].insert(0, container("added-init"))

    again = inject(once, ENABLED, CONFIG)

    assert names(injected(once), "initContainers") == ["remora-netinit", "remora", "added-init"]
    touched = [o.path for o in again.operations]
    assert not [path for path in touched if path.startswith("/spec/containers/0")]
    assert {path.split("/")[2] for path in touched} == {"containers", "initContainers"}


def test_drift_can_be_seen_by_the_digest():
    once, other = (
        inject(pod(), ENABLED, InjectionConfig(image=image)).digest for image in ("a:1", "a:2")
    )
    given = injected(pod(), config=InjectionConfig(image="a:1"))
    given["spec"]["initContainers"][1]["resources"]["limits"]["memory"] = "1Gi"

    assert once != other
    assert once in given["metadata"]["annotations"]["remora.dev/status"]
    assert inject(given, ENABLED, InjectionConfig(image="a:1")).digest == once


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        pytest.param({"name": "p"}, "p", id="alone"),
        pytest.param({"name": "", "generateName": "p-"}, "p", id="named by the server"),
        pytest.param(
            {
                "labels": {"pod-template-hash": "5d8"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web-5d8", "controller": True}],
            },
            "web",
            id="Deployment",
        ),
        pytest.param(
            {"ownerReferences": [{"kind": "ReplicaSet", "name": "web", "controller": True}]},
            "web",
            id="ReplicaSet alone",
        ),
        pytest.param(
            {"ownerReferences": [{"kind": "Job", "name": "cj-29371440", "controller": True}]},
            "cj",
            id="CronJob",
        ),
        pytest.param(
            {"ownerReferences": [{"kind": "Job", "name": "job-7", "controller": True}]},
            "job-7",
            id="Job",
        ),
        pytest.param(
            {"ownerReferences": [{"kind": "Sandbox", "name": "s", "controller": True}]},
            "s",
            id="Sandbox",
        ),
        pytest.param(
            {"name": "p", "ownerReferences": [{"kind": "X", "name": "x"}]}, "p", id="no controller"
        ),
    ],
)
def test_workloads_are_named_as_people_name_them(metadata, name):
    given = pod(metadata=metadata)
    assert workload_name(read_pod(given)) == name


def test_resources_come_from_the_configuration():
    config = InjectionConfig(sidecar_resources=Resources("1m", "2m", "3Mi", "4Mi"))
    assert named(injected(pod(), config=config), "remora")["resources"] == {
        "requests": {"cpu": "1m", "memory": "3Mi"},
        "limits": {"cpu": "2m", "memory": "4Mi"},
    }

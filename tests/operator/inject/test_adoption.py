"""What is in a pod under our names is taken over, completed or refused; never overwritten."""

import copy

import pytest
from tests.operator.api_server import admitted
from tests.operator.pods import CONFIG, ENABLED, container, injected, named, names, pod

from remora_operator.inject import Injection, InjectionConfig, Refuse, inject
from remora_operator.inject.config import Tolerated


def _changed(change):
    """An injected, admitted pod in which somebody changed the sidecar."""
    given = admitted(injected(pod()))
    change(named(given, "remora"))
    return given


def _variable(sidecar, name):
    return next(v for v in sidecar["env"] if v["name"] == name)


FOREIGN = [
    pytest.param(lambda c: c.update(image="evil:1"), "image", id="image"),
    pytest.param(lambda c: c.update(command=["sh"]), "command", id="command"),
    pytest.param(lambda c: c.update(args=["demo"]), "args", id="arguments"),
    pytest.param(
        lambda c: c["securityContext"].update(runAsUser=0), "securityContext.runAsUser", id="user"
    ),
    pytest.param(
        lambda c: c["securityContext"].update(privileged=True),
        "securityContext.privileged",
        id="privileged",
    ),
    pytest.param(
        lambda c: c["securityContext"]["capabilities"].update(add=["SYS_PTRACE"]),
        "securityContext.capabilities.add",
        id="capability",
    ),
    pytest.param(
        lambda c: c["env"].append({"name": "LD_PRELOAD", "value": "/x.so"}),
        "env[LD_PRELOAD]",
        id="variable",
    ),
    pytest.param(
        lambda c: c["env"].append({"name": "REMORA_POLICY", "value": "/x"}),
        "env[REMORA_POLICY]",
        id="variable of ours",
    ),
    pytest.param(
        lambda c: c["env"].append({"name": "REMORA_OPERATOR", "value": "evil:1"}),
        "env[REMORA_OPERATOR]",
        id="a variable twice",
    ),
    pytest.param(
        lambda c: _variable(c, "REMORA_OPERATOR").update(value="evil:1"),
        "env[REMORA_OPERATOR].value",
        id="another operator",
    ),
    pytest.param(
        lambda c: _variable(c, "REMORA_POD_UID").update(value="x", valueFrom=None),
        "env[REMORA_POD_UID].value",
        id="another identity",
    ),
    pytest.param(
        lambda c: c["volumeMounts"].append({"name": "v", "mountPath": "/opt/remora"}),
        "volumeMounts[/opt/remora]",
        id="mount",
    ),
    pytest.param(
        lambda c: c["volumeMounts"][1].update(readOnly=False),
        "volumeMounts[/var/run/remora/identity].readOnly",
        id="writable mount",
    ),
    pytest.param(
        lambda c: c["securityContext"].update(readOnlyRootFilesystem=1),
        "securityContext.readOnlyRootFilesystem",
        id="a number for a boolean",
    ),
    pytest.param(
        lambda c: c.update(lifecycle={"preStop": {"sleep": {"seconds": 5}}}), "lifecycle", id="hook"
    ),
    pytest.param(
        lambda c: c.update(startupProbe={"exec": {"command": ["true"]}}),
        "startupProbe.exec",
        id="probe",
    ),
    pytest.param(lambda c: c.update(restartPolicy="Never"), "restartPolicy", id="restart policy"),
    pytest.param(
        lambda c: c.update(envFrom=[{"secretRef": {"name": "s"}}]), "envFrom", id="envFrom"
    ),
    pytest.param(lambda c: c.update(tty=True), "tty", id="a field that we do not write"),
]


@pytest.mark.parametrize(("change", "field"), FOREIGN)
def test_a_sidecar_that_somebody_shaped_is_refused_with_the_field(change, field):
    decision = inject(_changed(change), ENABLED, CONFIG)

    assert isinstance(decision, Refuse)
    assert decision.reason.value == "Conflict"
    assert f"container remora differs from what Remora would write in {field}" in decision.message


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda c: c["resources"]["limits"].update(memory="2Gi"), id="resources"),
        pytest.param(
            lambda c: c["env"].append({"name": "AWS_ROLE_ARN", "value": "x"}),
            id="variable of a known webhook",
        ),
        pytest.param(lambda c: c["env"].reverse(), id="order of variables"),
        pytest.param(lambda c: c.update(resizePolicy=[{"resourceName": "cpu"}]), id="resizePolicy"),
        pytest.param(lambda c: c.update(stdin=None, workingDir=""), id="empty fields"),
        pytest.param(
            lambda c: _variable(c, "REMORA_WORKLOAD").update(value="other"), id="workload"
        ),
    ],
)
def test_what_may_differ_stays_as_it_is(change):
    given = _changed(change)
    before = copy.deepcopy(given)

    decision = inject(given, ENABLED, CONFIG)

    assert isinstance(decision, Injection)
    assert decision.operations == ()
    assert given == before


def test_more_can_be_tolerated():
    given = _changed(lambda c: c["env"].append({"name": "DD_ENV", "value": "x"}))
    named(given, "remora")["image"] = "mirror/remora:0.1.0"
    tolerant = InjectionConfig(
        tolerated=Tolerated(variables=frozenset({"DD_ENV"}), images=("mirror/remora:0.1.0",))
    )

    assert isinstance(inject(given, ENABLED, CONFIG), Refuse)
    again = inject(given, ENABLED, tolerant)
    assert isinstance(again, Injection)
    assert again.operations == ()


@pytest.mark.parametrize(
    ("written", "resources"),
    [
        pytest.param(
            {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}},
            {
                "requests": {"cpu": "100m", "memory": "1Gi"},
                "limits": {"cpu": "1", "memory": "2Gi"},
            },
            id="memory",
        ),
        pytest.param(
            {"limits": {"memory": "64Mi"}},
            {
                "requests": {"cpu": "100m", "memory": "64Mi"},
                "limits": {"cpu": "1", "memory": "64Mi"},
            },
            id="a limit below our request",
        ),
        pytest.param(
            {"requests": {"cpu": "4", "ephemeral-storage": "1Gi"}},
            {
                "requests": {"cpu": "4", "memory": "128Mi", "ephemeral-storage": "1Gi"},
                "limits": {"cpu": "4", "memory": "512Mi", "ephemeral-storage": "1Gi"},
            },
            id="a request above our limit",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["initContainers", "containers"])
def test_resources_are_set_by_a_container_of_that_name(written, resources, kind):
    stub = {"name": "remora", "resources": written}
    given = pod(container(), stub) if kind == "containers" else pod(initContainers=[stub])

    once = injected(given)

    assert names(once, "initContainers") == ["remora-netinit", "remora"]
    assert names(once, "containers") == ["app"]
    assert named(once, "remora")["resources"] == resources
    assert inject(once, ENABLED, CONFIG).operations == ()


@pytest.mark.parametrize("mode", ["transparent", "explicit"])
def test_a_sidecar_in_the_list_of_another_shape_moves(mode):
    classic = InjectionConfig(native_sidecars=False, mode=mode)
    given = pod(initContainers=[{"name": "remora"}])

    once = injected(given, config=classic)

    assert names(once, "containers") == ["remora", "app"]
    assert "remora" not in names(once, "initContainers")
    assert inject(once, ENABLED, classic).operations == ()


def test_a_half_written_sidecar_is_completed():
    full = named(injected(pod()), "remora")
    half = {name: full[name] for name in ("name", "image", "args")}
    half |= {"env": full["env"][3:5], "securityContext": {"runAsUser": 1500}}

    once = injected(pod(initContainers=[half]))

    completed = named(once, "remora")
    assert sorted(completed["env"], key=str) == sorted(full["env"], key=str)
    assert {k: v for k, v in completed.items() if k != "env"} == {
        k: v for k, v in full.items() if k != "env"
    }


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            pod(container(), {"name": "remora"}, initContainers=[{"name": "remora"}]), id="sidecar"
        ),
        pytest.param(
            pod(initContainers=[{"name": "remora-netinit"}, {"name": "remora-netinit"}]),
            id="netinit",
        ),
    ],
)
def test_two_of_a_name_are_refused(given):
    decision = inject(given, ENABLED, CONFIG)
    assert isinstance(decision, Refuse)
    assert "more than one" in decision.message


@pytest.mark.parametrize("name", ["remora-trust", "remora-identity", "remora-data"])
def test_a_strangers_volume_of_our_name_is_refused(name):
    decision = inject(pod(volumes=[{"name": name, "hostPath": {"path": "/"}}]), ENABLED, CONFIG)
    assert isinstance(decision, Refuse)
    assert f"volume {name}" in decision.message


def test_a_volume_of_ours_that_somebody_widened_is_refused():
    given = admitted(injected(pod()))
    identity = next(v for v in given["spec"]["volumes"] if v["name"] == "remora-identity")
    identity["projected"]["sources"].append({"secret": {"name": "s"}})
    assert isinstance(inject(given, ENABLED, CONFIG), Refuse)


@pytest.mark.parametrize("volume", ["remora-identity", "remora-data", "remora-secrets"])
@pytest.mark.parametrize("kind", ["initContainers", "containers"])
def test_an_agent_that_mounts_what_is_the_sidecars_alone_is_refused(volume, kind):
    thief = container("thief", volumeMounts=[{"name": volume, "mountPath": "/x"}])
    given = pod(thief) if kind == "containers" else pod(initContainers=[thief])

    decision = inject(given, ENABLED, CONFIG)

    assert isinstance(decision, Refuse)
    assert decision.reason.value == "ReservedVolume"


@pytest.mark.parametrize("audience", ["remora-operator", "remora-aggregator"])
def test_an_agent_with_a_token_for_us_is_refused(audience):
    token = {"serviceAccountToken": {"audience": audience, "path": "t"}}
    volume = {"name": "v", "projected": {"sources": [{"downwardAPI": {}}, token]}}
    mounted = container(volumeMounts=[{"name": "v", "mountPath": "/x"}])

    decision = inject(pod(mounted, volumes=[volume]), ENABLED, CONFIG)

    assert isinstance(decision, Refuse)
    assert decision.reason.value == "TokenAudience"
    assert isinstance(inject(pod(volumes=[volume]), ENABLED, CONFIG), Injection)

"""What leads around the sidecar is refused or flagged, as the configuration has it."""

import pytest
from tests.operator.pods import CONFIG, ENABLED, SAFE, container, pod

from remora_operator.inject import Injection, InjectionConfig, Namespace, Refuse, inject
from remora_operator.inject.config import SAFETY, Hazard


def _with(**rights: object) -> dict:
    return pod(container(securityContext={**SAFE, **rights}))


def _capable(*added: str) -> dict:
    return _with(capabilities={"add": list(added), "drop": ["ALL"]})


RAW_ONLY = {"capabilities": {"drop": ["SETUID"]}, "allowPrivilegeEscalation": True}
SETUID_ONLY = {"capabilities": {"drop": ["NET_RAW"]}, "allowPrivilegeEscalation": True}

CASES = [
    pytest.param(pod(), None, id="nothing"),
    pytest.param(_with(runAsUser=1500), Hazard.SIDECAR_UID, id="the sidecar's uid"),
    pytest.param(
        pod(container(securityContext={"capabilities": {"drop": ["ALL"]}}),
            securityContext={"runAsUser": 1500}),
        Hazard.SIDECAR_UID,
        id="the sidecar's uid, by the pod",
    ),
    pytest.param(
        pod(initContainers=[container("init", securityContext={**SAFE, "runAsUser": 1500})]),
        Hazard.SIDECAR_UID,
        id="the sidecar's uid, init container",
    ),
    pytest.param(
        pod(securityContext={"runAsUser": 1500}), None, id="a container's user over the pod's"
    ),
    pytest.param(_capable("NET_ADMIN"), Hazard.NET_ADMIN, id="NET_ADMIN"),
    pytest.param(_capable("cap_net_admin"), Hazard.NET_ADMIN, id="CAP_ and small letters"),
    pytest.param(_capable("SYS_ADMIN"), Hazard.SYS_ADMIN, id="SYS_ADMIN"),
    pytest.param(_capable("SYS_PTRACE"), Hazard.SYS_ADMIN, id="SYS_PTRACE"),
    pytest.param(_capable("NET_RAW"), Hazard.NET_RAW, id="NET_RAW added"),
    pytest.param(_capable("SETUID"), Hazard.SETUID, id="SETUID added"),
    pytest.param(_with(**RAW_ONLY), Hazard.NET_RAW, id="NET_RAW not dropped"),
    pytest.param(_with(**SETUID_ONLY), Hazard.SETUID, id="SETUID not dropped"),
    pytest.param(
        _with(capabilities={"drop": ["SETUID"]}, runAsNonRoot=False, runAsUser=0),
        Hazard.NET_RAW,
        id="NET_RAW as root",
    ),
    pytest.param(_with(capabilities={}), None, id="a user who can't gain what is not dropped"),
    pytest.param(_with(privileged=True), Hazard.PRIVILEGED, id="privileged"),
    pytest.param(pod(shareProcessNamespace=True), Hazard.SHARED_PROCESSES, id="shared processes"),
    pytest.param(pod(hostPID=True), Hazard.HOST_PID, id="host's processes"),
    pytest.param(
        pod(container(ports=[{"containerPort": 15021}])), Hazard.PORT, id="the sidecar's port"
    ),
    pytest.param(
        pod(container(ports=[{"containerPort": 15021, "protocol": "UDP"}])), None, id="UDP port"
    ),
    pytest.param(
        pod(container(), container("linkerd-proxy")), Hazard.OTHER_MESH, id="another mesh"
    ),
]  # fmt: skip

TRANSPARENT = InjectionConfig(mode="transparent")


@pytest.mark.parametrize(("given", "hazard"), CASES)
def test_each_hazard_is_treated_as_configured(given, hazard):
    allow_others = dict.fromkeys(SAFETY, "allow")
    outcomes = {}
    for verdict in ("refuse", "flag", "allow"):
        safety = allow_others if hazard is None else {**allow_others, hazard: verdict}
        config = InjectionConfig(mode="transparent", safety=safety)
        outcomes[verdict] = inject(given, ENABLED, config)

    flagged = outcomes["flag"]
    assert isinstance(outcomes["refuse"], Injection if hazard is None else Refuse)
    assert isinstance(flagged, Injection)
    assert isinstance(outcomes["allow"], Injection)
    assert len([w for w in flagged.warnings if w.kind.value == "Unsafe"]) == (hazard is not None)
    assert not [w for w in outcomes["allow"].warnings if w.kind.value == "Unsafe"]


@pytest.mark.parametrize(("given", "hazard"), CASES)
def test_by_default_each_hazard_is_refused_or_flagged(given, hazard):
    decision = inject(given, ENABLED, TRANSPARENT)

    if hazard is not None and SAFETY[hazard] == "refuse":
        assert isinstance(decision, Refuse)
        assert decision.reason.value == "Unsafe"
    else:
        assert isinstance(decision, Injection)
        said = [w for w in decision.warnings if w.kind.value == "Unsafe"]
        assert bool(said) == (hazard is not None)


def test_every_hazard_has_a_default_and_a_case():
    cases = {case.values[1] for case in CASES}
    assert SAFETY.keys() == set(Hazard)
    assert set(Hazard) - cases == {Hazard.HOST_NETWORK}  # in test_selection.py


@pytest.mark.parametrize(
    ("given", "refused", "flagged"),
    [
        pytest.param(_with(runAsUser=1500), True, False, id="uid"),
        pytest.param(_with(privileged=True), True, False, id="privileged"),
        pytest.param(_capable("NET_ADMIN"), False, True, id="NET_ADMIN"),
        pytest.param(_with(**RAW_ONLY), False, False, id="NET_RAW"),
        pytest.param(pod(container(), container("istio-proxy")), False, True, id="another mesh"),
    ],
)
def test_explicit_mode_has_no_rules_to_step_around(given, refused, flagged):
    decision = inject(given, ENABLED, InjectionConfig(mode="explicit"))

    assert isinstance(decision, Refuse) == refused
    assert any(w.kind.value == "Unsafe" for w in decision.warnings) == flagged


def test_a_pod_without_security_context_is_flagged_once_for_each_hazard():
    given = pod(*(container(f"c{i}", securityContext={}) for i in range(9)))
    decision = inject(given, ENABLED, CONFIG)

    said = [w.message for w in decision.warnings]
    assert len(said) == 2
    assert all("c0, c1, c2 and 6 more" in text for text in said)


def test_all_causes_are_said_at_once():
    given = pod(container(securityContext={"runAsUser": 1500, "privileged": True}))
    decision = inject(given, ENABLED, CONFIG)
    assert len(decision.causes) == 2


def test_another_meshs_proxy_is_left_alone():
    given = pod(container(), container("istio-proxy"))
    decision = inject(given, Namespace("team", chosen=True), CONFIG)

    assert isinstance(decision, Injection)
    assert not [o for o in decision.operations if o.path.startswith("/spec/containers/1")]

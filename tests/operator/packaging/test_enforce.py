"""Where it is enforced, no pod is created without its sidecar, whatever it says of itself."""

import copy

import pytest
from tests.operator.packaging.admission import denials, request
from tests.operator.packaging.rendered import (
    SYSTEM,
    charted,
    key,
    kustomized,
    only,
    pod_template,
    samples,
    workloads,
)
from tests.operator.pods import (
    CONFIG,
    ENABLED,
    container,
    injected,
    named,
    patched,
    pod,
    recorded_reviews,
)

from remora_operator.inject import Injection, InjectionConfig, inject

POLICY = "ValidatingAdmissionPolicy", "remora-enforce"
NETINIT = "remora-netinit"
KUSTOMIZED = only(kustomized("components/enforce"), *POLICY)
EXPLICIT = InjectionConfig(mode="explicit")
OPERATOR = f"system:serviceaccount:{SYSTEM}:remora-operator"


def _namespace(injection="enabled"):
    labels = {"kubernetes.io/metadata.name": "team", "remora.dev/enforce": "true"}
    labels |= {} if injection is None else {"remora.dev/injection": injection}
    return {"metadata": {"name": "team", "labels": labels}}


def _created(given, injection="enabled", policy=KUSTOMIZED, user=None):
    return denials(policy, request(user=user), given, namespace=_namespace(injection))


def _labelled(given, value):
    labels = {**given["metadata"].get("labels", {}), "remora.dev/inject": value}
    return {**given, "metadata": {**given["metadata"], "labels": labels}}


def _changed(given, name, **fields):
    changed = copy.deepcopy(given)
    named(changed, name).update(fields)
    return changed


PODS = {
    "one container": pod(),
    "init containers": pod(initContainers=[container("first"), container("second")]),
    "several containers": pod(container("a"), container("b")),
    "pod-level user": pod(container(securityContext={}), securityContext={"runAsUser": 1000}),
    "a user's native sidecar": pod(initContainers=[container("log", restartPolicy="Always")]),
    "no security context": pod({"name": "app", "image": "agent:1"}),
}


@pytest.mark.parametrize("config", [CONFIG, EXPLICIT], ids=["transparent", "explicit"])
@pytest.mark.parametrize("name", PODS)
def test_an_injected_pod_is_allowed(name, config):
    after = injected(PODS[name], ENABLED, config)
    assert _created(after) == []
    assert _created(_labelled(after, "true"), injection=None) == []


@pytest.mark.parametrize("name", PODS)
def test_a_pod_without_a_sidecar_is_denied_whatever_marks_it_has(name):
    marks = injected(PODS[name])["metadata"]
    for metadata in ({"name": "p"}, marks, {**marks, "labels": {"remora.dev/inject": "true"}}):
        assert _created({**PODS[name], "metadata": metadata}) != []


@pytest.mark.parametrize(
    ("injection", "label", "allowed"),
    [
        ("enabled", None, True),
        ("enabled", "true", True),
        ("enabled", "false", False),
        ("enabled", "yes", False),
        (None, "true", True),
        (None, None, False),
        (None, "false", False),
        ("disabled", "true", False),
        ("disabled", None, False),
        ("on", None, False),
    ],
)
def test_a_pod_that_the_webhook_is_not_asked_about_is_denied_even_in_the_right_shape(
    injection, label, allowed
):
    after = injected(pod())
    after = after if label is None else _labelled(after, label)
    assert (_created(after, injection) == []) is allowed


def _transparent():
    return injected(pod(initContainers=[container("first")]))


def _explicit():
    return injected(pod(initContainers=[container("first")]), ENABLED, EXPLICIT)


def _moved(given, *order):
    moved = copy.deepcopy(given)
    inits = moved["spec"]["initContainers"]
    moved["spec"]["initContainers"] = [inits[index] for index in order]
    return moved


def _without(given, name, *path):
    changed = copy.deepcopy(given)
    holder = named(changed, name)
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    return changed


def _with_capability(given, *added):
    rights = {
        **named(given, "remora-netinit")["securityContext"],
        "capabilities": {"add": list(added)},
    }
    return _changed(given, "remora-netinit", securityContext=rights)


def _as_user(given, name, uid):
    return _changed(given, name, securityContext={"runAsUser": uid})


def _with_spec(given, **fields):
    return {**given, "spec": {**given["spec"], **fields}}


TAMPERED = {
    "another image": lambda: _changed(_transparent(), "remora", image="mine:1"),
    "another image of netinit": lambda: _changed(_transparent(), NETINIT, image="mine:1"),
    "another command": lambda: _changed(_transparent(), "remora", command=["sleep"]),
    "other arguments": lambda: _changed(_transparent(), "remora", args=["--help"]),
    "no arguments": lambda: _without(_transparent(), "remora", "args"),
    "netinit that removes": lambda: _changed(_transparent(), NETINIT, args=["netinit", "--remove"]),
    "netinit of another command": lambda: _changed(_transparent(), NETINIT, command=["true"]),
    "netinit without its capability": lambda: _with_capability(_transparent()),
    "netinit without capabilities": lambda: _without(_transparent(), NETINIT, "securityContext"),
    "a sidecar that ends": lambda: _without(_transparent(), "remora", "restartPolicy"),
    "a sidecar as another user": lambda: _as_user(_transparent(), "remora", 1000),
    "a sidecar without rights": lambda: _without(_transparent(), "remora", "securityContext"),
    "no netinit": lambda: _moved(_transparent(), 1, 2),
    "no sidecar": lambda: _moved(_transparent(), 0, 2),
    "no init containers": lambda: _moved(_transparent()),
    "netinit alone": lambda: _moved(_transparent(), 0),
    "two sidecars": lambda: _moved(_transparent(), 0, 1, 1, 2),
    "two netinits": lambda: _moved(_transparent(), 0, 1, 0, 2),
    "the user's first": lambda: _moved(_transparent(), 2, 0, 1),
    "the user's between": lambda: _moved(_transparent(), 0, 2, 1),
    "the sidecar first": lambda: _moved(_transparent(), 1, 0, 2),
    "explicit, the user's first": lambda: _moved(_explicit(), 1, 0),
    "explicit, without its mode": lambda: _changed(_explicit(), "remora", env=[]),
    "explicit, without variables": lambda: _without(_explicit(), "remora", "env"),
    "the node's network": lambda: _with_spec(_transparent(), hostNetwork=True),
    "a container as the sidecar's user": lambda: _as_user(_transparent(), "app", 1500),
    "an init container as the sidecar's user": lambda: _as_user(_transparent(), "first", 1500),
    "a pod as the sidecar's user": lambda: _with_spec(
        _without(_transparent(), "app", "securityContext"), securityContext={"runAsUser": 1500}
    ),
    "an ordinary container of that name": lambda: pod(container(), container("remora")),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_a_pod_whose_sidecar_is_not_in_place_is_denied(what):
    denied = _created(TAMPERED[what]())
    assert denied
    assert all("enforces Remora's sidecar" in message for message in denied)


def test_a_kubelets_mirror_passes_and_a_users_does_not():
    given = pod(metadata={"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}})
    assert _created(given, user={"username": "system:node:a", "groups": ["system:nodes"]}) == []
    assert _created(given) != []


def _updated(new, old, **asked):
    return denials(KUSTOMIZED, request("UPDATE", **asked), new, old=old, namespace=_namespace())


def test_a_running_pods_sidecar_keeps_its_image_and_all_else_may_change():
    old = _transparent()
    assert _updated(_changed(old, "app", image="agent:2"), old) == []
    assert _updated(_labelled(old, "false"), old) == []
    for name in ("remora", "remora-netinit"):
        assert _updated(_changed(old, name, image="mine:1"), old) != []


def test_pods_of_before_are_left_alone():
    old = pod(metadata={"name": "p", "finalizers": ["batch.kubernetes.io/job-tracking"]})
    assert _updated(pod(), old) == []
    assert _updated(pod(), pod(initContainers=[container("first")])) == []


@pytest.mark.parametrize(
    ("rights", "allowed"),
    [
        (None, True),
        ({}, True),
        ({"runAsUser": 0}, True),
        ({"capabilities": {"add": ["SYS_PTRACE"]}}, True),
        ({"capabilities": {"drop": ["ALL"]}}, True),
        ({"runAsUser": 1500}, False),
        ({"privileged": True}, False),
        ({"capabilities": {"add": ["NET_ADMIN"]}}, False),
        ({"capabilities": {"add": ["SYS_PTRACE", "CAP_NET_ADMIN"]}}, False),
        ({"capabilities": {"add": ["ALL"]}}, False),
    ],
    ids=str,
)
def test_a_debug_container_can_not_step_around_the_sidecar(rights, allowed):
    old = _transparent()
    debug = {"name": "debug", "image": "busybox"} | (
        {} if rights is None else {"securityContext": rights}
    )
    new = _with_spec(old, ephemeralContainers=[debug])
    assert (_updated(new, old, subresource="ephemeralcontainers") == []) is allowed
    assert _updated(new, old) == []


def test_samples_pods_are_what_it_wants():
    of_agents = [one for name in ("05-agent.yaml", "06-nightly.yaml") for one in samples()[name]]
    for workload in workloads(of_agents):
        assert _created(injected({"metadata": {"name": "p"}, **pod_template(workload)})) == []


def test_it_binds_to_labelled_namespaces_only():
    binding = only(kustomized("components/enforce"), "ValidatingAdmissionPolicyBinding", POLICY[1])
    assert binding["spec"] == {
        "policyName": POLICY[1],
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"remora.dev/enforce": "true"}}},
    }


def test_the_charts_policy_knows_the_image_and_user_that_pods_are_given():
    injection = {"sidecarUid": 1600, "tolerated": {"images": ["mirror.example.com/remora:7"]}}
    values = {
        "enforce": {"enabled": True}, "injection": injection,
        "image": {"repository": "registry.example.com/remora", "tag": "7"},
    }  # fmt: skip
    policy = only(charted(values), *POLICY)
    config = InjectionConfig(image="registry.example.com/remora:7", sidecar_uid=1600)
    after = injected(pod(), ENABLED, config)
    mirrored = copy.deepcopy(after)
    for name in ("remora", "remora-netinit"):
        named(mirrored, name)["image"] = "mirror.example.com/remora:7"
    assert _created(after, policy=policy) == _created(mirrored, policy=policy) == []
    assert _created(after) != []
    assert _created(_as_user(after, "app", 1600), policy=policy) != []


# What holds the operator's own account.


def _limits():
    return only(kustomized(), "ValidatingAdmissionPolicy", "remora-operator-limits")


def _of_operator(operation, new, *, old=None, user=OPERATOR, **asked):
    who = {"username": user, "groups": ["system:serviceaccounts"]}
    return denials(_limits(), request(operation, user=who, **asked), new, old=old)


def test_the_operator_marks_pods_and_changes_nothing_else_of_them():
    old = _transparent()
    marked = {"metadata": {**old["metadata"], "annotations": {"remora.dev/policy-version": "1"}}}
    assert _of_operator("UPDATE", {**old, **marked}, old=old) == []
    assert _of_operator("UPDATE", _changed(old, "app", image="mine:1"), old=old) != []
    assert _of_operator("UPDATE", _labelled(old, "false"), old=old) != []
    assert _of_operator("UPDATE", _labelled(old, "false"), old=old, user="ann") == []


@pytest.mark.parametrize(
    ("name", "namespace", "allowed"),
    [
        ("remora-trust", "team", True),
        ("remora-roots", SYSTEM, True),
        ("remora-roots", "team", False),
        ("coredns", "kube-system", False),
    ],
)
def test_the_operator_creates_its_own_config_maps_only(name, namespace, allowed):
    one = {"metadata": {"name": name, "namespace": namespace}}
    asked = {"resource": "configmaps", "namespace": namespace}
    assert (_of_operator("CREATE", one, **asked) == []) is allowed
    assert _of_operator("CREATE", one, user="ann", **asked) == []


def test_helm_writes_the_policies_that_kustomize_has():
    values = {"enforce": {"enabled": True}}
    for name in ("remora-enforce", "remora-operator-limits"):
        policy = only(charted(values), POLICY[0], name)
        kustomize = KUSTOMIZED if name == POLICY[1] else _limits()
        assert key(policy) == key(kustomize)
        assert policy["spec"] == kustomize["spec"]


def test_every_rule_denies_something_that_no_other_does():
    new = _with_spec(
        _transparent(), ephemeralContainers=[{"name": "d", "securityContext": {"privileged": True}}]
    )
    found = [_created(tampered()) for tampered in TAMPERED.values()]
    found += [
        _created(injected(pod()), injection=None),
        _created(_labelled(injected(pod()), "true"), "disabled"),
        _updated(_changed(_transparent(), "remora", image="mine:1"), _transparent()),
        _updated(new, _transparent(), subresource="ephemeralcontainers"),
    ]
    alone = {denied[0] for denied in found if len(denied) == 1}
    assert alone == {rule["message"] for rule in KUSTOMIZED["spec"]["validations"]}


@pytest.mark.parametrize("config", [CONFIG, EXPLICIT], ids=["transparent", "explicit"])
def test_recorded_pods_are_allowed_once_they_are_injected_and_denied_before(config):
    pods = [recorded.pod for recorded in recorded_reviews() if recorded.is_new_pod]
    if not pods:
        pytest.skip("no recorded reviews: set REMORA_CORPUS to their folder")
    checked = 0
    for given in pods:
        decision = inject(given, ENABLED, config)
        if isinstance(decision, Injection) and (given["metadata"].get("labels") or {}).get(
            "remora.dev/inject"
        ) in (None, "true"):
            assert _created(given) != []
            assert _created(patched(given, decision)) == []
            checked += 1
    assert checked > 0.8 * len(pods)

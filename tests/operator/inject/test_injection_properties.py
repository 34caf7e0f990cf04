"""Whatever pod comes: twice is once, the patch applies, what is the user's stays."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operator.api_server import admitted
from tests.operator.pods import ENABLED, as_before, injected, patched, pod

from remora_operator.inject import Injection, InjectionConfig, Refuse, Skip, inject

NAMES = st.sampled_from(["app", "worker", "istio-proxy", "remora", "remora-netinit", "a/b~c", ""])
PATHS = st.sampled_from(["/", "/run", "/etc/ssl/certs", "/run/remora/trust", "/data", "/x/../etc"])
VOLUMES = st.sampled_from(["data", "roots", "remora-trust", "remora-data", "nowhere"])
VARIABLES = st.sampled_from(
    ["SSL_CERT_FILE", "JAVA_TOOL_OPTIONS", "NO_PROXY", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "X"]
)
VALUES = st.sampled_from(["", "/mine.pem", "-Xmx1g", "*", "a,b", "$(X)", "http://u:p@h:1"])
RIGHTS = st.fixed_dictionaries(
    {},
    optional={
        "runAsUser": st.sampled_from([0, 1000, 1500]),
        "runAsNonRoot": st.booleans(),
        "privileged": st.booleans(),
        "allowPrivilegeEscalation": st.none() | st.booleans(),
        "capabilities": st.fixed_dictionaries(
            {}, optional={"add": st.just(["NET_ADMIN"]), "drop": st.just(["ALL"])}
        ),
    },
)
CONTAINERS = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "image": st.just("agent:1"),
        "env": st.none()
        | st.lists(
            st.builds(lambda n, v: {"name": n, "value": v}, VARIABLES, VALUES)
            | st.builds(lambda n: {"name": n, "valueFrom": {"fieldRef": {}}}, VARIABLES),
            max_size=4,
        ),
        "volumeMounts": st.lists(
            st.builds(lambda v, p: {"name": v, "mountPath": p}, VOLUMES, PATHS), max_size=3
        ),
        "securityContext": RIGHTS,
        "resources": st.just({"limits": {"cpu": "1", "memory": "1Gi"}}),
        "ports": st.lists(st.builds(lambda p: {"containerPort": p}, st.sampled_from([80, 15001]))),
    },
)
PODS = st.fixed_dictionaries(
    {"containers": st.lists(CONTAINERS, min_size=1, max_size=3)},
    optional={
        "initContainers": st.none() | st.lists(CONTAINERS, max_size=3),
        "volumes": st.lists(
            st.builds(lambda n: {"name": n, "emptyDir": {}}, VOLUMES),
            max_size=2,
            unique_by=lambda volume: volume["name"],
        ),
        "hostNetwork": st.booleans(),
        "resources": st.sampled_from([{}, {"limits": {"cpu": "1"}}]),
        "terminationGracePeriodSeconds": st.integers(0, 60),
    },
)
ANNOTATIONS = st.dictionaries(
    st.sampled_from(["remora.dev/mode", "remora.dev/trust-overlay", "remora.dev/status", "x/y"]),
    st.sampled_from(["explicit", "auto", "true", "false", ""]),
    max_size=2,
)
CONFIGS = st.builds(
    InjectionConfig,
    mode=st.sampled_from(["auto", "transparent", "explicit"]),
    native_sidecars=st.booleans(),
    trust_overlay=st.booleans(),
    safety=st.just({}) | st.just(dict.fromkeys(InjectionConfig().safety, "allow")),
)


@settings(max_examples=300)
@given(PODS, ANNOTATIONS, CONFIGS, st.booleans())
def test_twice_is_once_and_what_is_the_users_stays(spec, annotations, config, by_api_server):
    before = pod(metadata={"annotations": annotations}, **spec)
    untouched = copy.deepcopy(before)

    decision = inject(before, ENABLED, config)

    assert before == untouched
    if not isinstance(decision, Injection):
        assert isinstance(decision, Skip | Refuse)
        assert decision.message
        return
    after = patched(before, decision)
    as_before(before, after)
    again = inject(admitted(after) if by_api_server else after, ENABLED, config)
    assert isinstance(again, Injection), again
    assert again.operations == ()
    assert again.digest == decision.digest
    assert again.mode is decision.mode


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = ["metadata", "spec"]
DEEPER = {
    "metadata": ["name", "labels", "annotations", "ownerReferences"],
    "spec": ["containers", "initContainers", "volumes", "securityContext", "hostNetwork", "os",
             "resources", "nodeSelector", "terminationGracePeriodSeconds", "restartPolicy"],
}  # fmt: skip
OF_CONTAINER = ["name", "env", "envFrom", "volumeMounts", "ports", "securityContext", "resources"]


@given(JUNK)
def test_junk_for_a_pod_is_refused(junk):
    assert isinstance(inject(junk, ENABLED, InjectionConfig()), Refuse)


@pytest.mark.parametrize("field", ["volumes", "initContainers", "containers"])
def test_nothing_in_a_list_is_refused(field):
    given_pod = pod()
    given_pod["spec"].setdefault(field, []).append(None)
    decision = inject(given_pod, ENABLED, InjectionConfig())
    assert isinstance(decision, Refuse)
    assert f"spec.{field}[" in decision.message


@settings(max_examples=400)
@given(st.sampled_from([(top, field) for top in FIELDS for field in DEEPER[top]]), JUNK)
def test_junk_in_a_pod_is_no_accident(place, junk):
    given_pod = pod()
    given_pod[place[0]][place[1]] = junk
    _decided(given_pod)


@given(st.sampled_from(OF_CONTAINER), JUNK, st.sampled_from(["app", "remora", "remora-netinit"]))
def test_junk_in_a_container_is_no_accident(field, junk, name):
    _decided(pod({"name": name, "image": "x", field: junk}, {"name": "other"}))


@given(st.sampled_from(["remora-trust", "remora-data", "v"]), JUNK)
def test_junk_in_a_volume_is_no_accident(name, junk):
    _decided(pod(volumes=[{"name": name, "projected": junk}]))


def _places(value, path=()):
    """Every path in a document."""
    yield path
    if isinstance(value, dict | list):
        steps = value.items() if isinstance(value, dict) else enumerate(value)
        for step, inner in steps:
            yield from _places(inner, (*path, step))


WHOLE = injected(pod(initContainers=[{"name": "i", "env": [{"name": "X", "value": "y"}]}]))
PLACES = [place for place in _places(WHOLE) if place]


@settings(max_examples=400)
@given(st.sampled_from(PLACES), JUNK)
def test_junk_anywhere_in_an_injected_pod_is_no_accident(place, junk):
    given_pod = copy.deepcopy(WHOLE)
    parent = given_pod
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = junk
    _decided(given_pod)


def _decided(given_pod):
    """A patch that applies, or a reason."""
    decision = inject(given_pod, ENABLED, InjectionConfig())
    if isinstance(decision, Injection):
        patched(given_pod, decision)
    else:
        assert decision.message


@pytest.mark.parametrize("count", [200])
def test_two_hundred_containers_are_injected_each(count):
    containers = [{"name": f"c{i}", "image": "x"} for i in range(count)]
    decision = inject(pod(*containers), ENABLED, InjectionConfig())

    after = patched(pod(*containers), decision)
    assert all(c["volumeMounts"] and c["env"] for c in after["spec"]["containers"])

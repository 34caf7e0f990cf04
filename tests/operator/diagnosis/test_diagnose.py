"""Why a pod was or was not injected: each reason alone, in a cluster that is well otherwise."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.api_server import admitted
from tests.operator.diagnosis.clusters import (
    LATELY,
    LONG_AGO,
    NOW,
    PEM,
    POLICY_VERSION,
    bare_pod,
    deployment,
    evidence,
    found,
    hooks,
    namespace,
    netinit_status,
    running_pod,
    sidecar_status,
)
from tests.operator.pods import CONFIG, container, injected, pod

from remora_operator.diagnosis import Evidence, Part, diagnose
from remora_operator.diagnosis.finding import Finding, Weight, united
from remora_operator.diagnosis.reading import (
    keys_of,
    plain,
    read_hooks,
    read_seen_namespace,
    read_seen_pod,
    ready_endpoints,
)
from remora_operator.inject import InjectionConfig
from remora_operator.policies import PolicyShelf, read_object


def labelled(value="true"):
    return pod(metadata={"labels": {"remora.dev/inject": value}})


def test_where_all_is_well_nothing_is_to_be_done():
    diagnosis = diagnose(evidence())

    assert diagnosis.is_fine
    assert (diagnosis.kind, diagnosis.pods, diagnosis.injected) == ("Deployment", 1, 1)
    assert [finding.kind for finding in diagnosis.findings] == ["NoPolicy"]


UNSELECTED = read_seen_namespace(namespace(enabled=False))


@pytest.mark.parametrize(
    ("top", "seen", "kind", "said"),
    [
        pytest.param(
            deployment(), UNSELECTED, "NotSelected",
            'put remora.dev/inject: "true" into spec.template.metadata.labels', id="no label",
        ),
        pytest.param(
            deployment(labelled("false")), None, "PodOptOut", "take remora.dev/inject out of",
            id="pod opt-out",
        ),
        pytest.param(
            deployment(labelled()),
            read_seen_namespace(namespace(enabled=False, **{"remora.dev/injection": "disabled"})),
            "NamespaceOptOut", "kubectl label namespace team remora.dev/injection=enabled",
            id="namespace opt-out",
        ),
        pytest.param(
            deployment(**{"remora.dev/inject": "true"}), UNSELECTED, "Label",
            "stands on the Deployment, where it does nothing", id="label on the Deployment",
        ),
        pytest.param(
            deployment(labelled("yes")), UNSELECTED, "Label", "means nothing", id="label's value"
        ),
        pytest.param(
            deployment(pod(nodeSelector={"kubernetes.io/os": "windows"})), None, "Windows",
            "Linux", id="windows",
        ),
    ],
)  # fmt: skip
def test_who_is_passed_by_hears_why_and_what_to_do(top, seen, kind, said):
    given_evidence = evidence(top, bare_pod(top))
    if seen is not None:
        given_evidence = replace(given_evidence, seen_namespace=seen)
    assert said in found(given_evidence)[kind]


def test_an_excluded_namespace_is_named():
    config = InjectionConfig(excluded_namespaces=frozenset({"team"}))
    top = deployment()
    said = found(evidence(top, bare_pod(top), config=config))
    assert "excludedNamespaces" in said["ExcludedNamespace"]
    assert "NotInjected" not in said


@pytest.mark.parametrize(
    ("template", "kind", "said"),
    [
        pytest.param(
            pod(container(securityContext={"runAsUser": 1500})), "Unsafe", "runs as user 1500",
            id="uid",
        ),
        pytest.param(pod(hostNetwork=True), "Unsafe", "hostNetwork", id="host network"),
        pytest.param(
            pod(metadata={"annotations": {"remora.dev/mode": "magic"}}), "InvalidAnnotation",
            "magic", id="annotation",
        ),
        pytest.param(pod(container(env=5)), "Malformed", "env", id="malformed"),
    ],
)  # fmt: skip
def test_refused_reasons_are_those_of_injection(template, kind, said):
    top = deployment(template)
    text = found(evidence(top, bare_pod(top)))[kind]
    assert "its pods are refused" in text
    assert said in text


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        pytest.param(
            'Error creating: Internal error occurred: failed calling webhook '
            '"namespace.injector.remora.dev": x509: certificate has expired', "WebhookFails",
            id="the webhook is not reached",
        ),
        pytest.param(
            'Error creating: admission webhook "pod.injector.remora.dev" denied the request: '
            "remora refuses this pod: x", "PodsRefused", id="refused",
        ),
        pytest.param("exceeded quota", "PodsNotCreated", id="something else"),
    ],
)  # fmt: skip
def test_what_controllers_were_told_is_passed_on(message, kind):
    assert message in found(evidence(failures=(message,)))[kind]


def _age(top, created, seen=None, installed=LONG_AGO):
    return evidence(
        top,
        bare_pod(top, created=created),
        hooks=read_hooks(hooks(creationTimestamp=installed)),
        seen_namespace=read_seen_namespace(seen or namespace()),
    )


@pytest.mark.parametrize(
    ("given_evidence", "kind"),
    [
        pytest.param(
            _age(deployment(), LONG_AGO, namespace(changed=LATELY)), "PodOlderThanLabel",
            id="label",
        ),
        pytest.param(
            _age(deployment(), LONG_AGO, installed=LATELY), "PodOlderThanOperator", id="operator"
        ),
        pytest.param(_age(deployment(), LATELY), "NotInjected", id="nobody knows"),
    ],
)  # fmt: skip
def test_a_pod_that_came_too_early_is_to_be_restarted(given_evidence, kind):
    said = found(given_evidence)
    assert said.keys() == {kind}
    assert "kubectl rollout restart deployment/web -n team" in said[kind]


def test_a_pod_of_an_older_template_is_told_apart():
    top = deployment(labelled())
    older = bare_pod(deployment())
    given_evidence = evidence(top, older, seen_namespace=UNSELECTED)
    assert found(given_evidence).keys() == {"PodOlderThanTemplate"}


@pytest.mark.parametrize("kind", ["Pod", "Job", "CronJob", "ReplicaSet"])
def test_how_to_restart_depends_on_what_makes_the_pods(kind):
    top = deployment() | {"kind": kind}
    if kind == "Pod":
        top = bare_pod(deployment())
    if kind == "CronJob":
        top["spec"] = {"jobTemplate": {"spec": top["spec"]}}
        older = bare_pod(deployment())
    else:
        older = bare_pod(top)
    assert "rollout" not in found(evidence(top, older))["NotInjected"]


def test_pods_that_are_over_or_going_ask_for_nothing():
    top = deployment()
    over = bare_pod(top) | {"status": {"phase": "Succeeded"}}
    going = bare_pod(top, "web-2")
    going["metadata"] = {**going["metadata"], "deletionTimestamp": LATELY}
    assert found(evidence(top, over, going)) == {}


def _expired():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7)
    end = datetime(2026, 11, 19, tzinfo=UTC)
    builder = builder.not_valid_before(end - timedelta(days=9)).not_valid_after(end)
    made = builder.sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


OLD = _expired()


def _without_entry():
    configuration = hooks()
    return configuration | {"webhooks": configuration["webhooks"][:1]}


def _selecting_nobody():
    configuration = hooks()
    nobody = {"matchLabels": {"somebody": "else"}}
    entries = [hook | {"objectSelector": nobody} for hook in configuration["webhooks"]]
    return configuration | {"webhooks": entries}


@pytest.mark.parametrize(
    ("configuration", "kind"),
    [
        pytest.param(None, "WebhookMissing", id="no configuration"),
        pytest.param(_without_entry(), "WebhookEntryMissing", id="one entry"),
        pytest.param(hooks(b""), "CaBundleEmpty", id="empty caBundle"),
        pytest.param(hooks(b"no PEM"), "CaBundleUnreadable", id="garbage"),
        pytest.param(hooks(OLD), "CaBundleExpired", id="expired"),
        pytest.param(_selecting_nobody(), "SelectorsMiss", id="selectors"),
    ],
)
def test_a_webhook_that_asks_nobody_is_told(configuration, kind):
    seen = None if configuration is None else read_hooks(configuration)
    assert found(evidence(hooks=seen)).keys() == {kind}


def test_one_valid_certificate_in_the_bundle_will_do():
    both = OLD + PEM
    assert found(evidence(hooks=read_hooks(hooks(both)))) == {}


def test_failing_open_is_noted():
    given_evidence = evidence(hooks=read_hooks(hooks(policy="Ignore")))
    assert "FailurePolicyIgnore" in found(given_evidence, notes=True)
    assert diagnose(given_evidence).is_fine


def test_an_operator_that_is_not_ready_is_told():
    assert (
        "kubectl get pods -n remora-system"
        in found(evidence(ready_operators=0))["OperatorNotReady"]
    )


@pytest.mark.parametrize(
    ("keys", "config", "kind", "said"),
    [
        pytest.param(None, CONFIG, "TrustMissing", "do not start", id="missing"),
        pytest.param(frozenset({"ca.pem"}), CONFIG, "TrustIncomplete", "serving-ca.pem", id="keys"),
        pytest.param(
            frozenset({"truststore.p12"}), InjectionConfig(trust_source="clusterTrustBundle"),
            "TrustIncomplete", "lacks serving-ca.pem,", id="of bundles only the truststore",
        ),
    ],
)  # fmt: skip
def test_trust_that_is_missing_is_told(keys, config, kind, said):
    top = deployment()
    own = running_pod(top, config=config)
    assert said in found(evidence(top, own, trust_keys=keys, config=config))[kind]


def test_drift_is_another_hash_than_today():
    config = InjectionConfig(log_level="debug")
    text = found(evidence(config=config))["Drift"]
    assert "web-1" in text
    assert "REMORA_LOG_LEVEL" in text
    assert "kubectl rollout restart deployment/web" in text


def test_a_pod_that_another_webhook_changed_first_has_not_drifted():
    """With a mesh's proxy in it the mode is another one than its template alone would have."""
    top = deployment()
    own = running_pod(deployment(pod(container(), container("istio-proxy"))))
    assert json.loads(own["metadata"]["annotations"]["remora.dev/status"])["mode"] == "explicit"
    assert found(evidence(top, own)) == {}


def test_what_the_api_server_adds_is_no_drift():
    top = deployment()
    assert found(evidence(top, admitted(running_pod(top)))) == {}


def test_a_sidecar_without_a_mark_is_noted():
    top = deployment()
    own = running_pod(top)
    del own["metadata"]["annotations"]["remora.dev/status"]
    assert "NoStatus" in found(evidence(top, own), notes=True)


def test_drift_of_a_pod_of_its_own_is_told_once_and_as_drift():
    own = injected(pod())
    own["metadata"] |= {"namespace": "team", "creationTimestamp": LATELY}
    assert found(evidence(own, own)) == {}
    said = found(evidence(own, own, config=InjectionConfig(log_level="debug")))
    assert said.keys() == {"Drift"}


@pytest.mark.parametrize("part", [Part.CONFIG, Part.POLICIES, Part.NAMESPACE])
def test_no_drift_is_claimed_where_not_all_is_known(part):
    config = InjectionConfig(log_level="debug")
    said = found(evidence(config=config, unasked={part: "forbidden"}), notes=True)
    assert "Drift" not in said
    assert "forbidden" in said["NotAsked"]


def _with_states(netinit=None, sidecar=None, **status):
    top = deployment()
    own = running_pod(top)
    states = [netinit or netinit_status(), sidecar or sidecar_status()]
    own["status"] = {"phase": "Running", "initContainerStatuses": states} | status
    return evidence(top, own)


def _terminated(code, reason="Error", message=""):
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


@pytest.mark.parametrize(
    ("given_evidence", "kind", "said"),
    [
        pytest.param(
            _with_states(netinit_status(state=_terminated(3, message="no NET_ADMIN"))),
            "NetinitFailed", "remora.dev/mode: explicit", id="netinit can't redirect",
        ),
        pytest.param(
            _with_states(
                netinit_status(
                    state={"waiting": {"reason": "CrashLoopBackOff"}},
                    lastState=_terminated(1, message="nft: no"),
                )
            ),
            "NetinitFailed", "exit code 1: nft: no", id="netinit tries again",
        ),
        pytest.param(
            _with_states(netinit_status(state=_terminated(2))), "NetinitFailed", "`network`",
            id="netinit's settings",
        ),
        pytest.param(
            _with_states(sidecar=sidecar_status(state={"waiting": {"reason": "ErrImagePull"}})),
            "ImageNotPulled", "`image`", id="image",
        ),
        pytest.param(
            _with_states(
                sidecar=sidecar_status(
                    state={"waiting": {"reason": "CreateContainerConfigError", "message": "uid"}}
                )
            ),
            "SidecarCannotStart", "(CreateContainerConfigError): uid", id="can't start",
        ),
        pytest.param(
            _with_states(
                sidecar=sidecar_status(
                    lastState=_terminated(137, "OOMKilled"), restartCount=4
                )
            ),
            "SidecarEnded", "exit code 137 (OOMKilled), 4 restarts → give it more memory",
            id="memory",
        ),
        pytest.param(
            _with_states(
                sidecar=sidecar_status(
                    state={"waiting": {"reason": "CrashLoopBackOff"}}, started=False,
                    lastState=_terminated(2, message="REMORA_X: bad"),
                )
            ),
            "SidecarEnded", "does not run: it ended with exit code 2: REMORA_X: bad",
            id="settings",
        ),
        pytest.param(
            _with_states(sidecar=sidecar_status(started=False, ready=False)),
            "StartupProbeFails", "runs for 3600 s and has no certificate", id="startup probe",
        ),
        pytest.param(
            _with_states(sidecar=sidecar_status(ready=False)), "SidecarNotReady",
            "kubectl logs web-1 -c remora -n team", id="not ready",
        ),
    ],
)  # fmt: skip
def test_the_state_of_our_containers_is_explained(given_evidence, kind, said):
    shown = found(given_evidence)
    assert shown.keys() == {kind}
    assert said in shown[kind]


def test_a_pod_without_a_node_is_no_fault_of_the_sidecar():
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes fit"}
    given_evidence = _with_states(phase="Pending", conditions=[condition])
    assert "0/3 nodes fit" in found(given_evidence, notes=True)["Unscheduled"]
    assert diagnose(given_evidence).is_fine


def _policy(name="p", **spec):
    value = {"apiVersion": "remora.dev/v1alpha1", "kind": "LLMPolicy", "spec": spec}
    return read_object(value | {"metadata": {"name": name, "namespace": "team", "uid": name}})


KEY = {"provider": "openai", "secretRef": {"name": "openai", "key": "api-key"}}


def _versioned(version):
    top = deployment()
    own = running_pod(top)
    own["metadata"]["annotations"][POLICY_VERSION] = version
    return top, own


def _version(*policies, secret=None):
    shelf = PolicyShelf()
    for one in policies:
        shelf.put(one)
    if secret:
        shelf.put_secret("team", *secret)
    shelf.complete()
    return shelf.policy_for("team", {"app": "web"}).version


@pytest.mark.parametrize(
    ("version", "kind", "said"),
    [
        pytest.param("0" * 64, "PolicyBehind", "has policy version 000000000000", id="behind"),
        pytest.param("", "PolicyVersionUnknown", "not connected", id="none"),
    ],
)
def test_a_pod_with_another_policy_is_told(version, kind, said):
    shown = found(evidence(*_versioned(version)))
    assert shown.keys() == {kind}
    assert said in shown[kind]


def test_a_policy_that_the_sidecar_refused_is_told_with_its_reason():
    top, own = _versioned("0" * 64)
    policy = _policy(capture="full")
    said = {"version": _version(policy), "fieldPath": "spec.capture", "reason": "not known here"}
    own["metadata"]["annotations"]["remora.dev/policy-refused"] = json.dumps(said)
    shown = found(evidence(top, own, policies=(policy,)))
    assert shown.keys() == {"PolicyRefused"}
    assert "spec.capture: not known here" in shown["PolicyRefused"]


def test_a_pod_that_is_young_may_be_without_a_version():
    started = (NOW - timedelta(seconds=30)).isoformat()
    top, own = _versioned("")
    own["status"]["initContainerStatuses"] = [
        netinit_status(), sidecar_status(state={"running": {"startedAt": started}}),
    ]  # fmt: skip
    assert found(evidence(top, own)) == {}


def test_a_policy_that_can_not_be_used_holds_new_pods():
    shown = found(evidence(policies=(_policy(models=7),)))
    assert "LLMPolicy team/p" in shown["PolicyHeld"]
    assert "Drift" not in shown


def test_a_key_that_is_withheld_is_known_by_the_version_that_pods_have():
    policy = _policy(credentials=[KEY])
    top, own = _versioned(_version(policy))
    shown = found(evidence(top, own, policies=(policy,)))
    assert shown.keys() == {"CredentialWithheld"}
    assert "remora.dev/provider=openai" in shown["CredentialWithheld"]


def test_a_key_that_may_be_used_is_part_of_what_is_written():
    policy = _policy(credentials=[KEY])
    top, own = _versioned(_version(policy, secret=("openai", "openai")))
    shown = found(evidence(top, own, policies=(policy,)))
    assert shown.keys() == {"Drift"}  # the pod came before the policy, and lacks the Secret


def test_policies_that_tie_are_noted():
    policies = (_policy("a"), _policy("b"))
    top, own = _versioned(_version(*policies))
    shown = found(evidence(top, own, policies=policies), notes=True)
    assert "LLMPolicy team/a, LLMPolicy team/b" in shown["PolicyTied"]


def test_warnings_of_injection_are_notes():
    top = deployment(pod(container(env=[{"name": "SSL_CERT_FILE", "value": "/x"}])))
    given_evidence = evidence(top, running_pod(top))
    assert "SSL_CERT_FILE stays as it is" in found(given_evidence, notes=True)["TrustConflict"]
    assert diagnose(given_evidence).is_fine


def test_a_configuration_that_can_not_be_read_is_told():
    shown = found(evidence(config_problem="mode: should be auto"))
    assert "mode: should be auto" in shown["ConfigUnreadable"]


def test_pods_that_are_injected_and_would_not_be_today_are_noted():
    top = deployment()
    given_evidence = evidence(top, running_pod(top), seen_namespace=UNSELECTED)
    shown = found(given_evidence, notes=True)
    assert "InjectedBefore" in shown


def test_an_object_without_a_template_makes_no_pods():
    assert found(evidence({"kind": "Deployment", "spec": {}}, bare_pod(deployment()))).keys() == {
        "NoTemplate"
    }


def test_the_same_at_several_pods_is_said_once():
    same = [Finding("X", f"pod {n}", "so") for n in range(5)]
    [finding] = united(same)
    assert finding.where == "pod 0, pod 1, pod 2 and 2 more"


def test_problems_come_first():
    weights = [Weight.NOTE, Weight.PROBLEM, Weight.NOTE]
    said = united(Finding(str(n), "", "", weight=w) for n, w in enumerate(weights))
    assert [finding.kind for finding in said] == ["1", "0", "2"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("\x1b[31mred", "[31mred"),
        ("x" * 500, "…" + "x" * 399),
    ],
)
def test_what_containers_say_is_shown_on_one_line(text, shown):
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("endpoints", "ready"),
    [
        ([], 0),
        ([{"conditions": {"ready": True}}, {"conditions": {"ready": False}}, {}], 2),
        ([{"conditions": 7}], 1),
    ],
)
def test_endpoints_are_counted(endpoints, ready):
    assert ready_endpoints([{"endpoints": endpoints}, {}]) == ready


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
PLACES = [
    ("metadata",), ("spec",), ("status",), ("metadata", "labels"), ("metadata", "annotations"),
    ("metadata", "annotations", "remora.dev/status"), ("spec", "containers"),
    ("status", "initContainerStatuses"), ("metadata", "creationTimestamp"),
    ("status", "conditions"), ("metadata", "managedFields"), ("metadata", "ownerReferences"),
    ("webhooks",), ("data",),
]  # fmt: skip


@given(JUNK, st.sampled_from(PLACES))
def test_junk_in_objects_is_as_if_it_were_not_there(junk, place):
    given_pod = json.loads(json.dumps(running_pod(deployment())))
    target = given_pod
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = junk
    read_hooks(given_pod)
    read_seen_namespace(given_pod)
    keys_of(given_pod)
    seen = read_seen_pod(given_pod)
    diagnose(Evidence(top=given_pod, namespace="team", pods=(seen,), now=NOW))

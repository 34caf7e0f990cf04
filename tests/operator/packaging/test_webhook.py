"""The webhook configuration is asked about pods that opted in, and never about another."""

import itertools

import pytest
from tests.operator.packaging.admission import calls, request
from tests.operator.packaging.rendered import SYSTEM, charted, kustomized, only
from tests.operator.pods import pod

from remora_operator.inject import InjectionConfig, Namespace, Skip, inject
from remora_operator.webhook.application import PATHS

INJECTOR = "MutatingWebhookConfiguration", "remora-injector"
RENDERED = {"kustomize": kustomized, "helm": charted}
LABELS = (None, "true", "false", "yes", "")
INJECTION = (None, "enabled", "disabled", "on")
NODE = {"username": "system:node:n1", "groups": ["system:nodes", "system:authenticated"]}
MIRROR = {"kubernetes.io/config.mirror": "5f1"}


def _entries(install="kustomize"):
    return only(RENDERED[install](), *INJECTOR)["webhooks"]


def _namespace(injection=None, name="team"):
    labels = {"kubernetes.io/metadata.name": name}
    return {
        "metadata": {"labels": labels | ({"remora.dev/injection": injection} if injection else {})}
    }


def _pod(label=None, **metadata):
    labels = {} if label is None else {"remora.dev/inject": label}
    return pod(metadata={"labels": labels, **metadata} if labels else metadata)


def _asked(namespace, given, asked=None):
    return [e["name"] for e in _entries() if calls(e, namespace, given, asked)]


@pytest.mark.parametrize("install", RENDERED)
def test_an_entry_is_what_the_operator_serves_and_waits_no_longer_than_it_may(install):
    entries = _entries(install)
    assert {entry["clientConfig"]["service"]["path"] for entry in entries} == set(PATHS)
    for entry in entries:
        service = entry["clientConfig"]["service"]
        assert (service["name"], service["namespace"], service["port"]) == (
            "remora-operator", SYSTEM, 443,
        )  # fmt: skip
        assert "caBundle" not in entry["clientConfig"]
        assert 1 <= entry["timeoutSeconds"] <= 5
        assert entry["failurePolicy"] == "Fail"
        assert entry["sideEffects"] == "NoneOnDryRun"
        assert entry["reinvocationPolicy"] == "IfNeeded"
        assert entry["admissionReviewVersions"] == ["v1"]
        assert entry["rules"] == [
            {
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["pods"], "scope": "Namespaced",
            }
        ]  # fmt: skip


@pytest.mark.parametrize(("label", "injection"), list(itertools.product(LABELS, INJECTION)))
def test_the_api_server_asks_about_the_pods_that_injection_is_for_and_about_each_once(
    label, injection
):
    namespace, given = _namespace(injection), _pod(label)
    labels = namespace["metadata"]["labels"]
    decision = inject(given, Namespace("team", labels), InjectionConfig())
    assert len(_asked(namespace, given)) == (not isinstance(decision, Skip))


@pytest.mark.parametrize("name", sorted(InjectionConfig().excluded_namespaces))
def test_system_namespaces_and_our_own_are_never_asked_about(name):
    assert _asked(_namespace("enabled", name), _pod("true")) == []
    assert _asked(_namespace(None, name), _pod("true")) == []


def test_a_release_elsewhere_leaves_its_own_namespace_alone():
    entries = only(charted(namespace="elsewhere"), *INJECTOR)["webhooks"]
    for entry in entries:
        assert entry["clientConfig"]["service"]["namespace"] == "elsewhere"
        assert not calls(entry, _namespace("enabled", "elsewhere"), _pod("true"))


@pytest.mark.parametrize(
    ("user", "annotations", "is_asked"),
    [
        (None, None, True),
        (None, MIRROR, True),
        ({"username": "ann"}, MIRROR, True),
        ({"username": "system:node:x", "groups": ["ops"]}, MIRROR, True),
        (None, {"remora.dev/status": '{"mode":"transparent","hash":"0"}'}, True),
        (NODE, None, True),
        (NODE, {"a": "b"}, True),
        (NODE, MIRROR, False),
    ],
    ids=[
        "anybody's", "marked as a mirror by a user", "of no groups", "who calls himself a node",
        "marked as injected", "a node's", "annotated by a node", "a kubelet's mirror",
    ],
)  # fmt: skip
def test_only_a_mirror_by_its_kubelet_is_passed_by(user, annotations, is_asked):
    metadata = {} if annotations is None else {"annotations": annotations}
    given, asked = _pod(**metadata), request(user=user)
    assert bool(_asked(_namespace("enabled"), given, asked)) is is_asked


def test_helm_writes_the_entries_that_kustomize_has():
    assert _entries("helm") == _entries("kustomize")

"""The operator may do what its code does, and nothing that would surprise an administrator."""

import re

import pytest
from tests.operator.packaging.access import Attempt, allows
from tests.operator.packaging.rendered import HOUSE, SYSTEM, charted, kustomized, only

from remora_operator.custody.settings import (
    AGGREGATOR_SECRET,
    EXTRA_BUNDLES,
    INTERCEPTION_SECRET,
    OPERATOR_SECRET,
    ROOTS_RECORD,
    SERVING_SECRET,
    UPSTREAM_BUNDLES,
    CustodySettings,
)
from remora_operator.inject.layout import CA_TRUST_BUNDLE, FULL_TRUST_BUNDLE, TRUST_CONFIG_MAP

ADMISSION = "admissionregistration.k8s.io"
CERTIFICATES = "certificates.k8s.io"
POLICIES = ("llmpolicies", "clusterllmpolicies", "llmproviders")
SECRETS = (INTERCEPTION_SECRET, SERVING_SECRET, OPERATOR_SECRET, AGGREGATOR_SECRET)
INJECTOR = CustodySettings().webhook_configuration


NEEDED = [
    *[("list watch", "remora.dev", resource, "", "") for resource in POLICIES],
    *[("patch", "remora.dev", f"{resource}/status", "team", "any") for resource in POLICIES],
    *[("list watch", "", resource, "", "") for resource in ("namespaces", "pods", "secrets")],
    ("get patch", "", "pods", "team", "agent"),
    ("create patch", "events.k8s.io", "events", "team", ""),
    ("create", "authentication.k8s.io", "tokenreviews", "", ""),
    ("create", "", "configmaps", "team", ""),
    ("list", "", "configmaps", "", TRUST_CONFIG_MAP),
    ("get update delete", "", "configmaps", "team", TRUST_CONFIG_MAP),
    ("get patch", "", "configmaps", SYSTEM, ROOTS_RECORD),
    ("get", "", "configmaps", SYSTEM, EXTRA_BUNDLES),
    ("get", "", "configmaps", SYSTEM, UPSTREAM_BUNDLES),
    ("create", "", "configmaps", SYSTEM, ""),
    ("create", "", "secrets", SYSTEM, ""),
    *[("get update", "", "secrets", SYSTEM, name) for name in SECRETS],
    ("create", "coordination.k8s.io", "leases", SYSTEM, ""),
    ("get update", "coordination.k8s.io", "leases", SYSTEM, "remora-operator"),
    ("get patch", ADMISSION, "mutatingwebhookconfigurations", "", INJECTOR),
]
ATTEMPTS = [Attempt(verb, *rest) for verbs, *rest in NEEDED for verb in verbs.split()]


FORBIDDEN = [
    Attempt("get", "", "secrets", "team", "database"),
    Attempt("create", "", "secrets", "team"),
    Attempt("update", "", "secrets", "team", INTERCEPTION_SECRET),
    Attempt("get", "", "secrets", SYSTEM, "remora-aggregator-callers"),
    Attempt("get", "", "secrets", SYSTEM, "remora-aggregator-database"),
    Attempt("update", "", "configmaps", "kube-system", "coredns"),
    Attempt("list", "", "configmaps"),
    Attempt("delete", "", "configmaps", SYSTEM, ROOTS_RECORD),
    Attempt("patch", "", "configmaps", SYSTEM, "remora-config"),
    Attempt("create", "", "pods", "team"),
    Attempt("update", "", "pods", "team", "agent"),
    Attempt("delete", "", "pods", "team", "agent"),
    Attempt("create", "", "pods/exec", "team", "agent"),
    Attempt("patch", "", "namespaces", "", "team"),
    Attempt("patch", "remora.dev", "llmpolicies", "team", "any"),
    Attempt("create", ADMISSION, "mutatingwebhookconfigurations"),
    Attempt("delete", ADMISSION, "mutatingwebhookconfigurations", "", INJECTOR),
    Attempt("patch", ADMISSION, "mutatingwebhookconfigurations", "", "istio-sidecar-injector"),
    Attempt("patch", ADMISSION, "validatingadmissionpolicies", "", "remora-enforce"),
    Attempt("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    Attempt("impersonate", "", "users"),
    Attempt("patch", "coordination.k8s.io", "leases", "kube-system", "kube-scheduler"),
    Attempt("get", "", "nodes", "", "n1"),
    Attempt("get", CERTIFICATES, "clustertrustbundles", "", CA_TRUST_BUNDLE),
]
RENDERED = {"kustomize": kustomized, "helm": charted}


@pytest.mark.parametrize("install", RENDERED)
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_the_operator_may_do_what_it_does(attempt, install):
    assert allows(RENDERED[install](), "remora-operator", SYSTEM, attempt)


@pytest.mark.parametrize("install", RENDERED)
@pytest.mark.parametrize("attempt", FORBIDDEN, ids=str)
def test_the_operator_may_do_nothing_else(attempt, install):
    assert not allows(RENDERED[install](), "remora-operator", SYSTEM, attempt)


@pytest.mark.parametrize("name", [CA_TRUST_BUNDLE, FULL_TRUST_BUNDLE])
def test_cluster_trust_bundles_may_be_written_once_they_are_used(name):
    by_component = [*kustomized(), *kustomized("components/cluster-trust-bundles")]
    by_chart = charted({"injection": {"trustSource": "clusterTrustBundle"}})
    for objects in (by_component, by_chart):
        for verb in ("get", "update"):
            attempt = Attempt(verb, CERTIFICATES, "clustertrustbundles", "", name)
            assert allows(objects, "remora-operator", SYSTEM, attempt)
        created = Attempt("create", CERTIFICATES, "clustertrustbundles")
        assert allows(objects, "remora-operator", SYSTEM, created)


@pytest.mark.parametrize("install", RENDERED)
def test_no_rule_has_a_wildcard(install):
    rules = [rule for one in RENDERED[install]() for rule in one.get("rules", ())]
    assert rules
    for rule in rules:
        assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]


@pytest.mark.parametrize("install", RENDERED)
def test_the_aggregator_may_review_tokens_and_its_callers_may_do_nothing(install):
    objects = RENDERED[install]()
    bindings = [
        (one["metadata"]["name"], one["roleRef"]["name"], subject["name"])
        for one in objects
        if one["kind"].endswith("Binding") and "roleRef" in one
        for subject in one["subjects"]
    ]
    of_others = [one for one in bindings if one[2] != "remora-operator"]
    assert of_others == [("remora-aggregator", "system:auth-delegator", "remora-aggregator")]
    for name in ("remora-reader", "remora-admin"):
        account = only(objects, "ServiceAccount", name)
        assert account["automountServiceAccountToken"] is False


def test_every_right_is_explained():
    page = (HOUSE / "docs/kubernetes.md").read_text()
    section = page[page.index("## What the operator may do") :]
    said = set(re.findall(r"`([a-z.]+(?:/status)?)`", section))
    resources = {
        resource
        for one in kustomized()
        if one["kind"] in ("Role", "ClusterRole")
        for rule in one["rules"]
        for resource in rule["resources"]
    }
    assert resources <= said

"""What a policy needs that only a pod's spec can give."""

import json

import pytest
from tests.operator.pods import annotated, environment, injected, named, pod

from remora.policy import effective_policy, load_documents
from remora_operator.inject import Namespace, PolicyNeeds, policy_needs
from remora_operator.inject.config import SecretKey


def _needs(labels=None, providers=(), **spec):
    policy = {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMPolicy",
        "metadata": {"name": "p"},
        "spec": spec,
    }
    texts = {f"{i}.yaml": json.dumps(d) for i, d in enumerate((policy, *providers))}
    return policy_needs(effective_policy(load_documents(texts), labels or {}))


def _provider(*hosts, ports=(8000,)):
    return {
        "apiVersion": "remora.dev/v1alpha1",
        "kind": "LLMProvider",
        "metadata": {"name": "internal-vllm"},
        "spec": {
            "hosts": list(hosts),
            "ports": list(ports),
            "tls": False,
            "dialects": ["openai-chat"],
        },
    }


def _credential(provider, name, key):
    return {"provider": provider, "secretRef": {"name": name, "key": key}}


def test_nothing_is_needed_without_a_policy():
    assert _needs() == PolicyNeeds(ports=(443,))


def test_credentials_name_secrets_once_and_in_order():
    needs = _needs(credentials=[
        _credential("openai", "keys", "b"), _credential("anthropic", "keys", "a"),
        _credential("groq", "keys", "b"), {"provider": "*", "onlyFrom": "policy"},
    ])  # fmt: skip
    assert needs.secrets == (SecretKey("keys", "a"), SecretKey("keys", "b"))


@pytest.mark.parametrize("key", [".", "..", "..data"])
def test_a_key_that_no_secret_can_have_keeps_no_pod_from_starting(key):
    assert _needs(credentials=[_credential("openai", "keys", key)]).secrets == ()


def test_a_policy_that_does_not_select_the_pod_needs_nothing_of_it():
    spec = {
        "selector": {"matchLabels": {"app": "a"}},
        "credentials": [_credential("openai", "keys", "k")],
    }
    assert _needs(**spec).secrets == ()
    assert _needs({"app": "a"}, **spec).secrets == (SecretKey("keys", "k"),)


def test_the_clusters_own_providers_give_ports_and_hosts():
    host = "vllm.ml.svc.cluster.local"
    needs = _needs(providers=[_provider(host)], intercept=["internal-vllm", "openai"])
    assert needs == PolicyNeeds(ports=(443, 8000), hosts=(host,))

    namespace = Namespace("team", chosen=True, needs=lambda _: needs)
    explicit = environment(injected(annotated(mode="explicit"), namespace))
    assert ".cluster.local" not in explicit["NO_PROXY"].split(",")
    transparent = injected(pod(), namespace)
    assert environment(transparent, "remora-netinit")["REMORA_REDIRECT_PORTS"] == "80,443,8000"
    assert named(transparent, "remora")

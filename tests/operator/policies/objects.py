"""Policy objects as the API server gives them, and a shelf that they are put on."""

from remora_operator.policies import PodFacts, PolicyShelf, read_object

CREATED = "2026-01-01T00:00:00Z"


def custom(kind, name, spec, *, namespace="", generation=1, uid="", created=CREATED):
    """Write an object with all that the API server adds."""
    metadata = {
        "name": name,
        "uid": uid or f"{kind}-{namespace}-{name}",
        "generation": generation,
        "creationTimestamp": created,
        "resourceVersion": "77",
        "managedFields": [{"manager": "kubectl"}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": "remora.dev/v1alpha1", "kind": kind, "metadata": metadata,
        "spec": spec, "status": {"observedGeneration": 1, "conditions": []},
    }  # fmt: skip


def policy(name="research", spec=None, *, namespace="team-a", generation=1, **fields):
    """Read an LLMPolicy."""
    made = custom(
        "LLMPolicy", name, spec or {}, namespace=namespace, generation=generation, **fields
    )
    return read_object(made)


def cluster_policy(name, spec, *, generation=1):
    """Read a ClusterLLMPolicy."""
    return read_object(custom("ClusterLLMPolicy", name, spec, generation=generation))


def provider(name="house-llm", *, host="vllm.example.com", generation=1, created=CREATED, **spec):
    """Read an LLMProvider."""
    whole = {"hosts": [host], "dialects": ["openai-chat"], **spec}
    return read_object(custom("LLMProvider", name, whole, generation=generation, created=created))


def pod(uid="pod-1", *, namespace="team-a", labels=None, **fields):
    """Make a pod."""
    return PodFacts(uid, namespace, f"agent-{uid}", labels or {}, **fields)


def shelf_with(*readings, pods=(), secrets=()):
    """Make a shelf that has seen all there is."""
    shelf = PolicyShelf()
    for reading in readings:
        shelf.put(reading)
    for namespace, name, label in secrets:
        shelf.put_secret(namespace, name, label)
    for one in pods:
        shelf.put_pod(one)
    shelf.complete()
    return shelf


def credential(provider_name, secret, key="api-key"):
    """Write a credential."""
    return {"provider": provider_name, "secretRef": {"name": secret, "key": key}}

"""All that decides about pods' policies, and which pod has which. Pure: events in, values out.

Whoever watches the cluster puts here what it sees, and is told each time whose policy has
changed. The order in which objects come does not matter for what is in force.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from remora.policy import ClusterLLMPolicy, LLMPolicy
from remora.policy.selector import LabelSelector
from remora_operator.policies.history import History, KnownProviders, Standing, usable_providers
from remora_operator.policies.pod_policy import (
    NOT_READ_YET,
    ClusterPart,
    Held,
    PodPolicy,
    held_by,
    kept_while_held,
    key_of,
    pod_policy,
)
from remora_operator.policies.pods import PodFacts
from remora_operator.policies.reading import ObjectKey, Reading

type Pods = frozenset[str]
"""Uids."""

type _Choices = dict[tuple[ObjectKey, ...], PodPolicy | Held]
"""Policies of one namespace's pods, by the LLMPolicies that select them."""

_NOBODY: Pods = frozenset()


class PolicyShelf:
    """The policies, providers, labelled Secrets and pods of one cluster."""

    def __init__(self) -> None:
        """Start empty; until `complete` is called nobody has a policy."""
        self._is_complete = False
        self._histories: dict[ObjectKey, History] = {}
        self._standings: dict[ObjectKey, Standing] = {}
        self._by_namespace: dict[str, dict[ObjectKey, Standing]] = {}
        self._known = KnownProviders()
        self._cluster = ClusterPart()
        self._secrets: dict[tuple[str, str], str] = {}
        self._pods: dict[str, PodFacts] = {}
        self._pods_by_namespace: dict[str, set[str]] = {}
        self._had: dict[str, PodPolicy | Held] = {}
        self._choices: dict[str, _Choices] = {}

    def complete(self) -> Pods:
        """Say that all objects that exist have been put; returns the pods that have a policy."""
        self._is_complete = True
        self._settle_cluster()
        return self._changed(self._pods)

    @property
    def is_complete(self) -> bool:
        """Whether all objects that exist have been put."""
        return self._is_complete

    def put(self, reading: Reading) -> Pods:
        """Take a new version of an object; returns the pods whose policy is another one now."""
        history = self._histories.get(reading.key)
        if history is None or history.uid != reading.uid:
            self._histories[reading.key] = History(reading)
        else:
            history.add(reading)
        self._known.learn(reading.document)
        return self._settled(reading.key)

    def remove(self, key: ObjectKey) -> Pods:
        """Forget an object that was deleted; returns the pods whose policy is another one now."""
        if self._histories.pop(key, None) is None:
            return _NOBODY
        self._standings.pop(key, None)
        of_namespace = self._by_namespace.get(key.namespace, {})
        of_namespace.pop(key, None)
        if not of_namespace:
            self._by_namespace.pop(key.namespace, None)
        return self._settled(key)

    def put_secret(self, namespace: str, name: str, provider: str | None) -> Pods:
        """Take whose key a Secret says it holds; returns the pods whose policy has changed.

        Args:
            namespace: Of the Secret.
            name: Of the Secret.
            provider: The value of its label; None: no label, or the Secret is gone.
        """
        before = self._secrets.pop((namespace, name), None)
        if provider:
            self._secrets[namespace, name] = provider
        if before == (provider or None):
            return _NOBODY
        return self._namespace_changed(namespace)

    def put_pod(self, pod: PodFacts) -> Pods:
        """Take a pod as it is now; returns it if its policy has changed."""
        self._pods[pod.uid] = pod
        self._pods_by_namespace.setdefault(pod.namespace, set()).add(pod.uid)
        return self._changed((pod.uid,)) if self._is_complete else _NOBODY

    def remove_pod(self, uid: str) -> Pods:
        """Forget a pod that is gone; returns it, since nothing is sent to it any more."""
        pod = self._pods.pop(uid, None)
        self._had.pop(uid, None)
        if pod is None:
            return _NOBODY
        of_namespace = self._pods_by_namespace[pod.namespace]
        of_namespace.discard(uid)
        if not of_namespace:
            del self._pods_by_namespace[pod.namespace]
        return frozenset((uid,))

    def policy_of(self, uid: str) -> PodPolicy | Held | None:
        """Return a pod's policy, the last good one where there is none now; None: no such pod."""
        if uid not in self._pods:
            return None
        return self._had.get(uid) or Held(NOT_READ_YET)

    def policy_for(self, namespace: str, labels: Mapping[str, str]) -> PodPolicy | Held:
        """Return the policy that a pod would have, such as one that is being admitted."""
        if not self._is_complete:
            return Held(NOT_READ_YET)
        matching = [
            one
            for one in self._by_namespace.get(namespace, {}).values()
            if _selector_of(one).matches(labels)
        ]
        choices = self._choices.setdefault(namespace, {})
        chosen = tuple(sorted(one.key for one in matching))
        found = choices.get(chosen)
        if found is None:
            found = pod_policy(
                matching, self._cluster, lambda name: self._secrets.get((namespace, name))
            )
            choices[chosen] = found
        return found

    def standings(self) -> Iterator[Standing]:
        """Go through what became of every object, in order of their keys."""
        for key in sorted(self._standings):
            yield self._standings[key]

    def floors(self) -> frozenset[ObjectKey]:
        """Return the ClusterLLMPolicies in force: each says something about every pod."""
        return frozenset(map(key_of, self._cluster.policies))

    def pods(self) -> Iterator[PodFacts]:
        """Go through the pods."""
        yield from self._pods.values()

    def _settled(self, key: ObjectKey) -> Pods:
        if not self._is_complete:
            return _NOBODY
        if key.kind == "LLMPolicy":
            self._stand(key)
            return self._namespace_changed(key.namespace)
        self._settle_cluster()
        return self._changed(self._pods)

    def _settle_cluster(self) -> None:
        """Work out everything that hangs on providers and on the cluster's policies."""
        found = {key: self._histories[key].standing(self._known) for key in self._of("LLMProvider")}
        usable, taken = usable_providers(found.values())
        for key, problem in taken.items():
            found[key] = replace(found[key], document=None, in_force=None, problems=(problem,))
        self._standings.update(found)
        self._known.use(usable)
        for kind in ("ClusterLLMPolicy", "LLMPolicy"):
            for key in self._of(kind):
                self._stand(key)
        self._cluster = _cluster_part(
            [self._standings[key] for key in self._of("ClusterLLMPolicy")], self._known
        )
        self._choices.clear()

    def _of(self, kind: str) -> list[ObjectKey]:
        return sorted(key for key in self._histories if key.kind == kind)

    def _stand(self, key: ObjectKey) -> None:
        history = self._histories.get(key)
        if history is None:
            return
        standing = history.standing(self._known)
        self._standings[key] = standing
        if key.kind == "LLMPolicy":
            self._by_namespace.setdefault(key.namespace, {})[key] = standing

    def _namespace_changed(self, namespace: str) -> Pods:
        self._choices.pop(namespace, None)
        if not self._is_complete:
            return _NOBODY
        return self._changed(self._pods_by_namespace.get(namespace, ()))

    def _changed(self, uids: Iterable[str]) -> Pods:
        """Work out the policies of pods anew; returns those that have another document."""
        changed = set[str]()
        for uid in uids:
            pod, before = self._pods[uid], self._had.get(uid)
            now = kept_while_held(before, self.policy_for(pod.namespace, pod.labels))
            self._had[uid] = now
            if _version(now) != _version(before):
                changed.add(uid)
        return frozenset(changed)


def _version(policy: PodPolicy | Held | None) -> str | None:
    return policy.version if isinstance(policy, PodPolicy) else None


def _selector_of(standing: Standing) -> LabelSelector:
    if isinstance(standing.document, LLMPolicy):
        return standing.document.spec.selector
    return standing.claim.selector


def _cluster_part(standings: list[Standing], known: KnownProviders) -> ClusterPart:
    held = next((held_by(one) for one in standings if one.document is None), None)
    documents = (one.document for one in standings)
    return ClusterPart(
        policies=tuple(d for d in documents if isinstance(d, ClusterLLMPolicy)),
        providers=tuple(known.usable.values()),
        held=held,
    )

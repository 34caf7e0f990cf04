"""What watches tell, kept: policies, namespaces, Secrets' labels and pods.

Each book is a reflector's sink. Those that concern policy put what comes on the shelf, and hand on
whose policy has changed.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from remora.errors import ConfigError
from remora.policy.spec import API_VERSION
from remora_operator.cluster.api_server import Json
from remora_operator.cluster.pods import Agent, read_agent
from remora_operator.cluster.resources import Seen, seen
from remora_operator.cluster.statuses import StatusBook
from remora_operator.policies import ObjectKey, PodFacts, PolicyShelf, read_object
from remora_operator.policies.credentials import PROVIDER_LABEL

logger = logging.getLogger(__name__)

type Changed = Callable[[frozenset[str]], None]
"""Is told of every change of the shelf: the uids of the pods that have another policy now."""

type OnNamespace = Callable[[str], None]
type OnNetinitFailure = Callable[[PodFacts, str], None]
"""Is told of a pod whose netinit failed, and what that said."""


class _KnownNamespace(NamedTuple):
    uid: str
    labels: Mapping[str, str]


class PolicyBook:
    """The policy objects of one kind."""

    def __init__(
        self, kind: str, shelf: PolicyShelf, statuses: StatusBook, changed: Changed
    ) -> None:
        """Take where they are put."""
        self._kind = kind
        self._shelf = shelf
        self._statuses = statuses
        self._changed = changed

    def put(self, value: Json) -> bool:
        """Put an object on the shelf, and keep the status that it has."""
        # A list names the kind once, for all of its items.
        value = {"apiVersion": API_VERSION, **value, "kind": self._kind}
        try:
            reading = read_object(value)
        except ConfigError as error:
            logger.warning("%s can't be read: %s", self._kind, error)
            return False
        self._statuses.put(reading.key, value)
        self._changed(self._shelf.put(reading))
        return True

    def remove(self, one: Seen) -> None:
        """Take an object off the shelf, unless another one of its name is there already."""
        key = ObjectKey(self._kind, one.namespace, one.name)
        if self._statuses.uid_of(key) == one.uid:
            self._statuses.remove(key)
            self._changed(self._shelf.remove(key))


class SecretBook:
    """Whose key Secrets say they hold; their values never come here."""

    def __init__(self, shelf: PolicyShelf, changed: Changed) -> None:
        """Take where it is put."""
        self._shelf = shelf
        self._changed = changed
        self._uids: dict[tuple[str, str], str] = {}

    def put(self, value: Json) -> bool:
        """Put a Secret's label on the shelf."""
        one = seen(value)
        self._uids[one[:2]] = one.uid
        provider = (value["metadata"].get("labels") or {}).get(PROVIDER_LABEL)
        self._changed(self._shelf.put_secret(one.namespace, one.name, provider))
        return True

    def remove(self, one: Seen) -> None:
        """Take a label off the shelf, unless another Secret of its name is there already."""
        if self._uids.get(one[:2]) == one.uid:
            del self._uids[one[:2]]
            self._changed(self._shelf.put_secret(one.namespace, one.name, None))


class NamespaceBook:
    """The labels of all namespaces."""

    def __init__(self, on_namespace: OnNamespace) -> None:
        """Take who is told of changes."""
        self._namespaces: dict[str, _KnownNamespace] = {}
        self._on_namespace = on_namespace

    def labels_of(self, name: str) -> Mapping[str, str] | None:
        """Return a namespace's labels; None: there is no such namespace."""
        known = self._namespaces.get(name)
        return None if known is None else known.labels

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Go through names and labels as they are now."""
        return iter([(name, known.labels) for name, known in self._namespaces.items()])

    def put(self, value: Json) -> bool:
        """Take a namespace's labels."""
        one = seen(value)
        known = _KnownNamespace(one.uid, dict(value["metadata"].get("labels") or {}))
        before = self._namespaces.get(one.name)
        self._namespaces[one.name] = known
        if known != before:
            self._on_namespace(one.name)
        return True

    def remove(self, one: Seen) -> None:
        """Forget a namespace, unless another one of its name is there already."""
        known = self._namespaces.get(one.name)
        if known is not None and known.uid == one.uid:
            del self._namespaces[one.name]
            self._on_namespace(one.name)


class PodBook:
    """The pods that have a sidecar and are not over."""

    def __init__(
        self,
        shelf: PolicyShelf,
        changed: Changed,
        on_namespace: OnNamespace,
        on_netinit_failure: OnNetinitFailure,
    ) -> None:
        """Take where they are put, and who is told of namespaces' first and last, and failures."""
        self._agents: dict[str, Agent] = {}
        self._in_namespace: dict[str, int] = {}
        self._shelf = shelf
        self._changed = changed
        self._on_namespace = on_namespace
        self._on_netinit_failure = on_netinit_failure

    def put(self, value: Json) -> bool:
        """Put a pod on the shelf if it has a sidecar; tells whether it has."""
        agent = read_agent(value)
        if agent is None:
            return False
        uid, before = agent.facts.uid, self._agents.get(agent.facts.uid)
        self._agents[uid] = agent
        if before is None:
            self._counted(agent.facts.namespace, 1)
        if before is None or before.facts != agent.facts:
            self._changed(self._shelf.put_pod(agent.facts))
        said = "" if before is None else before.netinit_failure
        if agent.netinit_failure not in ("", said):
            self._on_netinit_failure(agent.facts, agent.netinit_failure)
        return True

    def remove(self, one: Seen) -> None:
        """Forget a pod."""
        if self._agents.pop(one.uid, None) is not None:
            self._changed(self._shelf.remove_pod(one.uid))
            self._counted(one.namespace, -1)

    def facts_of(self, uid: str) -> PodFacts | None:
        """Return what is known of a pod; None: it is not there."""
        agent = self._agents.get(uid)
        return None if agent is None else agent.facts

    def count_in(self, namespace: str) -> int:
        """Count the pods of a namespace."""
        return self._in_namespace.get(namespace, 0)

    def started(self) -> Iterator[datetime]:
        """Go through when each was started, UTC."""
        return iter([agent.started for agent in self._agents.values()])

    def _counted(self, namespace: str, change: int) -> None:
        before = self._in_namespace.pop(namespace, 0)
        if before + change:
            self._in_namespace[namespace] = before + change
        if not before or not before + change:
            self._on_namespace(namespace)

"""The pods that have a sidecar, as far as policy asks about them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from remora_operator.inject import PolicyNeeds
from remora_operator.inject.config import SecretKey
from remora_operator.inject.layout import ALWAYS_REDIRECTED
from remora_operator.policies.answers import Refusal


@dataclass(frozen=True, slots=True)
class Provided:
    """What a running pod's spec gives its sidecar; it can't change while the pod runs.

    Attributes:
        secrets: Keys of Secrets that are mounted.
        ports: TCP ports that are redirected; None: none has to be (explicit mode).
    """

    secrets: frozenset[SecretKey] = frozenset()
    ports: frozenset[int] | None = None

    def missing(self, needs: PolicyNeeds) -> tuple[str, ...]:
        """Say what of a policy's needs only a new pod would have."""
        secrets = [f"Secret {s.name} key {s.key}" for s in needs.secrets if s not in self.secrets]
        redirected = None if self.ports is None else {*self.ports, *ALWAYS_REDIRECTED}
        ports = [] if redirected is None else [p for p in needs.ports if p not in redirected]
        return (*secrets, *(f"port {port}" for port in ports))


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod with a sidecar.

    Attributes:
        uid: Names it; another pod of the same name is another one.
        namespace: Its namespace.
        name: Its name.
        labels: Select its policy.
        reported_version: What the replica that serves it wrote on it as the version in force.
        reported_refusal: What that one wrote on it as refused; None: nothing.
        provided: What its spec gives; None: not known, so that nothing is said about it.
    """

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    reported_version: str = ""
    reported_refusal: Refusal | None = None
    provided: Provided | None = None

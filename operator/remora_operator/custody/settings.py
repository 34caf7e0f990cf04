"""What the custodian is told: names, and who keeps which certificate."""

from dataclasses import dataclass
from typing import Literal

WebhookCertificate = Literal["selfManaged", "certManager"]
InterceptionCa = Literal["selfManaged", "brought"]

INTERCEPTION_SECRET = "remora-ca"  # noqa: S105 - a Secret's name
SERVING_SECRET = "remora-serving-ca"  # noqa: S105 - a Secret's name
OPERATOR_SECRET = "remora-operator-tls"  # noqa: S105 - a Secret's name
AGGREGATOR_SECRET = "remora-aggregator-tls"  # noqa: S105 - a Secret's name
ROOTS_RECORD = "remora-roots"
"""ConfigMap of the operator's namespace: the roots that agents and servers were told to trust."""

EXTRA_BUNDLES = "remora-extra-bundles"
"""ConfigMap of the operator's namespace: every key a PEM file of roots that agents trust, too."""

UPSTREAM_BUNDLES = "remora-upstream-ca"
"""ConfigMap of the operator's namespace: every key a PEM file of roots of providers."""

MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "remora-operator"
"""The label of all that the custodian makes; what lacks it is somebody else's."""


@dataclass(frozen=True, slots=True)
class Server:
    """One of our servers.

    Attributes:
        secret: Where its certificate and key are.
        names: DNS names under which it is reached, the usual one first.
    """

    secret: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CustodySettings:
    """How the custodian works.

    Attributes:
        namespace: The operator's own.
        webhook_certificate: Who writes the servers' Secrets and the webhook's ``caBundle``: the
            leader, or cert-manager with its cainjector.
        interception_ca: ``brought``: the leader never makes the root, and waits for the Secret.
        webhook_configuration: Name of the MutatingWebhookConfiguration.
        extra_names: More DNS names of the operator's server.
        poll_s: Seconds between two looks at everything.
        quick_poll_s: Seconds between two looks at the ``caBundle``, and before another try after
            something failed.
    """

    namespace: str = "remora-system"
    webhook_certificate: WebhookCertificate = "selfManaged"
    interception_ca: InterceptionCa = "selfManaged"
    webhook_configuration: str = "remora-injector"
    extra_names: tuple[str, ...] = ()
    poll_s: float = 30.0
    quick_poll_s: float = 5.0

    @property
    def operator(self) -> Server:
        """The operator's server: webhook and gRPC."""
        names = service_names("remora-operator", self.namespace)
        return Server(OPERATOR_SECRET, (*names, *self.extra_names))

    @property
    def aggregator(self) -> Server:
        """The aggregator's server."""
        return Server(AGGREGATOR_SECRET, service_names("remora-aggregator", self.namespace))


def service_names(service: str, namespace: str) -> tuple[str, ...]:
    """Return the DNS names of a Service: as the API server, as pods, as its neighbours say it."""
    return (
        f"{service}.{namespace}.svc",
        f"{service}.{namespace}.svc.cluster.local",
        f"{service}.{namespace}",
        service,
    )

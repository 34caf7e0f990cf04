"""The fixed names, paths and ports of an injected pod, on which all parts agree."""

from pathlib import PurePosixPath

from remora.trust import BUNDLE_FILE, CA_FILE, TRUSTSTORE_FILE

SIDECAR = "remora"
NETINIT = "remora-netinit"
OWN_CONTAINERS = frozenset({SIDECAR, NETINIT})

WORKLOAD_VARIABLE = "REMORA_WORKLOAD"
"""May differ in a pod that came injected: its template may have been used under another name."""

PREFIX = "remora.dev/"
INJECT_LABEL = "remora.dev/inject"
"""Of a pod: ``true`` or ``false``."""

INJECTION_LABEL = "remora.dev/injection"
"""Of a namespace: ``enabled`` or ``disabled``."""

STATUS_ANNOTATION = "remora.dev/status"
POLICY_VERSION_ANNOTATION = "remora.dev/policy-version"
POLICY_REFUSED_ANNOTATION = "remora.dev/policy-refused"
DEFAULT_CONTAINER_ANNOTATION = "kubectl.kubernetes.io/default-container"
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"

TRUST_CONFIG_MAP = "remora-trust"
"""In every selected namespace: the trust files, and `SERVING_CA_FILE`."""

SERVING_CA_FILE = "serving-ca.pem"
"""Key of the ConfigMap: the roots of the operator's and the aggregator's certificates."""

UPSTREAM_CA_FILE = "upstream-ca.pem"
"""Key of the ConfigMap: extra roots that the sidecar trusts towards providers."""

TRUST_FILES = (CA_FILE, BUNDLE_FILE, TRUSTSTORE_FILE)
CA_TRUST_BUNDLE = "remora-ca"
FULL_TRUST_BUNDLE = "remora-bundle"
"""Names of the ClusterTrustBundles, where these are used."""

TRUST_VOLUME = "remora-trust"
IDENTITY_VOLUME = "remora-identity"
DATA_VOLUME = "remora-data"
SECRETS_VOLUME = "remora-secrets"
SIDECAR_VOLUMES = frozenset({IDENTITY_VOLUME, DATA_VOLUME, SECRETS_VOLUME})
"""Volumes that no container but the sidecar may mount."""

TRUST_DIR = PurePosixPath("/run/remora/trust")
IDENTITY_DIR = PurePosixPath("/var/run/remora/identity")
SECRETS_DIR = PurePosixPath("/var/run/remora/secrets")
DATA_MOUNT = PurePosixPath("/var/lib/remora")
DATA_DIR = DATA_MOUNT / "sidecar"
"""Below the volume's own folder, which belongs to root: the sidecar makes it, mode 0700."""

OPERATOR_AUDIENCE = "remora-operator"
AGGREGATOR_AUDIENCE = "remora-aggregator"
AUDIENCES = frozenset({OPERATOR_AUDIENCE, AGGREGATOR_AUDIENCE})
OPERATOR_TOKEN_FILE = "operator-token"  # noqa: S105 - a file's name
AGGREGATOR_TOKEN_FILE = "aggregator-token"  # noqa: S105 - a file's name

PROXY_PORT = 15001
SESSION_PORT = 15002
STATUS_PORT = 15021
CONTROL_PORT = 15080
OWN_PORTS = frozenset({PROXY_PORT, SESSION_PORT, STATUS_PORT, CONTROL_PORT})
PROXY_URL = f"http://127.0.0.1:{PROXY_PORT}"

ALWAYS_REDIRECTED = (80, 443)
"""As `remora netinit` has it."""

OVERLAY_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/ssl/cert.pem",  # Alpine, BSD
    "/etc/pki/tls/certs/ca-bundle.crt",  # RHEL, Fedora
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL, Fedora
    "/etc/ssl/ca-bundle.pem",  # SUSE
)
"""Where programs look for the system's roots."""

MESH_CONTAINERS = frozenset({"istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane"})
"""Proxies of service meshes, which redirect a pod's traffic as well."""

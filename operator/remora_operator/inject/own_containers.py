"""The two containers that injection adds: `remora-netinit` and `remora`.

Every field that the API server would fill in is written out, so that a second pass can tell
by equality what is ours.
"""

from typing import Any

from remora_operator.inject.config import InjectionConfig, Resources
from remora_operator.inject.layout import (
    AGGREGATOR_TOKEN_FILE,
    DATA_DIR,
    DATA_MOUNT,
    DATA_VOLUME,
    IDENTITY_DIR,
    IDENTITY_VOLUME,
    NETINIT,
    OPERATOR_TOKEN_FILE,
    SECRETS_DIR,
    SECRETS_VOLUME,
    SERVING_CA_FILE,
    SIDECAR,
    STATUS_PORT,
    TRUST_DIR,
    TRUST_VOLUME,
    UPSTREAM_CA_FILE,
    WORKLOAD_VARIABLE,
)
from remora_operator.inject.outcome import Mode
from remora_operator.inject.plan import Plan

_NOBODY = 65534
_NO_AGGREGATOR = "none"

_WAIT_UNTIL_READY = """\
import sys, time, urllib.request
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    try:
        urllib.request.urlopen("http://127.0.0.1:{port}/readyz", timeout=2).close()
        sys.exit(0)
    except OSError:
        time.sleep(0.2)
sys.exit("the sidecar is not ready after {seconds} s")
"""

type Json = dict[str, Any]


def netinit_container(plan: Plan, config: InjectionConfig) -> Json:
    """Write the container that applies the redirect rules and is gone."""
    return {
        "name": NETINIT,
        "image": config.image,
        "imagePullPolicy": config.image_pull_policy,
        "args": ["netinit"],
        "env": _variables(_network_variables(plan, config)),
        **_resources(plan.netinit_resources),
        "securityContext": _netinit_rights(config),
        **_termination(),
    }


def sidecar_container(plan: Plan, config: InjectionConfig) -> Json:
    """Write the container that carries the calls."""
    return {
        "name": SIDECAR,
        "image": config.image,
        "imagePullPolicy": config.image_pull_policy,
        "args": ["sidecar"],
        **({"restartPolicy": "Always"} if plan.native else {"lifecycle": _hold(config)}),
        "env": [*_variables(_sidecar_variables(plan, config)), *_identity_variables()],
        "ports": [{"name": "remora-status", "containerPort": STATUS_PORT, "protocol": "TCP"}],
        "volumeMounts": _mounts(plan),
        **_resources(plan.sidecar_resources),
        "startupProbe": _probe("/readyz", period_s=1, failures=config.startup_s),
        "readinessProbe": _probe("/readyz", period_s=5, failures=3),
        "livenessProbe": _probe("/healthz", period_s=10, failures=6),
        "securityContext": _sidecar_rights(config),
        **_termination(),
    }


def _network_variables(plan: Plan, config: InjectionConfig) -> dict[str, str]:
    """What netinit and the sidecar must be told alike."""
    variables = {
        "REMORA_SIDECAR_UID": str(config.sidecar_uid),
        "REMORA_REDIRECT_PORTS": ",".join(str(port) for port in plan.redirect_ports),
        "REMORA_NETWORK_PROFILE": plan.profile,
    }
    if config.network.exclude_cidrs:
        variables["REMORA_EXCLUDE_CIDRS"] = ",".join(config.network.exclude_cidrs)
    return variables


def _sidecar_variables(plan: Plan, config: InjectionConfig) -> dict[str, str]:
    network = _network_variables(plan, config) if plan.mode is Mode.TRANSPARENT else {}
    upstream = {"REMORA_UPSTREAM_CA": str(IDENTITY_DIR / UPSTREAM_CA_FILE)}
    return {
        "REMORA_MODE": plan.mode.value,
        **network,
        "REMORA_STATUS_LISTEN": config.status_listen,
        "REMORA_DATA_DIR": str(DATA_DIR),
        "REMORA_TRUST_DIR": str(TRUST_DIR),
        "REMORA_SECRETS_DIR": str(SECRETS_DIR),
        **_server("REMORA_OPERATOR", config.operator_address, OPERATOR_TOKEN_FILE),
        **_aggregator(config),
        **(upstream if config.upstream_ca else {}),
        "REMORA_DRAIN_S": f"{plan.drain_s:g}",
        "REMORA_FLUSH_S": f"{plan.flush_s:g}",
        "REMORA_LOG_LEVEL": plan.log_level,
        WORKLOAD_VARIABLE: plan.workload,
        **config.sidecar_variables,
    }


def _server(name: str, address: str, token_file: str) -> dict[str, str]:
    return {
        name: address,
        f"{name}_TOKEN_FILE": str(IDENTITY_DIR / token_file),
        f"{name}_CA": str(IDENTITY_DIR / SERVING_CA_FILE),
    }


def _aggregator(config: InjectionConfig) -> dict[str, str]:
    if config.aggregator_address == _NO_AGGREGATOR:
        return {"REMORA_AGGREGATOR": _NO_AGGREGATOR}
    return _server("REMORA_AGGREGATOR", config.aggregator_address, AGGREGATOR_TOKEN_FILE)


def _variables(values: dict[str, str]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _identity_variables() -> list[Json]:
    """Whose sidecar it is, by the downward API."""
    fields = {
        "REMORA_NAMESPACE": "metadata.namespace",
        "REMORA_POD_NAME": "metadata.name",
        "REMORA_POD_UID": "metadata.uid",
        "REMORA_NODE": "spec.nodeName",
    }
    return [
        {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
        for name, path in fields.items()
    ]


def _mounts(plan: Plan) -> list[Json]:
    mounts: list[Json] = [
        {"name": DATA_VOLUME, "mountPath": str(DATA_MOUNT)},
        {"name": IDENTITY_VOLUME, "mountPath": str(IDENTITY_DIR), "readOnly": True},
        {"name": TRUST_VOLUME, "mountPath": str(TRUST_DIR), "readOnly": True},
    ]
    if plan.secrets:
        mounts.append({"name": SECRETS_VOLUME, "mountPath": str(SECRETS_DIR), "readOnly": True})
    return mounts


def _resources(resources: Resources | None) -> Json:
    if resources is None:
        return {}
    requests = {"cpu": resources.cpu_request, "memory": resources.memory_request}
    limits = {"cpu": resources.cpu_limit, "memory": resources.memory_limit}
    return {"resources": {"requests": requests, "limits": limits}}


def _probe(path: str, *, period_s: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": STATUS_PORT, "scheme": "HTTP"},
        "timeoutSeconds": 2,
        "periodSeconds": period_s,
        "successThreshold": 1,
        "failureThreshold": failures,
    }


def _hold(config: InjectionConfig) -> Json:
    """Hold the next container until the sidecar is ready: the kubelet waits for this hook."""
    script = _WAIT_UNTIL_READY.format(seconds=config.startup_s, port=STATUS_PORT)
    return {"postStart": {"exec": {"command": ["python3", "-c", script]}}}


def _sidecar_rights(config: InjectionConfig) -> Json:
    return {
        "runAsUser": config.sidecar_uid,
        "runAsGroup": config.sidecar_uid,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _netinit_rights(config: InjectionConfig) -> Json:
    """Root without escalation, or a user whose ``nft`` gains its capability from the file."""
    user = 0 if config.netinit_as_root else _NOBODY
    return {
        "runAsUser": user,
        "runAsGroup": user,
        "runAsNonRoot": user != 0,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": user != 0,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _termination() -> Json:
    """Show the end of the log as the reason where a container fails."""
    return {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }

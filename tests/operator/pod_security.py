"""The Pod Security levels, as far as tests need them: does a pod pass, and if not, why.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ of Kubernetes 1.36. How
true it is to the API server's own check is measured with recorded verdicts.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
_SELINUX_TYPES = frozenset(
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"]
)
_SYSCTLS = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    ]
)
_VOLUMES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
        "name",
    ]
)
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def violations(pod: Json, level: str) -> list[str]:
    """Name the checks of a level that a pod fails."""
    checks = BASELINE if level == "baseline" else {**BASELINE, **RESTRICTED}
    return [name for name, check in checks.items() if not check(pod)]


def _spec(pod: Json) -> Json:
    return pod.get("spec") or {}


def _containers(pod: Json) -> Iterator[Json]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from _spec(pod).get(kind) or ()


def _context(holder: Json) -> Json:
    return holder.get("securityContext") or {}


def _contexts(pod: Json) -> Iterator[Json]:
    yield _context(_spec(pod))
    for container in _containers(pod):
        yield _context(container)


def _is_windows(pod: Json) -> bool:
    return (_spec(pod).get("os") or {}).get("name") == "windows"


def _in_user_namespace(pod: Json) -> bool:
    return _spec(pod).get("hostUsers") is False


def _added(context: Json) -> set[str]:
    return set((context.get("capabilities") or {}).get("add") or ())


def _host_process(pod: Json) -> bool:
    return not any((c.get("windowsOptions") or {}).get("hostProcess") for c in _contexts(pod))


def _host_namespaces(pod: Json) -> bool:
    return not any(_spec(pod).get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))


def _privileged(pod: Json) -> bool:
    return not any(_context(c).get("privileged") for c in _containers(pod))


def _capabilities(pod: Json) -> bool:
    return all(_added(_context(c)) <= _CAPABILITIES for c in _containers(pod))


def _host_path(pod: Json) -> bool:
    return not any(v.get("hostPath") for v in _spec(pod).get("volumes") or ())


def _host_ports(pod: Json) -> bool:
    return not any(p.get("hostPort") for c in _containers(pod) for p in c.get("ports") or ())


def _hosts_of_handlers(pod: Json) -> bool:
    for container in _containers(pod):
        lifecycle = container.get("lifecycle") or {}
        probes = (container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup"))
        for handler in (*probes, lifecycle.get("postStart"), lifecycle.get("preStop")):
            for kind in ("httpGet", "tcpSocket"):
                if ((handler or {}).get(kind) or {}).get("host"):
                    return False
    return True


def _app_armor(pod: Json) -> bool:
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    profiles = [v for k, v in annotations.items() if k.startswith(_APPARMOR)]
    types = [(c.get("appArmorProfile") or {}).get("type") for c in _contexts(pod)]
    return all(
        p in ("", "runtime/default") or p.startswith("localhost/") for p in profiles
    ) and all(t in (None, "RuntimeDefault", "Localhost") for t in types)


def _selinux(pod: Json) -> bool:
    options = [c.get("seLinuxOptions") or {} for c in _contexts(pod)]
    return all(
        o.get("type", "") in _SELINUX_TYPES and not o.get("user") and not o.get("role")
        for o in options
    )


def _proc_mount(pod: Json) -> bool:
    return _masked_proc(pod) or _in_user_namespace(pod)


def _masked_proc(pod: Json) -> bool:
    return all(_context(c).get("procMount") in (None, "Default") for c in _containers(pod))


def _seccomp_baseline(pod: Json) -> bool:
    return all((c.get("seccompProfile") or {}).get("type") != "Unconfined" for c in _contexts(pod))


def _sysctls(pod: Json) -> bool:
    return all(s["name"] in _SYSCTLS for s in _context(_spec(pod)).get("sysctls") or ())


def _volume_types(pod: Json) -> bool:
    return all(v.keys() <= _VOLUMES for v in _spec(pod).get("volumes") or ())


def _escalation(pod: Json) -> bool:
    return _is_windows(pod) or all(
        _context(c).get("allowPrivilegeEscalation") is False for c in _containers(pod)
    )


def _non_root(pod: Json) -> bool:
    default = _context(_spec(pod)).get("runAsNonRoot")
    settings = [_context(c).get("runAsNonRoot") for c in _containers(pod)]
    return _in_user_namespace(pod) or all(s if s is not None else default for s in settings)


def _user(pod: Json) -> bool:
    return _in_user_namespace(pod) or all(c.get("runAsUser") != 0 for c in _contexts(pod))


def _seccomp_restricted(pod: Json) -> bool:
    def is_set(holder: Json) -> bool:
        profile = _context(holder).get("seccompProfile") or {}
        return profile.get("type") in ("RuntimeDefault", "Localhost")

    return _is_windows(pod) or is_set(_spec(pod)) or all(is_set(c) for c in _containers(pod))


def _dropped(pod: Json) -> bool:
    def drops(container: Json) -> bool:
        context = _context(container)
        dropped = (context.get("capabilities") or {}).get("drop") or ()
        return "ALL" in dropped and _added(context) <= {"NET_BIND_SERVICE"}

    return _is_windows(pod) or all(drops(c) for c in _containers(pod))


BASELINE: Mapping[str, Callable[[Json], bool]] = {
    "hostProcess": _host_process,
    "hostNamespaces": _host_namespaces,
    "privileged": _privileged,
    "capabilities": _capabilities,
    "hostPath": _host_path,
    "hostPorts": _host_ports,
    "hostsOfHandlers": _hosts_of_handlers,
    "appArmor": _app_armor,
    "seLinux": _selinux,
    "procMount": _proc_mount,
    "seccomp": _seccomp_baseline,
    "sysctls": _sysctls,
}

RESTRICTED: Mapping[str, Callable[[Json], bool]] = {
    "volumes": _volume_types,
    "procMount (restricted)": _masked_proc,
    "allowPrivilegeEscalation": _escalation,
    "runAsNonRoot": _non_root,
    "runAsUser": _user,
    "seccomp (restricted)": _seccomp_restricted,
    "drop ALL": _dropped,
}

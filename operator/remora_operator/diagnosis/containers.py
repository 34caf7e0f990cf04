"""How our two containers in a pod are doing."""

from collections.abc import Iterator
from datetime import timedelta

from remora_operator.diagnosis.evidence import Ended, Evidence, SeenContainer, SeenPod
from remora_operator.diagnosis.finding import Finding, note
from remora_operator.inject.layout import NETINIT, PREFIX, SIDECAR

_PATIENCE = timedelta(minutes=2)
"""How long a pod may take to begin."""

_BEGINNING = ("ContainerCreating", "PodInitializing", "Waiting")
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_SETTINGS_EXIT_CODE = 2
"""Of netinit and of the sidecar: settings that can't be read."""


def container_findings(evidence: Evidence, pod: SeenPod) -> Iterator[Finding]:
    """Say what is wrong with a pod's netinit and sidecar."""
    if pod.unscheduled:
        yield note("Unscheduled", str(pod), f"it has no node: {pod.unscheduled}")
        return
    netinit, sidecar = pod.states.get(NETINIT), pod.states.get(SIDECAR)
    if netinit is not None:
        yield from _waiting(evidence, pod, NETINIT, netinit)
        yield from _netinit(pod, netinit)
    if sidecar is not None:
        yield from _waiting(evidence, pod, SIDECAR, sidecar)
        yield from _ended(evidence, pod, sidecar)
        yield from _probes(evidence, pod, sidecar)


def _waiting(
    evidence: Evidence, pod: SeenPod, name: str, state: SeenContainer
) -> Iterator[Finding]:
    if not state.waiting or state.waiting == "CrashLoopBackOff":
        return  # what it ended with says more
    told = f": {state.message}" if state.message else ""
    text = f"container {name} waits ({state.waiting}){told}"
    if state.waiting in _IMAGE:
        todo = "the node can't get the image: see `image` in the operator's configuration"
        yield Finding("ImageNotPulled", str(pod), text, todo)
    elif state.waiting not in _BEGINNING:
        todo = f"kubectl describe pod {pod.name} -n {evidence.namespace} says more"
        yield Finding("SidecarCannotStart", str(pod), text, todo)
    elif name == SIDECAR and _is_running(pod.states.get(NETINIT)):
        return
    elif pod.created is not None and evidence.now - pod.created > _PATIENCE and not pod.is_over:
        todo = (
            "a volume may be missing, or an earlier init container not ended: "
            f"kubectl describe pod {pod.name} -n {evidence.namespace}"
        )
        yield note("SidecarWaits", str(pod), text, todo)


def _is_running(state: SeenContainer | None) -> bool:
    return state is not None and state.running_since is not None


def _netinit(pod: SeenPod, state: SeenContainer) -> Iterator[Finding]:
    ended = state.ended or state.before
    if ended is None or not ended.code:
        return
    text = f"{NETINIT} could not apply the redirect rules: {_how(ended)}"
    if ended.code == _SETTINGS_EXIT_CODE:
        todo = "correct `network` in the operator's configuration"
    else:
        todo = (
            f"this node can't redirect: put the annotation {PREFIX}mode: explicit into the "
            "template, or its RuntimeClass into `incapableRuntimeClasses`"
        )
    yield Finding("NetinitFailed", str(pod), text, todo)


def _ended(evidence: Evidence, pod: SeenPod, state: SeenContainer) -> Iterator[Finding]:
    ended = state.ended or state.before
    if ended is None or pod.is_over or (state.ended is None and not ended.code):
        return
    times = f", {state.restarts} restarts" if state.restarts > 1 else ""
    verb = "does not run" if state.running_since is None else "was started again"
    text = f"the sidecar {verb}: it ended with {_how(ended)}{times}"
    if ended.reason == "OOMKilled":
        todo = (
            f"give it more memory: `resources` in the operator's configuration, or a container "
            f"named {SIDECAR} with nothing but resources in the template"
        )
    elif ended.code == _SETTINGS_EXIT_CODE:
        todo = "correct `sidecarVariables` in the operator's configuration"
    else:
        todo = f"kubectl logs {pod.name} -c {SIDECAR} --previous -n {evidence.namespace}"
    yield Finding("SidecarEnded", str(pod), text, todo)


def _probes(evidence: Evidence, pod: SeenPod, state: SeenContainer) -> Iterator[Finding]:
    if state.running_since is None or pod.is_going:
        return
    logs = f"kubectl logs {pod.name} -c {SIDECAR} -n {evidence.namespace}"
    if not state.is_started:
        seconds = round((evidence.now - state.running_since).total_seconds())
        text = (
            f"the startup probe fails: the sidecar runs for {seconds} s and has no certificate, "
            "and the pod's containers wait for it"
        )
        todo = (
            f"the operator is not reached at {evidence.config.operator_address}, or signs "
            f"nothing: {logs} says why"
        )
        yield Finding("StartupProbeFails", str(pod), text, todo)
    elif not state.is_ready:
        text = "the sidecar is not ready, so the pod gets no traffic from Services"
        yield Finding("SidecarNotReady", str(pod), text, f"{logs} says why")


def _how(ended: Ended) -> str:
    told = f": {ended.message}" if ended.message else ""
    reason = f" ({ended.reason})" if ended.reason not in ("", "Error") else ""
    return f"exit code {ended.code}{reason}{told}"

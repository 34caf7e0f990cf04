"""Which pods get a sidecar.

The API server's selectors have answered that already for the webhook; here it is answered
again, so that the offline command says the same and nothing depends on selectors alone. Only
what the API server or the kubelet enforces counts as a reason to pass a pod by: no annotation
or label but the documented ones, since a pod's author writes those.
"""

from remora_operator.inject.config import InjectionConfig, Namespace
from remora_operator.inject.layout import INJECT_LABEL, INJECTION_LABEL, MIRROR_ANNOTATION
from remora_operator.inject.outcome import Skip, SkipReason, Warned, WarningKind
from remora_operator.inject.pod import Pod


def passed_by(pod: Pod, namespace: Namespace, config: InjectionConfig) -> Skip | None:
    """Say why a pod is not injected; None if it is to be."""
    return (
        _of_the_system(pod, namespace, config)
        or _opted_out(pod, namespace)
        or _not_chosen(pod, namespace)
        or _can_not_run(pod)
    )


def label_warnings(pod: Pod) -> tuple[Warned, ...]:
    """Say which label of a pod has a value that means nothing."""
    value = pod.labels.get(INJECT_LABEL)
    if value in (None, "true", "false"):
        return ()
    text = f"label {INJECT_LABEL}={value!r} means nothing: it should be 'true' or 'false'"
    return (Warned(WarningKind.LABEL, text),)


def _of_the_system(pod: Pod, namespace: Namespace, config: InjectionConfig) -> Skip | None:
    if namespace.name in config.excluded_namespaces:
        text = f"namespace {namespace.name} is never injected"
        return Skip(SkipReason.EXCLUDED_NAMESPACE, text)
    # Without a node the API server refuses the annotation; with one the kubelet runs no such pod.
    if MIRROR_ANNOTATION in pod.annotations and pod.node_name:
        return Skip(SkipReason.MIRROR_POD, "it mirrors a static pod, whose file the kubelet runs")
    return None


def _opted_out(pod: Pod, namespace: Namespace) -> Skip | None:
    if namespace.known_labels.get(INJECTION_LABEL) == "disabled":
        text = f"namespace {namespace.name} has the label {INJECTION_LABEL}=disabled"
        return Skip(SkipReason.NAMESPACE_OPT_OUT, text)
    if pod.labels.get(INJECT_LABEL) == "false":
        return Skip(SkipReason.POD_OPT_OUT, f"the pod has the label {INJECT_LABEL}=false")
    return None


def _not_chosen(pod: Pod, namespace: Namespace) -> Skip | None:
    value = namespace.known_labels.get(INJECTION_LABEL)
    if (
        namespace.chosen
        or namespace.labels is None
        or value == "enabled"
        or pod.labels.get(INJECT_LABEL) == "true"
    ):
        return None
    hint = "" if value is None else f" ({INJECTION_LABEL}={value!r} there means nothing)"
    text = (
        f"neither has the pod the label {INJECT_LABEL}=true "
        f"nor namespace {namespace.name} {INJECTION_LABEL}=enabled{hint}"
    )
    return Skip(SkipReason.NOT_SELECTED, text)


def _can_not_run(pod: Pod) -> Skip | None:
    if pod.operating_system == "windows":
        return Skip(SkipReason.WINDOWS, "it runs on Windows, where there is no sidecar")
    return None

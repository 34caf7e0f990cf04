"""The mode of a pod, and what is said about the choice."""

import pytest
from tests.operator.pods import CONFIG, ENABLED, annotated, container, injected, names, pod

from remora_operator.inject import Injection, InjectionConfig, Mode, Namespace, Refuse, inject


def _namespace(level: str | None) -> Namespace:
    security = {} if level is None else {"pod-security.kubernetes.io/enforce": level}
    return Namespace("team", {"remora.dev/injection": "enabled", **security})


MESH = pod(container(), container("istio-proxy"))


@pytest.mark.parametrize(
    ("given", "level", "config", "mode"),
    [
        pytest.param(pod(), None, CONFIG, Mode.TRANSPARENT, id="nothing said"),
        pytest.param(pod(), "privileged", CONFIG, Mode.TRANSPARENT, id="privileged"),
        pytest.param(pod(), "baseline", CONFIG, Mode.EXPLICIT, id="baseline"),
        pytest.param(pod(), "restricted", CONFIG, Mode.EXPLICIT, id="restricted"),
        pytest.param(pod(), "nonsense", CONFIG, Mode.EXPLICIT, id="no level counts as restricted"),
        pytest.param(
            pod(),
            None,
            InjectionConfig(default_pod_security="baseline"),
            Mode.EXPLICIT,
            id="cluster's default level",
        ),
        pytest.param(
            pod(),
            "privileged",
            InjectionConfig(default_pod_security="restricted"),
            Mode.TRANSPARENT,
            id="label over default level",
        ),
        pytest.param(pod(runtimeClassName="gvisor"), None, CONFIG, Mode.EXPLICIT, id="gvisor"),
        pytest.param(pod(runtimeClassName="kata"), None, CONFIG, Mode.TRANSPARENT, id="kata"),
        pytest.param(
            pod(runtimeClassName="kata"),
            None,
            InjectionConfig(incapable_runtime_classes=frozenset({"kata"})),
            Mode.EXPLICIT,
            id="kata, listed",
        ),
        pytest.param(MESH, None, CONFIG, Mode.EXPLICIT, id="another mesh"),
        pytest.param(annotated(mode="explicit"), None, CONFIG, Mode.EXPLICIT, id="asked for"),
        pytest.param(pod(), None, InjectionConfig(mode="explicit"), Mode.EXPLICIT, id="configured"),
        pytest.param(
            annotated(mode="transparent"),
            None,
            InjectionConfig(mode="explicit"),
            Mode.TRANSPARENT,
            id="the pod's word over the configuration's",
        ),
        pytest.param(
            annotated(mode="auto"),
            "restricted",
            InjectionConfig(mode="transparent"),
            Mode.EXPLICIT,
            id="auto asked for",
        ),
    ],
)
def test_mode(given, level, config, mode):
    decision = inject(given, _namespace(level), config)

    assert isinstance(decision, Injection)
    assert decision.mode is mode
    chosen = given["metadata"].get("annotations", {}).get("remora.dev/mode", config.mode) == "auto"
    said = [w.message for w in decision.warnings if w.kind.value == "Mode"]
    assert bool(said) == (chosen and mode is Mode.EXPLICIT)


def test_transparent_mode_where_it_can_not_be_is_said_with_the_way_out():
    decision = inject(annotated(mode="transparent"), _namespace("restricted"), CONFIG)

    [said] = [w.message for w in decision.warnings if w.kind.value == "PodSecurity"]
    assert "remora.dev/mode: explicit" in said


def test_explicit_mode_has_no_netinit_and_transparent_no_proxy():
    explicit = injected(annotated(mode="explicit"))
    transparent = injected(annotated(mode="transparent"))

    assert names(explicit, "initContainers") == ["remora"]
    assert names(transparent, "initContainers") == ["remora-netinit", "remora"]


@pytest.mark.parametrize("before", [Mode.TRANSPARENT, Mode.EXPLICIT])
def test_an_injected_pod_keeps_its_mode_whatever_its_namespace_has_become(before):
    first, then = (None, "restricted") if before is Mode.TRANSPARENT else ("restricted", None)
    once = injected(pod(), _namespace(first))

    again = inject(once, _namespace(then), CONFIG)

    assert isinstance(again, Injection)
    assert again.mode is before
    assert again.operations == ()


def test_redirect_rules_without_transparent_mode_are_refused():
    once = injected(pod())
    once["metadata"]["annotations"]["remora.dev/mode"] = "explicit"

    decision = inject(once, ENABLED, CONFIG)

    assert isinstance(decision, Refuse)
    assert decision.reason.value == "Conflict"

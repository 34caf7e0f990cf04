"""Which pods get a sidecar, and what is said about those that do not."""

import pytest
from tests.operator.pods import CONFIG, ENABLED, pod

from remora_operator.inject import Injection, InjectionConfig, Namespace, Refuse, Skip, inject

OTHER = Namespace("team")
DISABLED = Namespace("team", {"remora.dev/injection": "disabled"})
MIRROR = {"annotations": {"kubernetes.io/config.mirror": "x"}}


def _labelled(value: str, **metadata: object) -> dict:
    return pod(metadata={"labels": {"remora.dev/inject": value}, **metadata})


@pytest.mark.parametrize(
    ("given", "namespace", "reason"),
    [
        pytest.param(pod(), OTHER, "NotSelected", id="no label"),
        pytest.param(_labelled("yes"), OTHER, "NotSelected", id="label that means nothing"),
        pytest.param(_labelled("true"), OTHER, None, id="pod label"),
        pytest.param(pod(), ENABLED, None, id="namespace label"),
        pytest.param(_labelled("yes"), ENABLED, None, id="meaningless label in namespace"),
        pytest.param(_labelled("false"), ENABLED, "PodOptOut", id="pod opts out"),
        pytest.param(_labelled("true"), DISABLED, "NamespaceOptOut", id="namespace wins"),
        pytest.param(
            _labelled("true"), Namespace("kube-system"), "ExcludedNamespace", id="kube-system"
        ),
        pytest.param(
            _labelled("true"), Namespace("remora-system"), "ExcludedNamespace", id="our own"
        ),
        pytest.param(pod(), Namespace("x", chosen=True), None, id="the API server chose"),
        pytest.param(pod(), Namespace("x", None), None, id="namespace unknown"),
        pytest.param(_labelled("false"), Namespace("x", None), "PodOptOut", id="unknown, opt-out"),
        pytest.param(pod(os={"name": "windows"}), ENABLED, "Windows", id="Windows"),
        pytest.param(
            pod(nodeSelector={"kubernetes.io/os": "windows"}), ENABLED, "Windows", id="by selector"
        ),
        pytest.param(pod(metadata=MIRROR, nodeName="n"), ENABLED, "MirrorPod", id="mirror pod"),
        pytest.param(pod(metadata=MIRROR), ENABLED, None, id="a claim to be a mirror"),
        pytest.param(
            pod(metadata={"annotations": {"remora.dev/status": '{"mode":"transparent"}'}}),
            ENABLED,
            None,
            id="a claim to be injected",
        ),
    ],
)
def test_selection(given, namespace, reason):
    decision = inject(given, namespace, CONFIG)

    if reason is None:
        assert isinstance(decision, Injection)
        assert decision.operations
    else:
        assert isinstance(decision, Skip)
        assert decision.reason.value == reason
        assert decision.message


@pytest.mark.parametrize("value", ["yes", "True", ""])
def test_a_label_that_means_nothing_is_said(value):
    decision = inject(_labelled(value), OTHER, CONFIG)

    assert [w.kind.value for w in decision.warnings] == ["Label"]
    assert "'true' or 'false'" in decision.warnings[0].message


def test_a_namespace_label_that_means_nothing_is_said():
    decision = inject(pod(), Namespace("x", {"remora.dev/injection": "true"}), CONFIG)
    assert "means nothing" in decision.message


@pytest.mark.parametrize(
    ("verdict", "outcome"), [("refuse", Refuse), ("flag", Skip), ("allow", Skip)]
)
def test_the_nodes_network_is_never_touched(verdict, outcome):
    from remora_operator.inject.config import Hazard

    config = InjectionConfig(safety={Hazard.HOST_NETWORK: verdict})
    decision = inject(pod(hostNetwork=True), ENABLED, config)

    assert isinstance(decision, outcome)
    assert "hostNetwork" in decision.message

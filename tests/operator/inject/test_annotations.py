"""Annotations: what is read, what is refused with its reason, what is said."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.pods import CONFIG, ENABLED, annotated, environment, injected, named, pod

from remora_operator.inject import Injection, InjectionConfig, Refuse, inject
from remora_operator.inject.annotations import READ, WRITTEN
from remora_operator.inject.config import Network

PAGE = Path(__file__).parents[3] / "docs" / "injection.md"


@pytest.mark.parametrize(
    ("annotations", "variable", "value"),
    [
        pytest.param({"mode": "explicit"}, "REMORA_MODE", "explicit", id="explicit"),
        pytest.param({"mode": "transparent"}, "REMORA_MODE", "transparent", id="transparent"),
        pytest.param({"mode": "auto"}, "REMORA_MODE", "transparent", id="auto"),
        pytest.param(
            {"redirect_ports": "8443, 8000,8443"},
            "REMORA_REDIRECT_PORTS",
            "80,443,8000,8443",
            id="ports",
        ),
        pytest.param({"network_profile": "strict"}, "REMORA_NETWORK_PROFILE", "strict", id="net"),
        pytest.param({"log_level": "debug"}, "REMORA_LOG_LEVEL", "debug", id="log level"),
    ],
)
def test_what_is_asked_for_is_done(annotations, variable, value):
    assert environment(injected(annotated(**annotations)), "remora")[variable] == value


def test_the_overlay_can_be_switched_off_and_on():
    def overlaid(given, config=CONFIG):
        mounts = named(injected(given, config=config), "app")["volumeMounts"]
        return any(mount.get("subPath") == "bundle.pem" for mount in mounts)

    without = InjectionConfig(trust_overlay=False)
    assert overlaid(pod())
    assert not overlaid(annotated(trust_overlay="false"))
    assert not overlaid(pod(), without)
    assert overlaid(annotated(trust_overlay="true"), without)


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        pytest.param({"mode": "invisible"}, "auto, transparent or explicit", id="mode"),
        pytest.param({"mode": ""}, "auto, transparent or explicit", id="empty"),
        pytest.param({"trust_overlay": "no"}, "true or false", id="boolean"),
        pytest.param({"redirect_ports": "https"}, "ports between 1 and 65535", id="port name"),
        pytest.param({"redirect_ports": "0"}, "ports between 1 and 65535", id="port 0"),
        pytest.param({"redirect_ports": "1,,2"}, "ports between 1 and 65535", id="empty port"),
        pytest.param({"redirect_ports": "²"}, "ports between 1 and 65535", id="odd digit"),
        pytest.param({"redirect_ports": "15001"}, "sidecar's own", id="own port"),
        pytest.param({"network_profile": "lax"}, "default or strict", id="profile"),
        pytest.param({"log_level": "trace"}, "debug, info, warning or error", id="log level"),
    ],
)
def test_what_can_not_be_read_is_refused_with_its_reason(annotations, reason):
    decision = inject(annotated(**annotations), ENABLED, CONFIG)

    assert isinstance(decision, Refuse)
    assert decision.reason.value == "InvalidAnnotation"
    assert reason in decision.message
    assert next(iter(annotations)).replace("_", "-") in decision.message


def test_everything_unreadable_is_said_at_once():
    decision = inject(annotated(mode="x", log_level="y"), ENABLED, CONFIG)
    assert len(decision.causes) == 2


def test_a_value_that_is_no_text_is_refused():
    decision = inject(annotated(trust_overlay=False), ENABLED, CONFIG)
    assert isinstance(decision, Refuse)
    assert "quotes" in decision.message


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("remora.dev/mod", "did you mean 'remora.dev/mode'?"),
        ("remora.dev/trust_overlay", "did you mean 'remora.dev/trust-overlay'?"),
        ("remora.dev/inject", "is a label"),
    ],
)
def test_unknown_keys_are_said_with_the_nearest_known(key, hint):
    decision = inject(pod(metadata={"annotations": {key: "x"}}), ENABLED, CONFIG)

    assert isinstance(decision, Injection)
    [said] = [w for w in decision.warnings if w.kind.value == "UnknownAnnotation"]
    assert hint in said.message


@pytest.mark.parametrize("key", [*sorted(WRITTEN), "other.dev/mode", "sub.remora.dev/mode"])
def test_the_operators_own_and_foreign_keys_are_no_mistakes(key):
    decision = inject(pod(metadata={"annotations": {key: "anything"}}), ENABLED, CONFIG)
    assert isinstance(decision, Injection)
    assert decision.warnings == ()


def test_a_pod_can_be_stricter_than_the_cluster_and_never_laxer():
    strict = InjectionConfig(network=Network(profile="strict"))

    assert environment(injected(pod(), config=strict), "remora")["REMORA_NETWORK_PROFILE"] == (
        "strict"
    )
    decision = inject(annotated(network_profile="default"), ENABLED, strict)
    assert isinstance(decision, Refuse)
    assert "demands strict" in decision.message


@given(st.dictionaries(st.sampled_from(sorted(READ)), st.text(max_size=30), max_size=4))
def test_no_value_makes_it_raise(annotations):
    decision = inject(annotated(**annotations), ENABLED, CONFIG)
    assert isinstance(decision, Injection | Refuse)


def test_the_page_has_every_annotation():
    table = set(re.findall(r"^\| `remora\.dev/([a-z-]+)`", PAGE.read_text(), re.MULTILINE))
    assert table == {*READ, *(key.removeprefix("remora.dev/") for key in WRITTEN)}

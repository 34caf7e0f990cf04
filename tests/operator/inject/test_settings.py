"""The configuration as people write it."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from tests.operator.pods import environment, injected, pod

from remora.errors import ConfigError
from remora_operator.inject import InjectionConfig
from remora_operator.inject.config import SAFETY, Hazard, Network, Resources
from remora_operator.inject.settings import InjectionSettings, read_config

PAGE = Path(__file__).parents[3] / "docs" / "injection.md"

EVERYTHING = """
image: mirror.example/remora:1
imagePullPolicy: Always
mode: explicit
operatorAddress: op.x.svc:1
aggregatorAddress: none
excludedNamespaces: [kube-system, infra]
nativeSidecars: false
defaultPodSecurity: baseline
incapableRuntimeClasses: [kata]
sidecarUid: 1600
netinitAsRoot: false
resources:
  sidecar: {requests: {cpu: 10m, memory: 1Mi}, limits: {cpu: "0.5", memory: 2048Mi}}
  netinit: {requests: {cpu: 10m, memory: 1Mi}, limits: {cpu: "1", memory: 1Mi}}
  guaranteed: {requests: {cpu: "1", memory: 1Gi}, limits: {cpu: "1", memory: 1Gi}}
network: {redirectPorts: [8000], excludeCidrs: [10.0.0.0/8, "fd00::/8"], profile: strict}
trustOverlay: false
trustSource: clusterTrustBundle
bypass: [.svc]
upstreamCa: true
sidecarVariables: {REMORA_CONNECT_TO: "a:443:b:8443", OTEL_SDK_DISABLED: "true"}
statusListen: "[::]:15021"
startupSeconds: 60
dataSize: 3072Mi
tokenSeconds: 900
logLevel: debug
safety: {netRaw: refuse}
tolerated: {variables: [DD_ENV], mountPaths: [/dd], images: ["x:1"]}
"""


def test_without_a_word_all_is_as_documented():
    assert read_config("c.yaml", "") == InjectionConfig()
    assert read_config("c.yaml", "{}") == InjectionConfig()


def test_everything_can_be_set():
    config, default = read_config("c.yaml", EVERYTHING), InjectionConfig()

    same = [f.name for f in fields(config) if getattr(config, f.name) == getattr(default, f.name)]
    assert same == []
    assert config.network == Network((8000,), ("10.0.0.0/8", "fd00::/8"), "strict")
    assert config.sidecar_resources == Resources("10m", "0.5", "1Mi", "2Gi")
    assert config.data_size == "3Gi"
    assert config.safety == {**SAFETY, Hazard.NET_RAW: "refuse"}
    assert config.tolerated.variables > default.tolerated.variables
    assert environment(injected(pod(), config=config), "remora")["REMORA_CONNECT_TO"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("imag: x", "c.yaml:1:1 imag: unknown field; did you mean 'image'?"),
        ("mode: none", "c.yaml:1:1 mode: should be 'auto', 'transparent' or 'explicit'"),
        ("network: {excludeCidrs: [0.0.0.0/0]}", "excludes every address"),
        ("network: {excludeCidrs: [10.0.0.1/8]}", "should be a network"),
        ("network: {redirectPorts: [15001]}", "a port of the sidecar's own"),
        ("sidecarVariables: {REMORA_OPERATOR: x}", "is set by injection itself"),
        ("sidecarVariables: {LD_PRELOAD: x}", "should begin with REMORA_ or OTEL_"),
        ("sidecarUid: 0", "greater than or equal to 1"),
        ("dataSize: much", "should be a size"),
        ("dataSize: 0Mi", "more than nothing"),
        ("operatorAddress: nowhere", "is not host:port"),
        ("statusListen: 127.0.0.1:15021", "statusListen"),
        ("safety: {netRaw: ignore}", "should be 'refuse', 'flag' or 'allow'"),
        ("a: 1\n---\nb: 2", "one document only"),
        ("- x", "should be a mapping"),
        ("a: [", "not YAML"),
        (
            "resources: {guaranteed: {requests: {cpu: 1m, memory: 1Mi}, "
            "limits: {cpu: 2m, memory: 1Mi}}}",
            "requests should equal limits",
        ),
        (
            "resources: {sidecar: {requests: {cpu: lots, memory: 1Mi}, "
            "limits: {cpu: 2m, memory: 1Mi}}}",
            "should be CPUs such as",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, problem):
    with pytest.raises(ConfigError) as caught:
        read_config("c.yaml", text)
    assert problem in str(caught.value)
    assert all(p.where.startswith("c.yaml") for p in caught.value.problems)


def test_the_page_has_every_setting():
    section = PAGE.read_text().partition("## Configuration")[2]
    table = re.findall(r"^\| `([a-zA-Z.]+)`", section, re.MULTILINE)
    names = [field.alias for field in InjectionSettings.model_fields.values()]
    assert list(dict.fromkeys(name.partition(".")[0] for name in table)) == names


def test_the_page_has_every_hazard_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (refuse|flag) \|$", PAGE.read_text(), re.MULTILINE))
    assert rows == {hazard.value: verdict for hazard, verdict in SAFETY.items()}

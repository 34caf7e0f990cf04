"""For which hosts a certificate must be good."""

import pytest

from remora.providers import Provider, ProviderRegistry
from remora.providers.certificate_hosts import certificate_hosts
from remora.providers.hosts import HostForm, HostPattern


def _provider(*hosts, tls=True):
    return Provider("p", tuple(HostPattern.parse(host) for host in hosts), tls=tls)


def test_every_built_in_provider_can_be_expressed_without_a_glob():
    hosts = certificate_hosts(ProviderRegistry.builtin())
    assert HostForm.GLOB not in {HostPattern.parse(host).form for host in hosts}
    assert len(hosts) == len(set(hosts)) > 300


@pytest.mark.parametrize(
    "host",
    [
        "api.openai.com",
        "*.openai.azure.com",
        "us-central1-aiplatform.googleapis.com",
        "aiplatform.googleapis.com",
        "bedrock-runtime.eu-central-1.amazonaws.com",
        "bedrock-runtime.us-gov-west-1.api.aws",
        "*.bedrock-mantle.us-east-1.vpce.amazonaws.com",
        "bedrock-runtime.cn-north-1.amazonaws.com.cn",
        "bedrock-runtime.eusc-de-east-1.amazonaws.eu",
        "aws-external-anthropic.us-east-1.api.aws",
    ],
)
def test_hosts_of_built_in_providers_are_among_them(host):
    assert host in certificate_hosts(ProviderRegistry.builtin())


def test_every_host_that_is_written_out_is_one_of_its_providers():
    registry = ProviderRegistry.builtin()
    for provider in registry:
        for host in certificate_hosts([provider]):
            assert registry.match_tls(host.replace("*", "x")) is provider


def test_regions_of_one_cloud_name_no_hosts_of_another():
    hosts = certificate_hosts(ProviderRegistry.builtin())
    assert [h for h in hosts if "cn-north-1" in h and not h.endswith(".cn")] == []


def test_providers_without_tls_need_none():
    assert certificate_hosts([_provider("llm.local", "10.0.0.1", tls=False)]) == ()


def test_names_are_sorted_and_stand_once():
    providers = [_provider("b.example", "*.a.example"), _provider("b.example")]
    assert certificate_hosts(providers) == ("*.a.example", "b.example")


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("10.0.0.1", "address"),
        ("x.*.example.com", "not known"),
        ("a.*.*.amazonaws.com", "only one"),
    ],
)
def test_what_no_certificate_can_express_is_refused(host, why):
    with pytest.raises(ValueError, match=why):
        certificate_hosts([_provider(host)])

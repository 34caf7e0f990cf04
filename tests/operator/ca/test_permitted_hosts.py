"""From hosts to name constraints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import ConfigError
from remora.providers import ProviderRegistry
from remora.providers.certificate_hosts import certificate_hosts
from remora_operator.ca.permitted_hosts import (
    HOSTS_EACH,
    MAX_HOSTS,
    added_hosts,
    constraint_groups,
    covers,
)

_label = st.text("abcxyz0189", min_size=1, max_size=8)
_name = st.lists(_label, min_size=1, max_size=4).map(lambda labels: ".".join((*labels, "example")))
_host = st.builds(lambda name, wide: f"*.{name}" if wide else name, _name, st.booleans())


@pytest.mark.parametrize(
    ("hosts", "constraints"),
    [
        pytest.param([], [], id="none"),
        pytest.param(["api.openai.com"], ["api.openai.com"], id="exact"),
        pytest.param(["*.openai.azure.com"], ["openai.azure.com"], id="below"),
        pytest.param(["api.openai.com", "*.api.openai.com"], ["api.openai.com"], id="both"),
        pytest.param(["a.b.example", "b.example"], ["b.example"], id="below another"),
        pytest.param(["ab.example", "b.example"], ["ab.example", "b.example"], id="not below"),
        pytest.param(["API.OpenAI.com."], ["api.openai.com"], id="spelled otherwise"),
        pytest.param(["vllm"], ["vllm"], id="a service of the namespace"),
        pytest.param(["my_llm.ns.svc"], ["my_llm.ns.svc"], id="an underscore"),
        pytest.param(["vllm.ml.svc.cluster.local"], ["vllm.ml.svc.cluster.local"], id="a service"),
    ],
)
def test_hosts_become_constraints(hosts, constraints):
    assert [name for group in constraint_groups(hosts) for name in group] == constraints


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("10.0.0.1", "address"),
        ("::1", "address"),
        ("bedrock.*.amazonaws.com", "leading"),
        ("com", "anyone may own"),
        ("*.com", "anyone may own"),
        ("co.uk", "anyone may own"),
        ("*.github.io", "anyone may own"),
        ("ai", "anyone may own"),
        ("cluster.local", "name the service"),
        ("*.svc.cluster.local", "name the service"),
        ("", "1 to 253"),
        ("a..b", "without scheme"),
        ("https://api.openai.com", "without scheme"),
        ("bücher.example", "punycode"),
        ("*", "."),
    ],
)
def test_hosts_that_no_certificate_may_be_for_are_refused(host, why):
    with pytest.raises(ConfigError, match=why):
        constraint_groups(["api.openai.com", host])


def test_every_wrong_host_is_named():
    with pytest.raises(ConfigError) as refused:
        constraint_groups(["com", "10.0.0.1", "api.openai.com"])
    assert [problem.where for problem in refused.value.problems] == ["'com'", "'10.0.0.1'"]


def test_too_many_hosts_are_refused():
    with pytest.raises(ConfigError, match="more than the"):
        constraint_groups(f"h{number}.example.com" for number in range(MAX_HOSTS + 1))


def test_the_hosts_of_all_built_in_providers_stand_in_small_groups():
    hosts = certificate_hosts(ProviderRegistry.builtin())
    groups = constraint_groups(hosts)
    assert max(map(len, groups)) == HOSTS_EACH
    assert all(any(covers(group, host) for group in groups) for host in hosts)
    [openai] = [group for group in groups if covers(group, "api.openai.com")]
    assert sum(map(len, openai)) < 1500


@given(st.lists(_host, max_size=120), st.randoms())
def test_the_same_hosts_give_the_same_groups_and_each_is_covered_once(hosts, random):
    groups = constraint_groups(hosts)
    shuffled = [*hosts, *hosts[:3]]
    random.shuffle(shuffled)
    assert constraint_groups(shuffled) == groups
    for host in hosts:
        assert sum(covers(group, host) for group in groups) == 1
    names = [name for group in groups for name in group]
    assert set(names) <= {host.removeprefix("*.") for host in hosts}


@given(st.lists(_host, max_size=20), _name)
def test_what_is_covered_is_a_host_or_below_one(hosts, name):
    bases = {host.removeprefix("*.") for host in hosts}
    expected = any(name == base or name.endswith("." + base) for base in bases)
    assert any(covers(group, name) for group in constraint_groups(hosts)) is expected


@pytest.mark.parametrize(
    ("held", "wanted", "added"),
    [
        pytest.param([], [], (), id="nothing"),
        pytest.param(["a.example"], ["a.example"], (), id="the same"),
        pytest.param(["a.example"], ["a.example", "b.example"], ("b.example",), id="one more"),
        pytest.param(["a.example", "b.example"], ["a.example"], (), id="one less"),
        pytest.param(["*.example"], ["x.example"], (), id="below what is held"),
        pytest.param(["a.example"], ["*.a.example"], (), id="below an exact name"),
        pytest.param(["x.a.example"], ["*.a.example"], ("*.a.example",), id="wider"),
    ],
)
def test_a_new_certificate_is_needed_for_added_hosts_alone(held, wanted, added):
    assert added_hosts(held, wanted) == added

"""The environment of an agent: additive, and honest about what stands in the way."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.trust import (
    BUNDLE_FILE,
    CA_FILE,
    LOCAL_HOSTS,
    TRUST_VARIABLES,
    TRUSTSTORE_FILE,
    agent_environment,
)

TRUST = PurePosixPath("/run/remora/trust")
PROXY = "http://sess_1@127.0.0.1:15001"


def _plan(existing=None, proxy=PROXY, **options):
    return agent_environment(TRUST, proxy, existing or {}, **options)


def test_a_bare_environment_gets_everything():
    plan = _plan()
    assert plan.kept == ()
    for name, file in TRUST_VARIABLES.items():
        assert plan.added[name] == f"{TRUST}/{file}"
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        assert plan.added[name] == "http://sess_1:x@127.0.0.1:15001"
    assert plan.added["NODE_USE_ENV_PROXY"] == "1"
    assert set(plan.added["NO_PROXY"].split(",")) >= set(LOCAL_HOSTS)
    assert f"trustStore={TRUST}/{TRUSTSTORE_FILE}" in plan.added["JAVA_TOOL_OPTIONS"]


@pytest.mark.parametrize("name", TRUST_VARIABLES)
def test_programs_that_replace_their_roots_get_them_all_and_the_others_ours_alone(name):
    adds = name in ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
    assert TRUST_VARIABLES[name] == (CA_FILE if adds else BUNDLE_FILE)


def test_redirected_traffic_needs_no_proxy():
    added = _plan(proxy=None).added
    assert not [name for name in added if "proxy" in name.lower()]
    assert "proxyHost" not in added["JAVA_TOOL_OPTIONS"]


@pytest.mark.parametrize("name", [*TRUST_VARIABLES, "NODE_USE_ENV_PROXY"])
def test_what_the_caller_set_stays_and_is_said(name):
    plan = _plan({name: "mine"})
    assert name not in plan.added
    assert [kept for kept, _ in plan.kept] == [name]


def test_a_callers_proxy_stays_in_both_spellings():
    plan = _plan({"https_proxy": "http://corporate:3128"})
    assert not {"HTTPS_PROXY", "https_proxy"} & plan.added.keys()
    assert "http_proxy" in plan.added
    assert any(name == "https_proxy" for name, _ in plan.kept)


def test_lists_are_added_to():
    added = _plan({"NO_PROXY": "intra.example,.corp"}, bypass=["agg.example"]).added
    assert added["NO_PROXY"].split(",") == ["intra.example", ".corp", *LOCAL_HOSTS, "agg.example"]
    assert added["no_proxy"] == added["NO_PROXY"]


def test_a_bypass_of_everything_is_left_and_said():
    plan = _plan({"NO_PROXY": "*"})
    assert "NO_PROXY" not in plan.added
    assert any("every host" in reason for _, reason in plan.kept)


def test_java_options_are_added_to_and_a_store_of_the_callers_stays():
    added = _plan({"JAVA_TOOL_OPTIONS": "-Xmx1g"}).added["JAVA_TOOL_OPTIONS"]
    assert added.startswith("-Xmx1g -Djavax.net.ssl.trustStore=")
    plan = _plan({"JAVA_TOOL_OPTIONS": "-Djavax.net.ssl.trustStore=/mine"})
    assert plan.added["JAVA_TOOL_OPTIONS"].count("trustStore=") == 1
    assert any(name == "JAVA_TOOL_OPTIONS" for name, _ in plan.kept)


def test_a_folder_with_blanks_is_quoted_for_java():
    plan = agent_environment(PurePosixPath("/my trust"), None, {})
    assert (
        '"-Djavax.net.ssl.trustStore=/my trust/truststore.p12"' in plan.added["JAVA_TOOL_OPTIONS"]
    )


@given(st.dictionaries(st.sampled_from([*TRUST_VARIABLES, "NO_PROXY", "HTTPS_PROXY", "PATH"]),
                       st.text("abc/:.,", max_size=20)))  # fmt: skip
def test_planning_twice_changes_nothing_more(existing):
    first = _plan(existing)
    second = _plan({**existing, **first.added})
    assert second.added == {}


def test_every_variable_is_on_the_page():
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()
    assert [name for name in _plan().added if f"`{name.upper()}" not in page] == []

"""How a session's variables meet those that are there: two merges, as tables."""

import os
import shutil
import subprocess

import pytest

from remora.tracker.active import ProviderHosts
from remora.tracker.children import (
    explicit_environment,
    inherited_environment,
    session_environment,
)
from remora.tracker.children.environment import leading_elsewhere
from remora.trust import LOCAL_HOSTS, TRUST_VARIABLES

LOCAL = ",".join(LOCAL_HOSTS)
PROXY = "http://sess_a:x@127.0.0.1:15999"
PROXY_NAMES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
LOCAL_MODEL = ProviderHosts(("127.0.0.1",), (11434,), tls=False)


def test_a_session_has_every_variable_of_the_trust_matrix(session) -> None:
    environment = session_environment(session)
    folder = session.sidecar.trust_dir

    assert {name: environment[name] for name in TRUST_VARIABLES} == {
        name: f"{folder}/{file}" for name, file in TRUST_VARIABLES.items()
    }
    assert {environment[name] for name in PROXY_NAMES} == {PROXY}
    assert environment["NODE_USE_ENV_PROXY"] == "1"
    assert environment["NO_PROXY"] == environment["no_proxy"] == LOCAL
    assert "-Djavax.net.ssl.trustStore=" in environment["JAVA_TOOL_OPTIONS"]
    assert environment.keys() == {
        *TRUST_VARIABLES, *PROXY_NAMES, "NODE_USE_ENV_PROXY", "NO_PROXY", "no_proxy",
        "JAVA_TOOL_OPTIONS",
    }  # fmt: skip


INHERITED = {
    "nothing": ({}, {"HTTPS_PROXY": PROXY, "NO_PROXY": LOCAL}),
    "what is not ours stays": ({"PATH": "/bin", "A": ""}, {"PATH": "/bin", "A": ""}),
    "a proxy is replaced": ({"HTTPS_PROXY": "http://corp:1"}, {"HTTPS_PROXY": PROXY}),
    "in the other spelling too": ({"https_proxy": "http://corp:1"}, {"https_proxy": PROXY}),
    "a switched-off proxy is replaced": ({"http_proxy": ""}, {"http_proxy": PROXY}),
    "ALL_PROXY stays": ({"ALL_PROXY": "socks5://corp:1"}, {"ALL_PROXY": "socks5://corp:1"}),
    "Node's switch is replaced": ({"NODE_USE_ENV_PROXY": "0"}, {"NODE_USE_ENV_PROXY": "1"}),
    "a bypass is extended": ({"NO_PROXY": "intra,.corp"}, {"NO_PROXY": f"intra,.corp,{LOCAL}"}),
    "in both spellings": ({"no_proxy": "intra"}, {"NO_PROXY": f"intra,{LOCAL}"}),
    "each spelling keeps its own": (
        {"no_proxy": "a", "NO_PROXY": "b"}, {"no_proxy": f"a,{LOCAL}", "NO_PROXY": f"b,{LOCAL}"}),
    "blanks part entries": ({"NO_PROXY": "a b,c"}, {"NO_PROXY": f"a,b,c,{LOCAL}"}),
    "a bypass of all is dropped": ({"NO_PROXY": "*"}, {"NO_PROXY": LOCAL, "no_proxy": LOCAL}),
    "and alone dropped": ({"NO_PROXY": "intra, *"}, {"NO_PROXY": f"intra,{LOCAL}"}),
    "of a provider": ({"NO_PROXY": "API.openai.com.,a"}, {"NO_PROXY": f"a,{LOCAL}"}),
    "of a provider's port": ({"NO_PROXY": "api.openai.com:443,a"}, {"NO_PROXY": f"a,{LOCAL}"}),
    "of its domain": ({"NO_PROXY": ".openai.com,a"}, {"NO_PROXY": f"a,{LOCAL}"}),
    "of a glob of its domain": ({"NO_PROXY": "*.com,a"}, {"NO_PROXY": f"a,{LOCAL}"}),
    "of one below its domain": ({"NO_PROXY": "me.openai.azure.com"}, {"NO_PROXY": LOCAL}),
    "not of a name that ends alike": ({"NO_PROXY": "i.com"}, {"NO_PROXY": f"i.com,{LOCAL}"}),
    "IPv6 and networks stay": (
        {"NO_PROXY": "[fd00::1]:80,fd00::2,10.0.0.0/8"},
        {"NO_PROXY": f"[fd00::1]:80,fd00::2,10.0.0.0/8,{LOCAL}"}),
}  # fmt: skip


@pytest.mark.parametrize(("inherited", "expected"), INHERITED.values(), ids=INHERITED)
def test_the_session_wins_over_what_is_inherited(session, inherited, expected) -> None:
    merged = inherited_environment(session, inherited)

    assert {name: merged[name] for name in expected} == expected
    assert merged.keys() == session_environment(session).keys() | inherited.keys()


@pytest.mark.parametrize("name", TRUST_VARIABLES)
def test_a_ca_that_is_inherited_is_replaced(session, name) -> None:
    merged = inherited_environment(session, {name: "/corp.pem"})

    assert merged[name] == f"{session.sidecar.trust_dir}/{TRUST_VARIABLES[name]}"


EXPLICIT = {
    "an empty one": {},
    "what is not ours": {"PATH": "/bin"},
    "a proxy": {"HTTPS_PROXY": "http://corp:1"},
    "no proxy at all": {"HTTPS_PROXY": "", "https_proxy": ""},
    "a bypass of all": {"NO_PROXY": "*"},
    "a bypass": {"no_proxy": "intra"},
    "a CA": {"SSL_CERT_FILE": "/mine.pem"},
    "Java's options": {"JAVA_TOOL_OPTIONS": "-Xmx1g"},
    "values that are no text": {"A": 1},
}


@pytest.mark.parametrize("env", EXPLICIT.values(), ids=EXPLICIT)
def test_what_is_explicit_stays_as_it_is(session, env) -> None:
    assert explicit_environment(session, env) == {**session_environment(session), **env}


ELSEWHERE = {
    "nothing": ({}, []),
    "what is not ours": ({"PATH": "/bin"}, []),
    "more hosts to reach without": ({"NO_PROXY": "intra, b"}, []),
    "all of them": ({"NO_PROXY": "*"}, ["NO_PROXY"]),
    "a provider's": ({"no_proxy": "a,.openai.com"}, ["no_proxy"]),
    "a proxy and a CA": (
        {b"https_proxy": b"", "SSL_CERT_FILE": "/a"}, ["SSL_CERT_FILE", "https_proxy"]),
    "Java's options": ({"JAVA_TOOL_OPTIONS": "-Xmx1g"}, []),
    "our own proxy": ({"HTTPS_PROXY": PROXY}, []),
    "another session's": ({"HTTPS_PROXY": "http://sess_b:x@127.0.0.1:15999"}, []),
    "another sidecar's": ({"HTTPS_PROXY": "http://sess_a:x@127.0.0.1:1"}, ["HTTPS_PROXY"]),
}  # fmt: skip


@pytest.mark.parametrize(("env", "expected"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_leads_calls_elsewhere_is_found(session, env, expected) -> None:
    assert sorted(leading_elsewhere(session, env)) == expected


def test_names_in_bytes_are_the_same_names(session) -> None:
    merged = explicit_environment(session, {b"HTTPS_PROXY": b"http://corp:1"})

    assert merged[b"HTTPS_PROXY"] == b"http://corp:1"
    assert "HTTPS_PROXY" not in merged
    assert merged["https_proxy"] == PROXY


@pytest.mark.parametrize("env", [5, "A=1", [("A", "1")], {5: "1"}], ids=repr)
def test_what_is_no_environment_is_a_type_error(session, env) -> None:
    with pytest.raises(TypeError):
        explicit_environment(session, env)


@pytest.mark.parametrize("merge", [inherited_environment, explicit_environment])
def test_merging_twice_is_merging_once(session, merge) -> None:
    once = merge(session, {"NO_PROXY": "intra", "JAVA_TOOL_OPTIONS": "-Xmx1g", "no_proxy": "b"})

    assert merge(session, once) == once
    assert explicit_environment(session, once) == once


def test_merging_changes_neither_what_it_was_given(session) -> None:
    given = {"NO_PROXY": "*", "A": "1"}
    inherited_environment(session, given)
    explicit_environment(session, given)

    assert given == {"NO_PROXY": "*", "A": "1"}


def test_a_provider_on_this_machine_is_not_bypassed(session_of) -> None:
    session = session_of(providers=(LOCAL_MODEL,))
    merged = inherited_environment(session, {"NO_PROXY": "127.0.0.0/8,intra"})

    assert merged["NO_PROXY"] == merged["no_proxy"] == "intra,localhost,::1"


def test_javas_options_are_added_to_and_the_last_session_wins(session_of) -> None:
    first = inherited_environment(session_of("sess_a"), {"JAVA_TOOL_OPTIONS": "-Xmx1g"})
    ours = session_environment(session_of("sess_a"))["JAVA_TOOL_OPTIONS"]

    assert first["JAVA_TOOL_OPTIONS"] == f"-Xmx1g {ours}"


@pytest.mark.skipif(shutil.which("java") is None, reason="there is no java here")
def test_java_takes_the_sessions_options_over_those_before(session) -> None:
    shell = {**os.environ, "JAVA_TOOL_OPTIONS": "-Dhttps.proxyPort=1 -Da.b=mine"}
    environment = inherited_environment(session, shell)
    shown = subprocess.run(
        ["java", "-XshowSettings:properties", "-version"],
        env=environment, capture_output=True, text=True, check=True, timeout=100,
    ).stderr  # fmt: skip

    assert "https.proxyPort = 15999" in shown
    assert "a.b = mine" in shown

"""Every container of the user's trusts the sidecar, and keeps what its author set."""

from pathlib import PurePosixPath

import pytest
from tests.operator.pods import (
    CONFIG,
    ENABLED,
    annotated,
    container,
    environment,
    injected,
    named,
    pod,
)

from remora.trust import LOCAL_HOSTS, agent_environment
from remora_operator.inject import Injection, Namespace, Refuse, inject
from remora_operator.inject.config import PolicyNeeds, bypass_for
from remora_operator.inject.layout import OVERLAY_FILES

TRUST = PurePosixPath("/run/remora/trust")
EXPLICIT = {"annotations": {"remora.dev/mode": "explicit"}}


def _env(*variables, metadata=None):
    return pod(container(env=list(variables)), metadata=metadata)


def _literal(name, value):
    return {"name": name, "value": value}


def _reference(name):
    return {"name": name, "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}


def _warned(given, kind="TrustConflict"):
    decision = inject(given, ENABLED, CONFIG)
    assert isinstance(decision, Injection), decision
    return [w.message for w in decision.warnings if w.kind.value == kind]


@pytest.mark.parametrize("name", ["app", "init", "proxy"])
def test_init_containers_and_native_sidecars_trust_too(name):
    inits = [container("init"), container("proxy", restartPolicy="Always")]
    given = injected(pod(initContainers=inits))

    assert environment(given, name) == agent_environment(TRUST, None, {}).added
    mounts = named(given, name)["volumeMounts"]
    assert [m["mountPath"] for m in mounts] == [str(TRUST), *OVERLAY_FILES]
    assert all(m["readOnly"] and m["name"] == "remora-trust" for m in mounts)
    assert {m.get("subPath") for m in mounts[1:]} == {"bundle.pem"}


def test_explicit_mode_sets_the_proxy_and_what_goes_past_it():
    variables = environment(injected(annotated(mode="explicit")))

    assert variables["HTTPS_PROXY"] == variables["http_proxy"] == "http://127.0.0.1:15001"
    bypass = variables["NO_PROXY"].split(",")
    assert set(bypass) >= {*LOCAL_HOSTS, "$(KUBERNETES_SERVICE_HOST)", ".svc", ".cluster.local"}
    assert "proxyHost=127.0.0.1" in variables["JAVA_TOOL_OPTIONS"]


@pytest.mark.parametrize(
    ("hosts", "left_out"),
    [
        ((), set()),
        (("api.openai.com",), set()),
        (("vllm.ml.svc.cluster.local",), {".cluster.local"}),
        (("*.ml.svc",), {".svc"}),
    ],
    ids=["none", "outside", "full name", "short pattern"],
)
def test_no_suffix_goes_past_the_proxy_that_a_provider_ends_with(hosts, left_out):
    namespace = Namespace("team", chosen=True, needs=lambda _: PolicyNeeds(hosts=hosts))
    given = injected(annotated(mode="explicit"), namespace)

    bypass = set(environment(given)["NO_PROXY"].split(","))
    assert {".svc", ".cluster.local"} - bypass == left_out
    assert bypass_for(CONFIG.bypass, hosts) == tuple(
        entry for entry in CONFIG.bypass if entry not in left_out
    )


@pytest.mark.parametrize(
    "name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE"]
)
@pytest.mark.parametrize(
    "variable",
    [lambda n: _literal(n, "/mine.pem"), lambda n: _literal(n, ""), lambda n: {"name": n},
     _reference],
    ids=["literal", "empty", "no value", "reference"],
)  # fmt: skip
def test_what_the_user_set_stays_and_is_said(name, variable):
    given = _env(variable(name))

    once = named(injected(given), "app")["env"]

    assert once[0] == variable(name)
    assert [v["name"] for v in once].count(name) == 1
    [said] = _warned(given)
    assert name in said


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize(
    "variable",
    [lambda n: _literal(n, "http://corporate:3128"), _reference],
    ids=["literal", "reference"],
)
def test_a_proxy_of_the_users_stays_in_both_spellings(name, variable):
    given = _env(variable(name), metadata=EXPLICIT)

    variables = named(injected(given), "app")["env"]

    assert [v["name"] for v in variables if v["name"].lower() == "https_proxy"] == [name]
    assert any(name in said for said in _warned(given))


def test_option_strings_are_appended_to_where_they_stand():
    given = _env(
        _literal("BASE", "-Xmx1g"),
        _literal("JAVA_TOOL_OPTIONS", "$(BASE) -Dx=y"),
        _literal("LATER", "$(JAVA_TOOL_OPTIONS)"),
    )
    variables = named(injected(given), "app")["env"]

    assert [v["name"] for v in variables[:3]] == ["BASE", "JAVA_TOOL_OPTIONS", "LATER"]
    assert variables[1]["value"].startswith("$(BASE) -Dx=y -Djavax.net.ssl.trustStore=")
    assert variables[2]["value"] == "$(JAVA_TOOL_OPTIONS)"


def test_a_reference_can_not_be_appended_to_and_is_said():
    given = _env(_reference("JAVA_TOOL_OPTIONS"), _reference("NO_PROXY"), metadata=EXPLICIT)

    variables = named(injected(given), "app")["env"]

    assert variables[:2] == [_reference("JAVA_TOOL_OPTIONS"), _reference("NO_PROXY")]
    other = next(v["value"] for v in variables if v["name"] == "no_proxy")
    assert other.startswith("$(NO_PROXY),localhost,")
    assert {said.split(": ")[1].split()[0] for said in _warned(given)} == {
        "JAVA_TOOL_OPTIONS",
        "NO_PROXY",
    }
    assert inject(injected(given), ENABLED, CONFIG).operations == ()


def test_of_a_variable_set_twice_the_last_counts():
    given = _env(_literal("JAVA_TOOL_OPTIONS", "-Da"), _literal("JAVA_TOOL_OPTIONS", "-Db"))

    first, second, *_ = named(injected(given), "app")["env"]

    assert first["value"] == "-Da"
    assert second["value"].startswith("-Db -Djavax.net.ssl")


def test_sources_that_can_not_be_seen_are_said():
    given = pod(container(envFrom=[{"configMapRef": {"name": "c"}}]))
    [said] = _warned(given, "UnseenVariables")
    assert "app" in said


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        pytest.param("/etc/ssl/certs", {OVERLAY_FILES[0]}, id="folder"),
        pytest.param("/etc/ssl/certs/", {OVERLAY_FILES[0]}, id="with a slash"),
        pytest.param("/etc/ssl", {OVERLAY_FILES[0], OVERLAY_FILES[1], OVERLAY_FILES[4]}, id="tree"),
        pytest.param("/etc/ssl/certs/ca-certificates.crt", {OVERLAY_FILES[0]}, id="file"),
        pytest.param("/etc/ssl/certs2", set(), id="a name that only begins so"),
        pytest.param("/etc/ssl/certs/own.crt", set(), id="beside it"),
    ],
)
def test_the_users_own_bundle_is_not_covered(path, hidden):
    given = pod(container(volumeMounts=[{"name": "v", "mountPath": path}]), volumes=[
        {"name": "v", "configMap": {"name": "roots"}}
    ])  # fmt: skip
    mounts = named(injected(given), "app")["volumeMounts"]

    ours = {m["mountPath"] for m in mounts if m["name"] == "remora-trust"}
    assert ours == {str(TRUST), *OVERLAY_FILES} - hidden
    assert len(_warned(given, "TrustOverlay")) == bool(hidden)


@pytest.mark.parametrize(
    ("path", "volume", "read_only", "refused"),
    [
        pytest.param("/run", {"emptyDir": {}}, False, False, id="writable parent"),
        pytest.param("/run", {"emptyDir": {}}, True, True, id="read-only parent"),
        pytest.param("/var/run", {"configMap": {"name": "c"}}, False, True, id="ConfigMap above"),
        pytest.param("/run/remora/trust", {"emptyDir": {}}, False, True, id="in its place"),
        pytest.param("/var/run/remora/trust/x", {"emptyDir": {}}, False, True, id="inside"),
        pytest.param("/run/remora", {"emptyDir": {}}, False, False, id="beside"),
        pytest.param("/", {"emptyDir": {}}, True, True, id="root"),
        pytest.param("/run/remora/trust2", {"secret": {}}, True, False, id="alike"),
    ],
)
def test_a_mount_that_leaves_no_place_for_the_trust_files_is_refused(
    path, volume, read_only, refused
):
    mount = {"name": "v", "mountPath": path, "readOnly": read_only}
    given = pod(container(volumeMounts=[mount]), volumes=[{"name": "v", **volume}])

    decision = inject(given, ENABLED, CONFIG)

    assert isinstance(decision, Refuse if refused else Injection)
    if refused:
        assert decision.reason.value == "TrustMount"
        assert path in decision.message

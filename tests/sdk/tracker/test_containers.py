"""What agents in containers of their own are started with."""

import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from remora.tracker.active import ActiveSession, ProviderHosts, SidecarAccess
from remora.tracker.containers import compose_fragment, docker_args, pod_fragment
from remora.trust import TRUST_VARIABLES

INSIDE = "/run/remora/trust"
OPENAI = ProviderHosts(("api.openai.com",), (443,), tls=True)
Make = Callable[..., ActiveSession]


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    """A trust folder as a sidecar writes it."""
    folder = tmp_path / "trust"
    folder.mkdir()
    for name in ("ca.pem", "bundle.pem"):
        (folder / name).write_text("-----BEGIN CERTIFICATE-----\n")
    (folder / "truststore.p12").write_bytes(b"\x30\x82")
    return folder


@pytest.fixture
def session_of(trust: Path) -> Make:
    """Give what makes a session of a sidecar at a host."""

    def make(host: str = "127.0.0.1", folder: Path = trust) -> ActiveSession:
        sidecar = SidecarAccess(
            proxy_host=host, proxy_port=15001, ca_pem="a CA", ca_file=str(folder / "ca.pem"),
            bundle_file=str(folder / "bundle.pem"), trust_dir=str(folder), providers=(OPENAI,),
        )  # fmt: skip
        return ActiveSession("sess_a", sidecar)

    return make


def _options(args: list[str]) -> dict[str, list[str]]:
    """Sort arguments by option; each has a value of its own."""
    assert len(args) % 2 == 0
    options: dict[str, list[str]] = {}
    for name, value in zip(args[::2], args[1::2], strict=True):
        options.setdefault(name, []).append(value)
    return options


def _environment(options: dict[str, list[str]]) -> dict[str, str]:
    return dict(variable.split("=", 1) for variable in options["-e"])


def _yaml(text: str) -> Any:
    return YAML(typ="safe").load(io.StringIO(text))


def _assert_is_whole(environment: dict[str, str], host: str) -> None:
    assert {name: environment[name] for name in TRUST_VARIABLES} == {
        name: f"{INSIDE}/{file}" for name, file in TRUST_VARIABLES.items()
    }
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        assert environment[name] == f"http://sess_a:x@{host}:15001"
    assert f"trustStore={INSIDE}/truststore.p12" in environment["JAVA_TOOL_OPTIONS"]
    assert f"-Dhttps.proxyHost={host.strip('[]')} " in environment["JAVA_TOOL_OPTIONS"]


HOSTS = {
    "loopback": ("127.0.0.1", "127.0.0.1"),
    "every address": ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - nothing listens
    "every IPv6 address": ("::", "127.0.0.1"),
    "IPv6": ("fd00::1", "[fd00::1]"),
    "a gateway": ("gateway.example", "gateway.example"),
}


@pytest.mark.parametrize(("host", "reached"), HOSTS.values(), ids=HOSTS)
def test_a_container_on_the_machines_network_has_the_session(
    session_of, trust, host, reached
) -> None:
    options = _options(docker_args(session_of(host)))

    assert options.keys() == {"--network", "-v", "-e"}
    assert options["--network"] == ["host"]
    assert options["-v"] == [f"{trust}:{INSIDE}:ro"]
    _assert_is_whole(_environment(options), reached)


BRIDGED = {
    "every address": ("0.0.0.0", "host.docker.internal"),  # noqa: S104 - nothing listens
    "every IPv6 address": ("::", "host.docker.internal"),
    "one address": ("192.0.2.7", "192.0.2.7"),
    "a gateway": ("gateway.example", "gateway.example"),
}


@pytest.mark.parametrize(("host", "reached"), BRIDGED.values(), ids=BRIDGED)
def test_a_container_on_a_bridge_reaches_the_sidecar_by_another_name(
    session_of, trust, host, reached
) -> None:
    options = _options(docker_args(session_of(host), network="bridge"))

    is_renamed = reached == "host.docker.internal"
    expected = ["host.docker.internal:host-gateway"] if is_renamed else None
    assert options.get("--add-host") == expected
    assert options["--network"] == ["bridge"]
    assert options["-v"] == [f"{trust}:{INSIDE}:ro"]
    _assert_is_whole(_environment(options), reached)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST."])
def test_a_bridged_container_can_not_reach_loopback(session_of, host) -> None:
    with pytest.raises(ValueError, match=r'network="host", or .* REMORA_GATEWAY_URL'):
        docker_args(session_of(host), network="bridge")


def test_a_folder_below_the_working_directory_is_mounted_by_its_whole_path(
    session_of, trust, monkeypatch
) -> None:
    monkeypatch.chdir(trust.parent)

    assert f"{trust}:{INSIDE}:ro" in docker_args(session_of(folder=Path("trust")))


KEYS = {
    "a PEM key": ("ca.pem", b"-----BEGIN CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\n"),
    "a key beside": ("mitmproxy-ca.pem", b"-----BEGIN PRIVATE KEY-----\n"),
    "a key deeper": ("more/one.txt", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
    "a key by its name": ("ca.key", b"\x30"),
    "a PKCS12 file": ("ca.p12", b"\x30"),
}


@pytest.mark.parametrize("make", [docker_args, compose_fragment], ids=["docker", "compose"])
@pytest.mark.parametrize(("name", "content"), KEYS.values(), ids=KEYS)
def test_a_folder_with_a_key_is_refused(session_of, trust, make, name, content) -> None:
    (trust / name).parent.mkdir(exist_ok=True)
    (trust / name).write_bytes(content)

    with pytest.raises(ValueError, match=f"{name} may hold a key"):
        make(session_of())


@pytest.mark.parametrize("make", [docker_args, compose_fragment], ids=["docker", "compose"])
def test_a_folder_that_is_not_here_is_refused(session_of, trust, make) -> None:
    (trust / "truststore.p12").unlink()

    with pytest.raises(ValueError, match=r"has no truststore\.p12: .* another machine"):
        make(session_of())


def test_a_path_that_docker_would_cut_is_refused(session_of, trust) -> None:
    colon = trust.rename(trust.parent / "a:b")

    with pytest.raises(ValueError, match="a colon"):
        docker_args(session_of(folder=colon))


def test_a_service_of_a_compose_file_has_the_session(session_of, trust) -> None:
    service = _yaml(compose_fragment(session_of()))

    assert service.keys() == {"network_mode", "environment", "volumes"}
    assert service["network_mode"] == "host"
    assert service["volumes"] == [
        {"type": "bind", "source": str(trust), "target": INSIDE, "read_only": True}
    ]
    assert all(isinstance(value, str) for value in service["environment"].values())
    _assert_is_whole(service["environment"], "127.0.0.1")


def test_compose_does_not_expand_a_path_with_a_dollar(session_of, trust) -> None:
    dollar = trust.rename(trust.parent / "a$HOME")
    (mount,) = _yaml(compose_fragment(session_of(folder=dollar)))["volumes"]

    assert mount["source"] == str(trust.parent / "a$$HOME")


COMPOSES = (["docker", "compose"], ["docker-compose"])


def test_compose_itself_takes_the_fragment(session_of, trust, tmp_path) -> None:
    compose = next((one for one in COMPOSES if _works(one)), None)
    if compose is None:
        pytest.skip("there is no compose here")
    dollar = trust.rename(trust.parent / "a$HOME")
    service = {"image": "agent", **_yaml(compose_fragment(session_of(folder=dollar)))}
    file = tmp_path / "compose.yaml"
    file.write_text(json.dumps({"services": {"agent": service}}))
    shown = subprocess.run(
        [*compose, "-f", str(file), "config"],
        check=True, capture_output=True, text=True, timeout=100,
    ).stdout  # fmt: skip

    agent = _yaml(shown)["services"]["agent"]
    _assert_is_whole(agent["environment"], "127.0.0.1")
    assert agent["volumes"][0]["read_only"] is True


def _works(compose: list[str]) -> bool:
    if shutil.which(compose[0]) is None:
        return False
    return not subprocess.run([*compose, "version"], capture_output=True, timeout=100).returncode


def test_a_container_of_a_pod_has_the_session(session_of) -> None:
    text = pod_fragment(session_of("10.1.2.3"))
    fragment = _yaml(text)
    environment = {variable["name"]: variable["value"] for variable in fragment["env"]}
    container = {
        "name": "agent", "image": "agent", "env": fragment["env"],
        "volumeMounts": fragment["volumeMounts"],
    }  # fmt: skip
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent"},
        "spec": {"containers": [container], "volumes": fragment["volumes"]},
    }  # fmt: skip

    _assert_is_whole(environment, "127.0.0.1")
    assert fragment["volumeMounts"] == [
        {"name": "remora-trust", "mountPath": INSIDE, "readOnly": True}
    ]
    assert kubernetes_validate.validate(pod, "1.37", strict=True) == "1.37"
    assert text.startswith("# The pod has the volume remora-trust already")


def test_nothing_but_the_trust_folder_is_named(session_of, trust) -> None:
    sayings = [" ".join(docker_args(session_of())), compose_fragment(session_of())]

    assert [said.count(str(trust.parent)) for said in sayings] == [1, 1]
    assert str(trust.parent) not in pod_fragment(session_of())
    assert not [said for said in sayings if "a CA" in said]


def test_names_are_those_of_injected_pods() -> None:
    from remora.tracker import containers
    from remora_operator.inject import layout

    assert containers.TRUST_MOUNT == layout.TRUST_DIR
    assert containers.TRUST_VOLUME == layout.TRUST_VOLUME

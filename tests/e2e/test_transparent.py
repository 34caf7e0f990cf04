"""Real clients in a pod whose traffic is redirected, before a sidecar under its own uid."""

import asyncio
import json
import shutil
import socket
import sys

import pytest

from remora.testing.network import INTERNET_IPV4, INTERNET_IPV6

pytestmark = [pytest.mark.netns, pytest.mark.slow]

IPV4, IPV6 = 0, 1
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - in a namespace
SIDECAR_UID = 1500
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
BODY = json.dumps(ASKED)
URL = "https://api.openai.com/v1/chat/completions"
HEADER = "remora-call-id"

CURL = ["curl", "-sS", "--max-time", "20", "-o", "/dev/null"]

CLIENTS = {
    "openai-sdk": [
        sys.executable,
        "-P",
        "-c",
        f"""
import json, openai
answer = openai.OpenAI(max_retries=0).chat.completions.with_raw_response.create(**{ASKED!r})
assert answer.parse().choices[0].message.content
print(answer.headers[{HEADER!r}])
""",
    ],
    "curl": [
        *CURL, "--json", BODY, "-H", "Authorization: Bearer sk-agent",
        "-w", f"%header{{{HEADER}}}", URL,
    ],
    "node": [
        "node",
        "-e",
        f"""
fetch({URL!r}, {{method: "POST", body: {BODY!r},
    headers: {{"content-type": "application/json", authorization: "Bearer sk-agent"}}}})
  .then(async answer => {{
    if (!(await answer.json()).choices[0].message.content) throw "no answer";
    console.log(answer.headers.get({HEADER!r}));
  }});
""",
    ],
}  # fmt: skip
DESTINATIONS = {IPV4: "203.0.113.10:443", IPV6: "[2001:db8:10::10]:443"}


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_real_client_is_intercepted_by_name(stage_pod, client, family):
    if shutil.which(CLIENTS[client][0]) is None:
        pytest.skip(f"{client} is not installed")
    async with stage_pod(family=family) as stage:
        done = await stage.agent(CLIENTS[client])
        assert done.returncode == 0, done.stderr
        (record,) = await stage.records()
    assert record.call_id == done.stdout.strip()
    assert record.provider == "openai"
    assert record.response_model.startswith("gpt-4o-mini")
    assert record.origin.mode == "transparent"
    assert record.origin.original_destination == DESTINATIONS[family]
    (request,) = stage.double.requests
    assert request.head.header("authorization") == "Bearer sk-agent"
    assert request.head.header("host") == "api.openai.com"


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["ipv4", "ipv6"])
async def test_another_host_is_relayed_with_its_own_certificate(stage_pod, family):
    async with stage_pod(family=family) as stage:
        other = [*CURL, "--cacert", f"{stage.folder}/provider-ca.pem", "-D", "-"]
        answered = await stage.agent([*other, "https://example.org/"])
        distrusted = await stage.agent(
            [*CURL, "--cacert", f"{stage.trust_dir}/ca.pem", "https://example.org/"]
        )
        assert await stage.records() == []
    assert answered.returncode == 0, answered.stderr
    assert HEADER not in answered.stdout
    assert distrusted.returncode == 60  # curl: the certificate is not known
    (request,) = stage.double.requests
    assert request.head.header("host") == "example.org"


UDP_PROBE = """
import json, socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
started = time.monotonic()
with socket.socket(family, socket.SOCK_DGRAM) as probe:
    probe.settimeout(2)
    outcome = "silent"
    try:
        probe.connect((sys.argv[1], int(sys.argv[2])))
        for _ in range(2):  # the refusal of the first send may only reach the second
            probe.send(b"hello")
        probe.recv(1)
    except (PermissionError, ConnectionRefusedError):
        outcome = "refused"
    except TimeoutError:
        pass
print(json.dumps([outcome, time.monotonic() - started < 1]))
"""


@pytest.mark.parametrize("address", ["203.0.113.10", "2001:db8:10::10"], ids=["ipv4", "ipv6"])
async def test_quic_is_refused_at_once_and_only_to_agents(stage_pod, address):
    async with stage_pod() as stage:
        listener = stage.network.internet.open_socket(
            socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
        )
        with listener:
            listener.bind(("", 443))
            assert await stage.python(UDP_PROBE, address, "443") == ["refused", True]
            assert await stage.python(UDP_PROBE, address, "443", uid=SIDECAR_UID) == [
                "silent",
                False,
            ]


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["ipv4", "ipv6"])
async def test_without_the_sidecar_nothing_passes(stage_pod, family):
    async with stage_pod(family=family) as stage:
        stage.stop_sidecar()
        for url in (URL, "https://example.org/", "http://example.org/"):
            refused = await stage.agent([*CURL, url])
            assert refused.returncode == 7, url  # curl: could not connect
            assert "refused" in refused.stderr or "Couldn't connect" in refused.stderr
        assert stage.double.connections_opened == 0


async def test_plain_http_to_a_registered_provider_is_a_call(stage_pod):
    url = "http://vllm.example.net:8000/v1/chat/completions"
    async with stage_pod(ports=[8000], REMORA_REDIRECT_PORTS="8000") as stage:
        done = await stage.agent([*CURL, "--json", BODY, "-w", f"%header{{{HEADER}}}", url])
        other = await stage.agent([*CURL, "-w", "%{http_code}", "http://example.org:8000/"])
        (record,) = await stage.records()
    assert done.stdout == record.call_id
    assert (record.provider, record.url) == ("internal-vllm", url)
    assert record.usage.output_tokens > 0
    assert other.stdout == "404"  # the double's own answer


BANNER = b"SSH-2.0-Double\r\n"
SERVER_FIRST = """
import json, socket
with socket.create_connection(("example.org", 22), timeout=10) as connection:
    banner = connection.recv(64)
    connection.sendall(b"SSH-2.0-Agent\\r\\n")
    echoed = connection.recv(64)
print(json.dumps([banner.decode(), echoed.decode()]))
"""


@pytest.mark.parametrize("redirected", ["", "22"], ids=["past the sidecar", "through the sidecar"])
@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["ipv4", "ipv6"])
async def test_a_server_that_speaks_first_is_heard(stage_pod, redirected, family):
    async def greet(reader, writer):
        peers.append(writer.get_extra_info("peername")[1])
        writer.write(BANNER)
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    peers = []
    async with stage_pod(family=family, REMORA_REDIRECT_PORTS=redirected) as stage:
        listener = stage.network.internet.listen(EVERYWHERE[family], 22)
        async with await asyncio.start_server(greet, sock=listener):
            heard = await stage.python(SERVER_FIRST)
        assert await stage.records() == []
    assert heard == [BANNER.decode(), "SSH-2.0-Agent\r\n"]
    assert len(peers) == 1


CONNECT = """
import json, socket, sys
with socket.create_connection(("127.0.0.1", 15002), timeout=10) as proxy:
    proxy.sendall(f"CONNECT {sys.argv[1]} HTTP/1.1\\r\\n\\r\\n".encode())
    print(json.dumps(int(proxy.recv(64).split()[1])))
"""


@pytest.mark.parametrize(
    ("profile", "target", "status"),
    [
        ("default", "example.org:443", 200),
        ("default", "example.org:9", 502),  # let out, but nothing listens there
        ("default", "example.org:853", 403),
        ("strict", "example.org:443", 200),
        ("strict", "example.org:9", 403),
        ("strict", "203.0.113.66:9", 502),  # excluded from the rules
        ("strict", "[::ffff:203.0.113.67]:9", 403),
        ("default", "127.0.0.1:15001", 403),
    ],
)
async def test_the_session_listener_refuses_what_the_rules_refuse(
    stage_pod, profile, target, status
):
    settings = {
        "REMORA_NETWORK_PROFILE": profile,
        "REMORA_EXCLUDE_CIDRS": "203.0.113.66/32",
    }
    async with stage_pod(**settings) as stage:
        assert await stage.python(CONNECT, target) == status


SESSION = """
import json, openai, os, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
asked = urllib.request.Request(
    "http://127.0.0.1:15080/v1/sessions", json.dumps({"data_id": "row-7"}).encode(),
    {"Content-Type": "application/json"})
session = json.load(opener.open(asked))["session_id"]
os.environ["HTTPS_PROXY"] = f"http://{session}@127.0.0.1:15002"
openai.OpenAI(max_retries=0).chat.completions.create(**ASKED)
print(json.dumps(session))
""".replace("ASKED", repr(ASKED))


async def test_a_program_in_the_pod_may_have_a_session_of_its_own(stage_pod):
    async with stage_pod() as stage:
        session = await stage.python(SESSION)
        (record,) = await stage.records()
    assert record.attribution.session_id == session
    assert record.attribution.data_id == "row-7"
    assert record.origin.mode == "explicit"


async def test_agents_use_the_listener_only_by_the_rules(stage_pod):
    program = """
import json, socket
refused = []
for host in ("127.0.0.1", "::1"):
    try:
        socket.create_connection((host, 15001), timeout=5).close()
    except ConnectionError:
        refused.append(host)
print(json.dumps(refused))
"""
    async with stage_pod() as stage:
        assert await stage.python(program) == ["127.0.0.1", "::1"]


async def test_the_agents_own_services_are_left_alone(stage_pod):
    program = """
import json, socket, threading
with socket.create_server(("127.0.0.1", 8080)) as server:
    client = socket.create_connection(("127.0.0.1", 8080), timeout=5)
    accepted, _ = server.accept()
    accepted.sendall(b"mine")
    print(json.dumps(client.recv(4).decode()))
    client.close(); accepted.close()
"""
    async with stage_pod(REMORA_REDIRECT_PORTS="8080") as stage:
        assert await stage.python(program) == "mine"


async def test_pod_header_attribution_is_recorded_and_not_sent_on(stage_pod):
    attributed = ["-H", "remora-task: task-9", "-H", "remora-agent-id: planner"]
    async with stage_pod() as stage:
        done = await stage.agent([*CURL, "--json", BODY, *attributed, URL])
        assert done.returncode == 0, done.stderr
        (record,) = await stage.records()
    assert (record.attribution.task_id, record.attribution.agent_id) == ("task-9", "planner")
    assert not any(name.startswith(b"remora") for name, _ in stage.double.requests[0].head.headers)


DNS_PROBE = """
import json, socket, sys
answers = []
for host in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect((host, 53))
            probe.send(b"?")
            probe.send(b"?")
            answers.append(probe.recv(8).decode())
        except (PermissionError, ConnectionRefusedError, OSError) as error:
            answers.append(type(error).__name__)
print(json.dumps(answers))
"""


class _Echo(asyncio.DatagramProtocol):
    """Sends every datagram back."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


async def test_the_strict_profile_lets_agents_ask_the_pods_dns_servers_and_no_others(stage_pod):
    async with stage_pod(REMORA_NETWORK_PROFILE="strict") as stage:
        transports = []
        for family, host in ((socket.AF_INET, INTERNET_IPV4), (socket.AF_INET6, INTERNET_IPV6)):
            listener = stage.network.internet.open_socket(family, socket.SOCK_DGRAM)
            listener.bind((host, 53))
            made, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                _Echo, sock=listener
            )
            transports.append(made)
        answers = await stage.python(
            DNS_PROBE, INTERNET_IPV4, INTERNET_IPV6, "203.0.113.53", "2001:db8:10::53"
        )
        for transport in transports:
            transport.close()
    assert answers[:2] == ["?", "?"]
    assert all(answer != "?" for answer in answers[2:])


async def test_the_call_is_in_what_the_command_lists(stage_pod):
    async with stage_pod() as stage:
        done = await stage.agent(CLIENTS["curl"])
        await stage.records()
        listed = await asyncio.to_thread(
            stage.network.pod.run,
            [sys.executable, "-P", "-m", "remora", "records", "--json"],
            env=stage.environment(REMORA_AGGREGATOR=stage.aggregator),
        )
    assert listed.returncode == 0, listed.stderr
    (record,) = map(json.loads, listed.stdout.splitlines())
    assert record["call_id"] == done.stdout


H2_ONLY = """
import hashlib, json, socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.set_alpn_protocols(["h2"])
with socket.create_connection(("api.openai.com", 443), timeout=10) as connection:
    try:
        with context.wrap_socket(connection, server_hostname="api.openai.com") as tls:
            print(json.dumps("connected"))
    except ssl.SSLError as error:
        print(json.dumps(str(error)))
"""


OPAQUE_POLICY = """\
apiVersion: remora.dev/v1alpha1
kind: LLMPolicy
metadata: {name: opaque}
spec: {opaque: OPAQUE}
"""


@pytest.mark.parametrize("opaque", ["allow", "block"])
async def test_a_client_that_only_speaks_h2_is_relayed_or_refused_and_recorded(stage_pod, opaque):
    async with stage_pod(policy=OPAQUE_POLICY.replace("OPAQUE", opaque)) as stage:
        outcome = await stage.python(H2_ONLY, f"{stage.folder}/provider-ca.pem")
        (record,) = await stage.records()
    relayed = opaque == "allow"
    assert (outcome == "connected") is relayed
    assert ("alert" in outcome.lower()) is not relayed
    assert record.opaque
    assert (stage.double.connections_opened == 1) is relayed

"""From the token to the agent's call: API server, CertificateService, sidecar process, agents.

The API server is the small one of `remora.testing`, all else is as it runs in a cluster: TLS with a
certificate of the serving CA, a projected token, a sidecar of its own process, agents' programs
that know the interception root and nothing more.
"""

import asyncio
import os
import secrets
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import certifi
import grpc
import pytest

from remora.clock import SystemClock
from remora.policy import PolicyDocuments, effective_policy
from remora.providers import ProviderRegistry
from remora.providers.certificate_hosts import certificate_hosts
from remora.testing.double import ProviderDouble
from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.kubernetes_tokens import KnownToken
from remora.testing.policy_server import PolicyServer
from remora.testing.server_process import ServerProcess, part_command
from remora_operator.ca.authority import INTERCEPTION, SERVING, make_root, new_key
from remora_operator.ca.rotation import Rotation, begin, steady, switch
from remora_operator.ca.serving import ca_bundle, sign_serving
from remora_operator.ca.trust_bundle import trust_bundle
from remora_operator.cluster.api_server import ApiServer
from remora_operator.delivery.certificate_service import CertificateService
from remora_operator.delivery.token_review import AUDIENCE, TokenReviews
from remora_proto.v1 import certificates_pb2_grpc, policy_pb2_grpc

HOST = "api.openai.com"
TOKEN = "token-of-the-agents-pod"
BODY = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}'
OPENAI = """
import openai
client = openai.OpenAI(api_key="sk-x", max_retries=0)
messages = [{"role": "user", "content": "hi"}]
print(client.chat.completions.create(model="gpt-4o-mini", messages=messages).model)
"""


@dataclass
class Cluster:
    """An operator and what it stands on.

    Attributes:
        rotation: Of the interception CA.
    """

    api: KubernetesApi
    policies: PolicyServer
    rotation: Rotation
    folder: Path
    address: str = ""

    def settings(self, double: ProviderDouble) -> dict[str, str]:
        """The environment of the sidecar's container."""
        provider_ca = self.folder / "provider-ca.pem"
        provider_ca.write_text(double.ca_pem)
        host, port = double.address
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "REMORA_OPERATOR": self.address,
            "REMORA_OPERATOR_TOKEN_FILE": f"{self.folder}/token",
            "REMORA_OPERATOR_CA": f"{self.folder}/operator-ca.pem",
            "REMORA_POD_NAME": "agent-1",
            "REMORA_NAMESPACE": "team-a",
            "REMORA_AGGREGATOR": "none",
            "REMORA_LISTEN": "127.0.0.1:0",
            "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
            "REMORA_STATUS_LISTEN": "127.0.0.1:0",
            "REMORA_DATA_DIR": f"{self.folder}/data",
            "REMORA_UPSTREAM_CA": str(provider_ca),
            "REMORA_CONNECT_TO": f"::{host}:{port}",
        }

    def rotate(self) -> None:
        """Let a new root sign."""
        now = datetime.now(UTC)
        new = make_root(new_key(), now, secrets.token_bytes, INTERCEPTION)
        published = begin(self.rotation, new, now, secrets.token_bytes)
        self.rotation = switch(published, now, force=True)


def _new(kind) -> Rotation:
    now = datetime.now(UTC)
    return steady(make_root(new_key(), now, secrets.token_bytes, kind), kind, now)


def _credentials(folder: Path) -> grpc.ServerCredentials:
    serving = _new(SERVING)
    now = datetime.now(UTC)
    served = sign_serving(new_key(), ["127.0.0.1"], serving, now, secrets.token_bytes)
    (folder / "operator-ca.pem").write_bytes(ca_bundle(serving))
    return grpc.ssl_server_credentials([(served.key_pem, served.certificate_pem)])


@pytest.fixture
async def cluster(tmp_path):
    policies = PolicyServer()
    policies.push(effective_policy(PolicyDocuments(), {}).canonical)
    hosts = certificate_hosts(ProviderRegistry.builtin())
    async with KubernetesApi().serving() as api, ApiServer(api.url) as asked:
        api.add_pod("team-a", "agent-1", token=TOKEN, audience=AUDIENCE)
        made = Cluster(api, policies, _new(INTERCEPTION), tmp_path)
        reviews = TokenReviews(asked, SystemClock())
        service = CertificateService(
            reviews, lambda who: hosts, lambda: made.rotation, SystemClock(), version="1"
        )
        server = grpc.aio.server()
        certificates_pb2_grpc.add_CertificateServiceServicer_to_server(service, server)
        policy_pb2_grpc.add_PolicyServiceServicer_to_server(policies, server)
        port = server.add_secure_port("127.0.0.1:0", _credentials(tmp_path))
        made.address = f"127.0.0.1:{port}"
        (tmp_path / "token").write_text(TOKEN)
        await server.start()
        try:
            yield made
        finally:
            await server.stop(None)
            await reviews.aclose()


@asynccontextmanager
async def _sidecar(cluster: Cluster):
    async with ProviderDouble() as double:
        process = await asyncio.to_thread(
            ServerProcess, "sidecar", part_command("sidecar", "--ready-json"),
            cluster.settings(double), cluster.folder / "sidecar.log",
        )  # fmt: skip
        try:
            yield process
        finally:
            await asyncio.to_thread(process.stop)


async def _run(argv, environment=None) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run, argv, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


async def _curl(proxy: str, root: Path) -> subprocess.CompletedProcess[str]:
    return await _run(
        ["curl", "--silent", "--show-error", "--fail", "--proxy", f"http://{proxy}",
         "--cacert", str(root), "-H", "Content-Type: application/json", "--data", BODY,
         f"https://{HOST}/v1/chat/completions"]
    )  # fmt: skip


async def _openai(proxy: str, root: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HTTPS_PROXY": f"http://{proxy}",
        "SSL_CERT_FILE": str(root),
    }
    return await _run([sys.executable, "-P", "-c", OPENAI], environment)


def _root_file(cluster: Cluster, name: str = "root.pem") -> Path:
    """What the operator's ConfigMap gives agents."""
    public = Path(certifi.where()).read_bytes()
    bundle = trust_bundle(public, cluster.rotation.roots, {}, datetime.now(UTC))
    file = cluster.folder / name
    file.write_text(bundle.texts["ca.pem"])
    return file


async def test_agents_calls_are_trusted_by_the_root_alone(cluster):
    root = _root_file(cluster)
    async with _sidecar(cluster) as sidecar:
        curl = await _curl(sidecar.ready["proxy"], root)
        assert curl.returncode == 0, curl.stderr
        assert '"model"' in curl.stdout
        sdk = await _openai(sidecar.ready["proxy"], root)
        assert sdk.returncode == 0, sdk.stderr
        assert "gpt-4o-mini" in sdk.stdout
    assert cluster.api.reviews == 1


async def test_an_agent_of_before_a_rotation_trusts_what_is_signed_after_it(cluster):
    old_only = _root_file(cluster)
    cluster.rotate()
    both = _root_file(cluster, "both.pem")
    async with _sidecar(cluster) as sidecar:
        for root in (old_only, both):
            curl = await _curl(sidecar.ready["proxy"], root)
            assert curl.returncode == 0, curl.stderr
            sdk = await _openai(sidecar.ready["proxy"], root)
            assert sdk.returncode == 0, sdk.stderr


def _shown_and_written(sidecar: ServerProcess, folder: Path) -> list[bytes]:
    process = Path(f"/proc/{sidecar.pid}")
    files = [*Path(sidecar.ready["data_dir"]).rglob("*"), folder / "sidecar.log"]
    seen = [process / "environ", process / "cmdline", *(path for path in files if path.is_file())]
    return [path.read_bytes() for path in seen]


async def test_nothing_that_the_sidecar_shows_or_writes_holds_a_key(cluster):
    async with _sidecar(cluster) as sidecar:
        found = await asyncio.to_thread(_shown_and_written, sidecar, cluster.folder)
    assert any(b"BEGIN CERTIFICATE" in content for content in found)
    der_of_a_key = bytes.fromhex("0201010420")  # RFC 5915: version 1, then 32 bytes
    for content in found:
        assert b"PRIVATE KEY" not in content
        assert der_of_a_key not in content
        assert TOKEN.encode() not in content


async def test_a_pod_with_the_aggregators_token_is_never_ready(cluster):
    cluster.api.tokens[TOKEN] = KnownToken(
        "team-a", audiences=("remora-aggregator",), pod_name="agent-1", pod_uid="u"
    )
    async with ProviderDouble() as double:
        environment = cluster.settings(double)
        process = await asyncio.create_subprocess_exec(
            *part_command("sidecar", "--ready-json"), env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            said = b""
            async with asyncio.timeout(60):
                while b"signs no certificate" not in said:
                    said += await process.stderr.readline()
            process.terminate()
            out, _ = await asyncio.wait_for(process.communicate(), 30)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert b"does not know this sidecar's token" in said
    assert b"for the audience 'remora-operator'" in said
    assert out == b""

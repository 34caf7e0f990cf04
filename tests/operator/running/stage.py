"""A cluster of one namespace on this machine: operator, aggregator, providers, and a kubelet.

The API server is the small one of `remora.testing`; all else is as it runs in a cluster: the
webhook's answer, the services behind TLS with certificates of the serving CA, TokenReview, an
aggregator that asks it too. Every pod has a network of its own, and on it the same internet.
"""

import asyncio
import base64
import json
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import certifi
import grpc
import jsonpatch
from tests.operator.running.name_server import serving_names

from remora.client.records import RecordClient
from remora.client.target import AggregatorTarget
from remora.clock import SystemClock
from remora.records import StoredRecord
from remora.task_owner import TaskOwner
from remora.testing.double import ProviderDouble
from remora.testing.kubelet import ApiCluster, Image, Kubelet, RunningPod, remora_image
from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.network import Namespace as NetworkNamespace
from remora.testing.network import Network, simulated_network
from remora_aggregator.server import running_aggregator
from remora_aggregator.settings import AggregatorSettings
from remora_operator.ca.authority import INTERCEPTION, SERVING, make_root, new_key
from remora_operator.ca.rotation import Rotation, steady
from remora_operator.ca.serving import ca_bundle, sign_serving
from remora_operator.ca.trust_bundle import trust_bundle
from remora_operator.cluster.api_server import ApiServer
from remora_operator.delivery.certificate_service import CertificateService
from remora_operator.delivery.policy_service import PolicyService, hosts_from
from remora_operator.delivery.token_review import TokenReviews
from remora_operator.inject import InjectionConfig, Namespace
from remora_operator.policies import Answers, PodFacts, PolicyShelf
from remora_operator.webhook.review import answer
from remora_proto.v1 import certificates_pb2_grpc, policy_pb2_grpc

TEAM = "team-a"
PROVIDER, BEDROCK = "api.openai.com", "bedrock-runtime.us-east-1.amazonaws.com"
PUBLIC, STRANGER = "example.org", "stranger.example.net"
OPERATOR = "remora-operator.remora-system.svc"
AGGREGATOR = "remora-aggregator.remora-system.svc"
WELL_KNOWN, OURS = "well-known.example.net", "ours.example.net"
PROVIDER_IP, PUBLIC_IP = "203.0.113.10", "203.0.113.90"
ADDRESSES = {
    PROVIDER: PROVIDER_IP,
    BEDROCK: PROVIDER_IP,
    PUBLIC: PUBLIC_IP,
    STRANGER: "203.0.113.91",
    WELL_KNOWN: "203.0.113.92",
    OURS: "203.0.113.93",
    OPERATOR: "203.0.113.200",
    AGGREGATOR: "203.0.113.201",
}
READER_TOKEN = "token-of-the-people-of-team-a"
SAFE = {
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
CONFIG = InjectionConfig(
    upstream_ca=True,
    startup_s=600,  # at the pace of probes here, two minutes
    operator_address=f"{OPERATOR}:15443",
    aggregator_address=f"{AGGREGATOR}:15090",
)
_PACE = 0.2
"""Probes are asked five times as often as the spec says: a test waits for the first answer."""

_FREEBIND = 15
"""IP_FREEBIND of <linux/in.h>: in the internet every address is its own, but not in its table."""


@dataclass(frozen=True)
class Admitted:
    """A pod after admission.

    Attributes:
        pod: As the API server keeps it.
        warnings: What whoever created it was told.
    """

    pod: Mapping[str, Any]
    warnings: tuple[str, ...]


@dataclass
class Stage:
    """The cluster.

    Attributes:
        provider: Serves the providers' names, with a certificate that only the sidecar trusts.
        public: Serves `PUBLIC`; its root is one of the public ones in the bundle.
        stranger: Serves `STRANGER`; nobody trusts it.
        others: Serve more of `ADDRESSES`, in networks that are made from then on.
    """

    folder: Path
    api: KubernetesApi
    shelf: PolicyShelf
    provider: ProviderDouble
    public: ProviderDouble
    stranger: ProviderDouble
    images: dict[str, Image]
    rotation: Rotation
    ports: Mapping[str, int] = field(default_factory=dict)
    others: dict[str, ProviderDouble] = field(default_factory=dict)

    def review(self, pod: Mapping[str, Any], config: InjectionConfig = CONFIG) -> Mapping[str, Any]:
        """Return the webhook's response to a pod in the namespace."""
        given = _in_the_namespace(pod)
        request = {
            "uid": "u", "operation": "CREATE", "namespace": TEAM,
            "name": given["metadata"]["name"],
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "object": given,
        }  # fmt: skip
        kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        labels = {"remora.dev/injection": "enabled"}
        body = json.dumps({**kind, "request": request}).encode()
        answered = answer(body, lambda name: Namespace(name, labels), config)
        return json.loads(answered.body)["response"]

    async def admit(self, pod: Mapping[str, Any], config: InjectionConfig = CONFIG) -> Admitted:
        """Create a pod: the webhook's patch on it, an entry in the API server, its policy."""
        given, response = _in_the_namespace(pod), self.review(pod, config)
        assert response["allowed"], response
        name = given["metadata"]["name"]
        patch = json.loads(base64.b64decode(response["patch"]))
        patched = jsonpatch.JsonPatch(patch).apply(given)
        uid = self.api.add_pod(TEAM, name, metadata=patched["metadata"], spec=patched["spec"])
        kept = {**patched, "metadata": {**patched["metadata"], "uid": uid}}
        self.shelf.put_pod(PodFacts(uid, TEAM, name, given["metadata"].get("labels") or {}))
        return Admitted(kept, tuple(response.get("warnings") or ()))

    @asynccontextmanager
    async def running(
        self, pod: Mapping[str, Any], config: InjectionConfig = CONFIG
    ) -> AsyncIterator[tuple[RunningPod, Network]]:
        """Admit a pod and run it, in a network of its own."""
        admitted = await self.admit(pod, config)
        kubelet = Kubelet(
            self.folder / "kubelet", ApiCluster(self.api), self.images.__getitem__, pace=_PACE
        )
        async with self.network() as network, kubelet.running(admitted.pod, network) as made:
            yield made, network

    @asynccontextmanager
    async def network(self) -> AsyncIterator[Network]:
        """Make a pod's network, with this cluster's servers and the internet's on it."""
        hosts = {name: (address,) for name, address in ADDRESSES.items()}
        async with AsyncExitStack() as stack:
            network = stack.enter_context(simulated_network(hosts))
            inside = network.internet
            await self.provider.listen_on(_listen(inside, PROVIDER_IP, 443))
            for name, double in {
                PUBLIC: self.public,
                STRANGER: self.stranger,
                **self.others,
            }.items():
                await double.listen_on(_listen(inside, ADDRESSES[name], 443))
            await stack.enter_async_context(serving_names(inside, ADDRESSES))
            for name, port in ((OPERATOR, 15443), (AGGREGATOR, 15090)):
                listener = _listen(inside, ADDRESSES[name], port)
                await stack.enter_async_context(_forwarding(listener, self.ports[name]))
            yield network

    async def records(self) -> list[StoredRecord]:
        """Return all records that the aggregator has."""
        target = AggregatorTarget(
            f"127.0.0.1:{self.ports[AGGREGATOR]}",
            self.folder / "reader-token",
            self.folder / "serving-ca.pem",
        )

        def ask() -> list[StoredRecord]:
            with RecordClient(target) as client:
                return list(client.query())

        return await asyncio.to_thread(ask)

    def publish_trust(self, public_roots: bytes = b"") -> None:
        """Write the namespace's ConfigMap as the operator does."""
        public = Path(certifi.where()).read_bytes() + self.public.ca_pem.encode() + public_roots
        bundle = trust_bundle(public, self.rotation.roots, {}, datetime.now(UTC))
        serving_ca = (self.folder / "serving-ca.pem").read_text()
        data = {
            **bundle.texts,
            "serving-ca.pem": serving_ca,
            "upstream-ca.pem": self.provider.ca_pem,
        }
        binary = {key: base64.b64encode(value).decode() for key, value in bundle.binaries.items()}
        path = f"/api/v1/namespaces/{TEAM}/configmaps/remora-trust"
        self.api.put(path, {"kind": "ConfigMap", "data": data, "binaryData": binary})


def _in_the_namespace(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**pod, "metadata": {"namespace": TEAM, **pod["metadata"]}}


def _listen(namespace: NetworkNamespace, address: str, port: int) -> socket.socket:
    listener = namespace.open_socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(128)
    return listener


@asynccontextmanager
async def _forwarding(listener: socket.socket, port: int) -> AsyncIterator[None]:
    """Join what comes to a port of this machine's, as a Service does."""
    tasks = TaskOwner("service")

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        both = (_pump(reader, inner_writer), _pump(inner_reader, writer))
        await asyncio.gather(*(tasks.spawn(one, name="pump") for one in both))

    server = await asyncio.start_server(
        lambda reader, writer: tasks.spawn(join(reader, writer), name="join"), sock=listener
    )
    try:
        yield
    finally:
        server.close()
        await tasks.aclose()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # one side has gone: so will the other
    finally:
        writer.close()


def _new(kind: Any) -> Rotation:
    now = datetime.now(UTC)
    return steady(make_root(new_key(), now, secrets.token_bytes, kind), kind, now)


@asynccontextmanager
async def running_cluster(folder: Path) -> AsyncIterator[Stage]:
    """Start the cluster, and take it down."""
    serving = _new(SERVING)
    (folder / "serving-ca.pem").write_bytes(ca_bundle(serving))
    (folder / "reader-token").write_text(READER_TOKEN)
    doubles = (
        ProviderDouble(names=[PROVIDER, BEDROCK]),
        ProviderDouble(names=[PUBLIC]),
        ProviderDouble(names=[STRANGER]),
    )
    shelf = PolicyShelf()
    shelf.complete()
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(KubernetesApi().serving())
        for double in doubles:
            stack.push_async_callback(double.aclose)
        images = {CONFIG.image: remora_image(), "agent": Image()}
        stage = Stage(folder, api, shelf, *doubles, images, _new(INTERCEPTION))
        stage.publish_trust()
        stage.ports = {
            OPERATOR: await stack.enter_async_context(_operator(stage, serving)),
            AGGREGATOR: await stack.enter_async_context(_aggregator(stage, serving)),
        }
        yield stage


@asynccontextmanager
async def _operator(stage: Stage, serving: Rotation) -> AsyncIterator[int]:
    clock = SystemClock()
    async with ApiServer(stage.api.url) as asked:
        reviews = TokenReviews(asked, clock)
        certificates = CertificateService(
            reviews, hosts_from(stage.shelf), lambda: stage.rotation, clock, version="1"
        )
        policies = PolicyService(reviews, stage.shelf, Answers(), version="1")
        server = grpc.aio.server()
        certificates_pb2_grpc.add_CertificateServiceServicer_to_server(certificates, server)
        policy_pb2_grpc.add_PolicyServiceServicer_to_server(policies, server)
        served = _served(serving, OPERATOR)
        credentials = grpc.ssl_server_credentials([(served.key_pem, served.certificate_pem)])
        port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        try:
            yield port
        finally:
            policies.stop()
            await server.stop(None)
            await reviews.aclose()


def _served(serving: Rotation, *names: str) -> Any:
    return sign_serving(new_key(), names, serving, datetime.now(UTC), secrets.token_bytes)


@asynccontextmanager
async def _aggregator(stage: Stage, serving: Rotation) -> AsyncIterator[int]:
    folder = stage.folder / "aggregator"
    folder.mkdir()
    served = _served(serving, AGGREGATOR, "127.0.0.1")
    (folder / "tls.crt").write_bytes(served.certificate_pem)
    (folder / "tls.key").write_bytes(served.key_pem)
    (folder / "tokens").write_text(f"{READER_TOKEN} {TEAM} reader people\n")
    (folder / "api-token").write_text("token-of-the-aggregator")
    settings = AggregatorSettings(
        listen="127.0.0.1:0",
        http_listen="none",
        data_dir=folder / "data",
        tls_cert=folder / "tls.crt",
        tls_key=folder / "tls.key",
        token_file=folder / "tokens",
        kubernetes_api=stage.api.url,
        kubernetes_token_file=folder / "api-token",
    )
    async with running_aggregator(settings) as running:
        yield int(running.address.rpartition(":")[2])

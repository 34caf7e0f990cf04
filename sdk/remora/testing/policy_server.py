"""An operator for tests: pushes policies to sidecars and remembers what they made of them.

It speaks `PolicyService` as the operator does, over TCP or a Unix socket, with tokens and TLS
where a test wants them, and loses connections when told to. Beside it stands a `CertificateServer`,
which signs for anybody.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Self

import grpc

from remora.task_owner import TaskOwner
from remora.testing.certificate_server import CertificateServer
from remora_proto.v1 import certificates_pb2_grpc
from remora_proto.v1 import policy_pb2 as pb
from remora_proto.v1 import policy_pb2_grpc as pb_grpc

type _Context = grpc.aio.ServicerContext[pb.WatchPolicyRequest, pb.WatchPolicyResponse]
type _Requests = AsyncIterator[pb.WatchPolicyRequest]

_UNTIL_S = 20.0


class PolicyServer(pb_grpc.PolicyServiceServicer):
    """The operator's half of `PolicyService`.

    Attributes:
        address: Where it listens, once it does.
        hellos: The greetings, in order.
        applied: Versions that sidecars put in force, in order.
        refused: What sidecars refused, in order.
        aborts: The status that every stream ends with at once; None: they go on.
        certificates: Signs for sidecars.
    """

    def __init__(self, *, tokens: Collection[str] = (), version: str = "9.9") -> None:
        """Take who is let in (nobody named: anyone), and what is said of this operator."""
        self.address = ""
        self.hellos: list[pb.WatchPolicyRequest.Hello] = []
        self.applied: list[str] = []
        self.refused: list[pb.WatchPolicyRequest.Refused] = []
        self.aborts: grpc.StatusCode | None = None
        self.certificates = CertificateServer()
        self._tokens = frozenset(tokens)
        self._version = version
        self._newest: pb.WatchPolicyResponse | None = None
        self._streams: set[asyncio.Queue[pb.WatchPolicyResponse | None]] = set()
        self._moved = asyncio.Event()

    @asynccontextmanager
    async def serving(
        self, address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
    ) -> AsyncIterator[Self]:
        """Listen: at ``host:port``, where 0 takes any port, or at ``unix:/path``."""
        server = grpc.aio.server()
        pb_grpc.add_PolicyServiceServicer_to_server(self, server)
        certificates_pb2_grpc.add_CertificateServiceServicer_to_server(self.certificates, server)
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        is_unix = address.startswith("unix:")
        self.address = address if is_unix else f"{address.rpartition(':')[0]}:{port}"
        await server.start()
        try:
            yield self
        finally:
            await server.stop(0)

    @property
    def connections(self) -> int:
        """Streams that stand."""
        return len(self._streams)

    def push(self, document: bytes, version: str | None = None) -> str:
        """Send a document to everyone, and to whoever comes; gives its version."""
        version = hashlib.sha256(document).hexdigest() if version is None else version
        self._newest = pb.WatchPolicyResponse(
            version=version, document=document, operator_version=self._version
        )
        for stream in self._streams:
            stream.put_nowait(self._newest)
        return version

    def drop(self) -> None:
        """Lose every connection."""
        for stream in self._streams:
            stream.put_nowait(None)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until what sidecars said makes something true."""
        async with asyncio.timeout(_UNTIL_S):
            while not condition():
                self._moved.clear()
                await self._moved.wait()

    async def Watch(  # noqa: N802 - the method's name on the wire
        self, request_iterator: _Requests, context: _Context
    ) -> AsyncIterator[pb.WatchPolicyResponse]:
        """Serve one sidecar."""
        await self._admit(context)
        hello = (await anext(request_iterator)).hello
        self.hellos.append(hello)
        queue: asyncio.Queue[pb.WatchPolicyResponse | None] = asyncio.Queue()
        if self._newest is not None:
            queue.put_nowait(_told(self._newest, hello.version))
        self._streams.add(queue)
        self._moved.set()
        listening = TaskOwner("policy server")
        listening.spawn(self._listen(request_iterator), name="answers")
        try:
            while (response := await queue.get()) is not None:
                yield response
            await context.abort(grpc.StatusCode.UNAVAILABLE, "dropped")
        finally:
            self._streams.discard(queue)
            await listening.aclose()
            self._moved.set()

    async def _admit(self, context: _Context) -> None:
        if self.aborts is not None:
            await context.abort(self.aborts, "the words of the operator")
        sent = dict(context.invocation_metadata() or ()).get("authorization", "")
        if self._tokens and str(sent).removeprefix("Bearer ") not in self._tokens:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")

    async def _listen(self, requests: _Requests) -> None:
        async for request in requests:
            if request.HasField("applied"):
                self.applied.append(request.applied.version)
            if request.HasField("refused"):
                self.refused.append(request.refused)
            self._moved.set()


def _told(newest: pb.WatchPolicyResponse, version: str) -> pb.WatchPolicyResponse:
    """Leave the document out where the sidecar has it."""
    if newest.version != version:
        return newest
    return pb.WatchPolicyResponse(version=version, operator_version=newest.operator_version)

"""PolicyService: sends every sidecar the policy of its own pod, and hears what became of it.

Which policy that is stands on the shelf; whoever changes the shelf says so here by `changed`. A
sidecar has at most one document that it has not answered: while it is busy with that one others
may come and go, and then it is sent the newest alone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import grpc

from remora.errors import BadRequest, Problem, RemoraError, Unavailable
from remora.task_owner import TaskOwner
from remora_operator.delivery.call_errors import errors_as_status
from remora_operator.delivery.certificate_service import HostsOf
from remora_operator.delivery.pod_identity import Identities, PodIdentity
from remora_operator.policies import Answer, Answers, Held, PodPolicy, PolicyShelf
from remora_proto.v1 import policy_pb2 as pb
from remora_proto.v1 import policy_pb2_grpc as pb_grpc

logger = logging.getLogger(__name__)

type Context = grpc.aio.ServicerContext[pb.WatchPolicyRequest, pb.WatchPolicyResponse]
type Requests = AsyncIterator[pb.WatchPolicyRequest]

Heard = Callable[[PodIdentity, Answer], None]
"""Is told what a pod said; must not raise."""

PATIENCE_S = 5.0
"""How long a stream waits for its greeting, and for a policy, before it is ended with the reason:
a sidecar shows that reason to people, and asks again."""

MAX_STREAMS = 20_000

_VERSION_CHARACTERS = 64

_STOPPING = "the operator stops: ask again, another replica answers"
_REPLACED = "the pod's sidecar has connected anew"


def hosts_from(shelf: PolicyShelf) -> HostsOf:
    """Make what tells CertificateService the hosts of a pod's policy."""

    def hosts_of(who: PodIdentity) -> tuple[str, ...]:
        policy = shelf.policy_of(who.pod_uid)
        if isinstance(policy, PodPolicy):
            return policy.hosts
        raise Unavailable(_no_policy(who, policy))

    return hosts_of


@dataclass(slots=True)
class _Stream:
    """One sidecar's stream.

    Attributes:
        version: Of the document that was sent last; at first, of the one in force by the
            greeting.
        awaits: Whether the document that was sent last is not answered yet.
        is_over: Whether the stream is to end.
        error: With what; None: the sidecar has ended it.
        moved: There is something to look at.
    """

    version: str
    awaits: bool = False
    is_over: bool = False
    error: RemoraError | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, error: RemoraError | None = None) -> None:
        """Have the stream end as soon as it comes to it; the first reason counts."""
        if not self.is_over:
            self.is_over, self.error = True, error
        self.moved.set()


class PolicyService(pb_grpc.PolicyServiceServicer):
    """Serves the sidecars that are connected to this replica."""

    def __init__(
        self,
        identities: Identities,
        shelf: PolicyShelf,
        answers: Answers,
        *,
        version: str,
        heard: Heard | None = None,
        patience_s: float = PATIENCE_S,
        max_streams: int = MAX_STREAMS,
    ) -> None:
        """Take who tells pods apart, and where their policies stand.

        Args:
            identities: Tell who asks.
            shelf: Gives the policies.
            answers: Where it is kept what sidecars said.
            version: Of this operator.
            heard: Is told of every answer.
            patience_s: How long a stream waits before it has anything to say.
            max_streams: Who comes when there are more is told to come again.
        """
        self._identities = identities
        self._shelf = shelf
        self._answers = answers
        self._version = version
        self._heard = heard
        self._patience_s = patience_s
        self._max_streams = max_streams
        self._streams: dict[str, _Stream] = {}
        self._open = 0
        self._is_stopping = False

    @property
    def connected(self) -> frozenset[str]:
        """Uids of the pods whose sidecars are served here."""
        return frozenset(self._streams)

    def is_connected(self, uid: str) -> bool:
        """Tell whether a pod's sidecar is served here."""
        return uid in self._streams

    def changed(self, uids: Iterable[str]) -> None:
        """Have what has changed sent; only these pods are looked at.

        Args:
            uids: As `PolicyShelf` returns them.
        """
        for uid in uids:
            if uid in self._streams:
                self._streams[uid].moved.set()
            if self._shelf.policy_of(uid) is None:
                self._answers.forget(uid)

    def stop(self) -> None:
        """End every stream, and let no other begin."""
        self._is_stopping = True
        for stream in self._streams.values():
            stream.end(Unavailable(_STOPPING))

    async def Watch(  # type: ignore[override]  # written to by hand, which the stubs do not know  # noqa: N802 - gRPC's name
        self, request_iterator: Requests, context: Context
    ) -> None:
        """Serve one sidecar."""
        async with errors_as_status(context, "a sidecar could not be served its policy"):
            self._check_room()
            self._open += 1
            try:
                who = await self._identities.identify(context.invocation_metadata() or ())
                hello = await self._greeting(request_iterator)
                await self._serve(who, hello, request_iterator, context)
            finally:
                self._open -= 1

    def _check_room(self) -> None:
        if self._is_stopping:
            raise Unavailable(_STOPPING)
        if self._open >= self._max_streams:
            raise BadRequest("too many sidecars are served here: ask again", status=429)

    async def _greeting(self, requests: Requests) -> pb.WatchPolicyRequest.Hello:
        try:
            async with asyncio.timeout(self._patience_s):
                first = await anext(requests)
        except (TimeoutError, StopAsyncIteration):
            raise BadRequest("a stream begins with a greeting, and none came") from None
        if not first.HasField("hello"):
            raise BadRequest("a stream begins with a greeting")
        return first.hello

    async def _serve(
        self,
        who: PodIdentity,
        hello: pb.WatchPolicyRequest.Hello,
        requests: Requests,
        context: Context,
    ) -> None:
        stream = _Stream(hello.version if len(hello.version) <= _VERSION_CHARACTERS else "")
        self._enter(who, stream)
        listening = TaskOwner("policy stream")
        try:
            in_force = stream.version
            first = await self._first(who, stream)
            self._tell(who, self._answers.greeted(who.pod_uid, in_force))
            listening.spawn(self._listen(who, stream, requests), name=who.pod_uid)
            await context.write(first)
            await self._further(who, stream, context)
        finally:
            self._leave(who, stream)
            await listening.aclose()

    def _enter(self, who: PodIdentity, stream: _Stream) -> None:
        """Let the newest stream of a pod be the only one: a half-open one may be left of it."""
        if self._is_stopping:
            raise Unavailable(_STOPPING)
        former = self._streams.get(who.pod_uid)
        if former is not None:
            former.end(Unavailable(_REPLACED))
        self._streams[who.pod_uid] = stream

    def _leave(self, who: PodIdentity, stream: _Stream) -> None:
        if self._streams.get(who.pod_uid) is stream:
            del self._streams[who.pod_uid]
        if self._shelf.policy_of(who.pod_uid) is None:
            self._answers.forget(who.pod_uid)

    async def _first(self, who: PodIdentity, stream: _Stream) -> pb.WatchPolicyResponse:
        """Wait for the pod's policy for a while: the watch may be behind the pod's start.

        A sidecar that has a policy is told to keep it where there is none to be had, so that it
        stays and has the next one at once.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                while not isinstance(policy := self._shelf.policy_of(who.pod_uid), PodPolicy):
                    await stream.moved.wait()
                    stream.moved.clear()
                    _check_end(stream)
                response = _response(stream, policy)
        except TimeoutError:
            response = self._kept(who, stream)
        response.operator_version = self._version
        return response

    def _kept(self, who: PodIdentity, stream: _Stream) -> pb.WatchPolicyResponse:
        policy = self._shelf.policy_of(who.pod_uid)
        if policy is None or not stream.version:
            raise Unavailable(_no_policy(who, policy))
        logger.warning("%s keeps what it has: %s", who, _no_policy(who, policy))
        stream.awaits = True
        return pb.WatchPolicyResponse(version=stream.version)

    async def _further(self, who: PodIdentity, stream: _Stream, context: Context) -> None:
        while not stream.is_over:
            policy = self._shelf.policy_of(who.pod_uid)
            if policy is None:
                raise BadRequest(f"{who} does not exist any more", status=403)
            if isinstance(policy, Held) or stream.awaits or policy.version == stream.version:
                await stream.moved.wait()
                stream.moved.clear()
            else:
                await context.write(_response(stream, policy))
        _check_end(stream)

    async def _listen(self, who: PodIdentity, stream: _Stream, requests: Requests) -> None:
        """Take answers until there are no more; what ends this ends the stream."""
        try:
            async for request in requests:
                self._take(who, stream, request)
        except RemoraError as error:
            stream.end(error)
        finally:
            stream.end()

    def _take(self, who: PodIdentity, stream: _Stream, request: pb.WatchPolicyRequest) -> None:
        match request.WhichOneof("event"):
            case "applied":
                _check_asked(stream, request.applied.version)
                answer = self._answers.applied(who.pod_uid, stream.version)
            case "refused":
                _check_asked(stream, request.refused.version)
                problems = (Problem(p.field_path, p.reason) for p in request.refused.problems)
                answer = self._answers.refused(who.pod_uid, stream.version, problems)
                _warn(who, answer)
            case _:
                raise BadRequest("an answer should say 'applied' or 'refused'")
        stream.awaits = False
        stream.moved.set()
        self._tell(who, answer)

    def _tell(self, who: PodIdentity, answer: Answer) -> None:
        if self._heard is not None:
            self._heard(who, answer)


def _check_end(stream: _Stream) -> None:
    if stream.error is not None:
        raise stream.error


def _check_asked(stream: _Stream, version: str) -> None:
    if not stream.awaits or version != stream.version:
        raise BadRequest("an answer to a document that was not sent")


def _response(stream: _Stream, policy: PodPolicy) -> pb.WatchPolicyResponse:
    has_it = policy.version == stream.version
    document = b"" if has_it else policy.effective.canonical
    stream.version, stream.awaits = policy.version, True
    return pb.WatchPolicyResponse(version=policy.version, document=document)


def _warn(who: PodIdentity, answer: Answer) -> None:
    if answer.refusal is not None:
        first = answer.refusal.problems[0]
        version = answer.refusal.version
        logger.warning("%s refused its policy of version %s: %s", who, version, first)


def _no_policy(who: PodIdentity, policy: Held | PodPolicy | None) -> str:
    why = policy.why if isinstance(policy, Held) else "the operator has not seen the pod yet"
    return f"the policy of {who} is not known: {why}"

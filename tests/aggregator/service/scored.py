"""ScoreService on a Unix socket, over a real store, and callers that say who they are."""

import asyncio
import itertools
from contextlib import asynccontextmanager

import grpc
import pytest

from remora.errors import BadRequest
from remora.learning.arms import Arm
from remora.learning.evidence import Evidence, Source
from remora_aggregator.learning import learning
from remora_aggregator.service.caller import Caller
from remora_aggregator.service.permissions import Role
from remora_aggregator.signals.signal import Signal
from remora_aggregator.signals.trial import ArmTrial
from remora_aggregator.store.learning_score_store import StoredScores
from remora_aggregator.store.learning_signal_store import StoredSignals
from remora_proto.v1 import scores_pb2 as pb
from remora_proto.v1 import scores_pb2_grpc

WITHIN_S = 30.0
CALLERS = {
    "pod": Caller("team-a", Role.REPORTER, "pod/one", pod_uid="pod-1"),
    "member": Caller("team-a", Role.MEMBER, "cy"),
    "neighbour": Caller("team-b", Role.REPORTER, "pod/three", pod_uid="pod-3"),
    "neighbour member": Caller("team-b", Role.MEMBER, "di"),
    "reader": Caller("", Role.READER, "bob", frozenset({"team-a", "team-c"})),
    "admin": Caller("ops", Role.ADMIN, "ann", None),
}


class ByName:
    """Callers say who they are: for tests of what each may do."""

    def caller(self, metadata):
        name = dict(metadata).get("name", "pod")
        if name not in CALLERS:
            raise BadRequest("nobody", status=401)
        return CALLERS[name]


class Scored:
    """A running service, its stub, and what is behind it."""

    def __init__(self, stub, store, signals, scores, learned, clock):  # noqa: D107
        self.stub = stub
        self.store = store
        self.signals = signals
        self.scores = scores
        self.learning = learned
        self.clock = clock
        self._numbers = itertools.count(1)

    @property
    def now_ms(self):
        return self.clock.now_unix_ns() // 1_000_000

    def trial(self, model, good=None, *, goal="write", age_s=60, **fields):
        """A trial of a call that began some time ago; judged if it says how good it was."""
        call_id = f"{next(self._numbers):032x}"
        at_ms = self.now_ms - round(1_000 * age_s)
        told = {"workload": "w", **fields}
        evidence = None
        if good is not None:
            evidence = Evidence(Source.INFERRED, float(good), 1.0, at_ms, call_id, "check_passed")
        return ArmTrial(call_id, goal, Arm("openai", model), at_ms, inferred=evidence, **told)

    async def tried(self, *trials, namespace="team-a"):
        await self.signals.take_trials(namespace, trials)
        return trials

    async def known(self, model, good, bad=0, *, namespace="team-a", **fields):
        """Have so many answers of an arm be good, and so many bad."""
        some = [self.trial(model, number < good, **fields) for number in range(good + bad)]
        return await self.tried(*some, namespace=namespace)

    async def signal(self, call_id, strength, *, namespace="team-a", **fields):
        """Have somebody say how good an answer was."""
        told = {"reporter": "", "source": Source.EXPLICIT, **fields}
        number = f"s{next(self._numbers)}"
        evidence = Evidence(
            told["source"], strength, 1.0, self.now_ms, number, "user_accepted", told["reporter"]
        )
        now = self.clock.now_unix_ns()
        await self.signals.take([Signal(namespace, number, call_id, evidence, now)])

    async def __call__(self, method, request, who="member"):
        return await getattr(self.stub, method)(request, metadata=[("name", who)])

    async def refused(self, method, request, who="member"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self(method, request, who)
        return refused.value.code(), refused.value.details()

    @asynccontextmanager
    async def watch(self, *wanted, who="pod", **fields):
        """Follow goals by name, or by `Wanted`; ends with the block."""
        named = [
            pb.WatchScoresRequest.Wanted(goal=one) if isinstance(one, str) else one
            for one in wanted
        ]
        request = pb.WatchScoresRequest(wanted=named, **fields)
        call = self.stub.Watch(request, metadata=[("name", who)])
        try:
            yield Followed(call)
        finally:
            call.cancel()


class Followed:
    """A watch's messages."""

    def __init__(self, call):  # noqa: D107
        self.call = call

    async def message(self):
        async with asyncio.timeout(WITHIN_S):
            message = await self.call.read()
        assert message is not grpc.aio.EOF
        return message

    async def first(self):
        """All scores until it is said that these were all, by goal."""
        found = {}
        while not (message := await self.message()).ready:
            found[message.scores.goal] = message.scores
        return found

    async def until(self, fits):
        """The first scores that fit."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                message = await self.message()
                if message.HasField("scores") and fits(message.scores):
                    return message.scores


def arms_of(scores):
    """Posteriors by model."""
    return {
        one.arm.model: (round(one.posterior.good, 3), round(one.posterior.bad, 3))
        for one in scores.arms
    }


@asynccontextmanager
async def scoring(open_store, folder, clock, **how):
    """Serve scores of a store."""
    async with open_store() as store:
        scores, signals = StoredScores(store, clock), StoredSignals(store)
        async with learning(scores, store, ByName(), clock, **how) as learned:
            server = grpc.aio.server()
            scores_pb2_grpc.add_ScoreServiceServicer_to_server(learned.service, server)
            address = f"unix:{folder}/scores.sock"
            server.add_insecure_port(address)
            await server.start()
            try:
                async with grpc.aio.insecure_channel(address) as channel:
                    stub = scores_pb2_grpc.ScoreServiceStub(channel)
                    yield Scored(stub, store, signals, scores, learned, clock)
            finally:
                await server.stop(0)

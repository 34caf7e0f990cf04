"""PolicyService over real gRPC, with the sidecar's own client and identities from an API server."""

import asyncio
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from tests.operator.policies.objects import cluster_policy, pod, policy

from remora.client.target import AggregatorTarget
from remora.errors import ConfigError, Problem, Unavailable
from remora.policy import effective_from_canonical
from remora.task_owner import TaskOwner
from remora_operator.delivery.pod_identity import PodIdentity
from remora_operator.delivery.policy_service import PolicyService, hosts_from
from remora_operator.delivery.token_review import AUDIENCE
from remora_operator.policies import Answers, ObjectKey, PolicyShelf
from remora_proto.v1 import policy_pb2 as pb
from remora_proto.v1 import policy_pb2_grpc as pb_grpc
from remora_sidecar.policy_service import PodHints, PolicyWatch

TOKEN = "token-of-the-agent"
OTHER = "token-of-another"


class Taker:
    """A sidecar's half: reads what comes as sidecars do, and refuses what it is told to."""

    def __init__(self, version=""):  # noqa: D107
        self.version = version
        self.names = []
        self.confirmations = 0
        self.refuses = ()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def take_document(self, document, version):
        effective = effective_from_canonical(document, version)
        await self.may_go_on.wait()
        if effective.name in self.refuses:
            raise ConfigError([Problem("policy.spec.budgets[0]", "is too new")])
        self.names.append(effective.name)
        self.version = version

    def confirmed(self):
        self.confirmations += 1


class Cluster:
    """An operator's shelf and service, and who is told of answers."""

    def __init__(self, identities, **options):  # noqa: D107
        self.shelf = PolicyShelf()
        self.answers = Answers()
        self.heard = []
        self._moved = asyncio.Event()
        self.service = PolicyService(
            identities, self.shelf, self.answers, version="1.2.3", heard=self._hear, **options
        )

    def _hear(self, who, answer):
        self.heard.append((who.pod_name, answer))
        self._moved.set()

    def put(self, reading):
        self.service.changed(self.shelf.put(reading))

    async def until(self, condition):
        """Wait for what sidecars say to make something true."""
        async with asyncio.timeout(20):
            while not condition():
                self._moved.clear()
                await self._moved.wait()


@pytest.fixture
def uid(cluster):
    """The uid of the pod that the cluster has from the start."""
    return next(known.pod_uid for known in cluster.tokens.values())


@pytest.fixture
def address(tmp_path):
    return f"unix:{tmp_path}/o.sock"


@asynccontextmanager
async def _serving(made, address):
    server = grpc.aio.server()
    pb_grpc.add_PolicyServiceServicer_to_server(made.service, server)
    server.add_insecure_port(address)
    await server.start()
    try:
        yield made
    finally:
        made.service.stop()
        await server.stop(5)


def _with_one_pod(made, uid):
    made.shelf.put(policy("first"))
    made.shelf.put_pod(pod(uid))
    made.shelf.complete()
    return made


@pytest.fixture
async def operator(reviews, address, uid):
    made = _with_one_pod(Cluster(reviews, patience_s=20.0), uid)
    async with _serving(made, address):
        yield made


@pytest.fixture
async def impatient(reviews, address, uid):
    made = _with_one_pod(Cluster(reviews, patience_s=0.5), uid)
    async with _serving(made, address):
        yield made


@pytest.fixture
def sidecar(address, tmp_path):
    """Runs real sidecars' clients until the test ends, or until told to stop."""

    @asynccontextmanager
    async def running(taker, token=TOKEN):
        file = tmp_path / token
        file.write_text(token)
        target = AggregatorTarget(address, token_file=file)
        watch = PolicyWatch(target, PodHints("x", "y", "z", "9"), sleep=_hardly, jitter=lambda: 0)
        tasks = TaskOwner("test")
        tasks.spawn(watch.run(taker), name="watch")
        try:
            yield watch
        finally:
            await tasks.aclose()

    return running


async def _hardly(seconds):
    await asyncio.sleep(min(seconds, 0.01))


@pytest.fixture
async def stub(address):
    async with grpc.aio.insecure_channel(address) as channel:
        yield pb_grpc.PolicyServiceStub(channel)


async def _until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.001)


def _call(stub, token=TOKEN):
    return stub.Watch(metadata=(("authorization", f"Bearer {token}"),), timeout=20)


def _hello(version=""):
    return pb.WatchPolicyRequest(hello=pb.WatchPolicyRequest.Hello(version=version))


def _applied(version):
    return pb.WatchPolicyRequest(applied=pb.WatchPolicyRequest.Applied(version=version))


async def _ended(call):
    """Wait for a stream's end; returns its status and words."""
    with suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            pass
    return await call.code(), await call.details()


async def test_a_sidecar_has_its_policy_and_every_change_of_it(operator, sidecar, uid):
    taker = Taker()
    async with sidecar(taker) as watch:
        await operator.until(lambda: operator.answers.of(uid).applied)
        assert (watch.connected, watch.operator_version, watch.problems) == (True, "1.2.3", ())
        operator.put(policy("second", {"priority": 1}))
        await operator.until(lambda: len(taker.names) == 2)
    assert taker.names == ["first", "second"]
    assert taker.version == operator.shelf.policy_of(uid).version
    assert {name for name, _ in operator.heard} == {"agent-1"}


async def test_a_sidecar_that_has_it_already_confirms_it(operator, sidecar, uid):
    version = operator.shelf.policy_of(uid).version
    taker = Taker(version)
    async with sidecar(taker):
        await operator.until(lambda: len(operator.heard) == 2)
    assert (taker.names, taker.confirmations) == ([], 1)
    assert operator.answers.of(uid).applied == version


async def test_each_sidecar_sees_its_own_policy_only(operator, sidecar, cluster, uid):
    other_uid = cluster.add_pod("team-b", "agent-2", token=OTHER, audience=AUDIENCE)
    operator.put(policy("of-b", namespace="team-b"))
    operator.service.changed(operator.shelf.put_pod(pod(other_uid, namespace="team-b")))
    mine, theirs = Taker(), Taker()
    async with sidecar(mine), sidecar(theirs, OTHER):
        await operator.until(lambda: mine.names and theirs.names)
        assert operator.service.connected == {uid, other_uid}
        operator.put(policy("of-b-2", {"priority": 2}, namespace="team-b"))
        await operator.until(lambda: len(operator.heard) == 5)
    assert (mine.names, theirs.names) == (["first"], ["of-b", "of-b-2"])


async def test_a_refusal_is_kept_with_its_field_and_the_next_document_is_taken(
    operator, sidecar, uid, caplog
):
    taker = Taker()
    taker.refuses = ("odd",)
    async with sidecar(taker):
        await operator.until(lambda: taker.names)
        operator.put(policy("odd", {"priority": 1}))
        await operator.until(lambda: operator.answers.of(uid).refusal)
        refusal = operator.answers.of(uid).refusal
        assert refusal.problems == (Problem("policy.spec.budgets[0]", "is too new"),)
        assert "refused its policy" in caplog.text
        operator.put(policy("odd", {"priority": -1}, generation=2))
        operator.put(policy("good", {"priority": 1}))
        await operator.until(lambda: operator.answers.of(uid).refusal is None)
    assert taker.names == ["first", "good"]


async def test_a_sidecar_that_is_behind_is_sent_the_newest_only(operator, sidecar, uid):
    taker = Taker()
    taker.may_go_on.clear()
    async with sidecar(taker):
        await operator.until(lambda: operator.heard)
        for priority in range(1, 30):
            operator.put(policy(f"p{priority}", {"priority": priority}))
            await asyncio.sleep(0)
        taker.may_go_on.set()
        version = operator.shelf.policy_of(uid).version
        await operator.until(lambda: operator.answers.of(uid).applied == version)
    assert taker.names == ["first", "p29"]


async def test_a_pod_that_the_watch_brings_late_is_waited_for(reviews, address, sidecar, uid):
    made = Cluster(reviews)
    async with _serving(made, address):
        taker = Taker()
        async with sidecar(taker):
            await _until(lambda: uid in made.service.connected)
            made.service.changed(made.shelf.complete())
            made.service.changed(made.shelf.put_pod(pod(uid)))
            await made.until(lambda: taker.names)
    assert taker.names == ["default"]


@pytest.mark.parametrize(
    ("is_known", "why"),
    [(False, "has not seen the pod"), (True, "LLMPolicy team-a/bad rules this pod")],
    ids=["unknown", "held"],
)
async def test_without_a_policy_a_new_sidecar_is_told_why(impatient, stub, uid, is_known, why):
    impatient.put(policy("bad", {"priority": "high"}))
    impatient.service.changed(impatient.shelf.remove_pod(uid))
    if is_known:
        impatient.service.changed(impatient.shelf.put_pod(pod(uid)))
    call = _call(stub)
    await call.write(_hello())
    code, words = await _ended(call)
    assert (code, why in words) == (grpc.StatusCode.UNAVAILABLE, True), words


async def test_a_running_sidecar_keeps_what_it_has_and_stays_for_the_next(impatient, sidecar, uid):
    impatient.put(policy("bad", {"priority": "high"}))
    impatient.service.changed(impatient.shelf.remove_pod(uid))
    impatient.service.changed(impatient.shelf.put_pod(pod(uid)))
    taker = Taker("what it has")
    async with sidecar(taker):
        await impatient.until(lambda: taker.confirmations and len(impatient.heard) == 2)
        assert taker.version == "what it has"
        impatient.put(policy("bad", {"priority": 1}, generation=2))
        await impatient.until(lambda: taker.names)
    assert taker.names == ["bad"]


async def test_the_hosts_of_its_certificate_are_those_of_its_policy(operator, uid):
    who = PodIdentity("team-a", "agent-1", uid, "default")
    hosts_of = hosts_from(operator.shelf)
    operator.put(policy("one", {"priority": 1, "intercept": ["openai"]}))
    assert hosts_of(who) == ("*.api.openai.com", "api.openai.com")
    with pytest.raises(Unavailable, match="has not seen the pod"):
        hosts_of(PodIdentity("team-a", "agent-1", "another", "default"))


async def test_a_stream_ends_with_its_pod(operator, stub, uid):
    call = _call(stub)
    await call.write(_hello())
    first = await call.read()
    await call.write(_applied(first.version))
    await operator.until(lambda: operator.answers.of(uid).applied)
    operator.service.changed(operator.shelf.remove_pod(uid))
    code, words = await _ended(call)
    assert (code, "not exist any more" in words) == (grpc.StatusCode.PERMISSION_DENIED, True)
    assert operator.answers.of(uid).applied == ""


async def test_nobody_is_served_without_a_token(operator, stub):
    call = _call(stub, "nobodys")
    assert (await _ended(call))[0] is grpc.StatusCode.UNAUTHENTICATED
    assert operator.service.connected == frozenset()


async def test_an_api_server_that_is_away_is_no_refusal(operator, stub, cluster):
    cluster.fails_with = 503
    assert (await _ended(_call(stub)))[0] is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ([_applied("x")], "begins with a greeting"),
        ([pb.WatchPolicyRequest()], "begins with a greeting"),
        ([_hello(), _hello()], "'applied' or 'refused'"),
        ([_hello(), pb.WatchPolicyRequest()], "'applied' or 'refused'"),
        ([_hello(), _applied("x" * 64)], "was not sent"),
    ],
    ids=["answer", "empty", "twice", "no answer", "another version"],
)
async def test_who_does_not_keep_to_the_order_is_told(operator, stub, sent, why):
    call = _call(stub)
    for request in sent:
        await call.write(request)
    code, words = await _ended(call)
    assert (code, why in words) == (grpc.StatusCode.INVALID_ARGUMENT, True), words


async def test_who_does_not_greet_is_not_waited_for(impatient, stub):
    code, words = await _ended(_call(stub))
    assert (code, "none came" in words) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_a_greeting_that_names_no_version_is_not_kept(operator, stub, uid):
    call = _call(stub)
    await call.write(_hello("x" * 100_000))
    assert (await call.read()).document
    assert operator.answers.of(uid).applied == ""


async def test_an_answer_counts_once(operator, stub, uid):
    call = _call(stub)
    await call.write(_hello())
    version = (await call.read()).version
    await call.write(_applied(version))
    await operator.until(lambda: operator.answers.of(uid).applied)
    await call.write(_applied(version))
    code, words = await _ended(call)
    assert (code, "was not sent" in words) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_a_sidecar_that_ends_its_half_is_let_go(operator, stub, uid):
    call = _call(stub)
    await call.write(_hello())
    await call.read()
    await call.done_writing()
    assert (await _ended(call))[0] is grpc.StatusCode.OK
    assert uid not in operator.service.connected


async def test_the_newest_stream_of_a_pod_is_the_only_one(operator, stub, uid):
    former, later = _call(stub), _call(stub)
    await former.write(_hello())
    await former.read()
    await later.write(_hello())
    assert (await later.read()).document
    code, words = await _ended(former)
    assert (code, "anew" in words) == (grpc.StatusCode.UNAVAILABLE, True)
    assert operator.service.connected == {uid}


async def test_more_sidecars_than_there_is_room_for_come_again(reviews, address, stub, uid):
    made = Cluster(reviews, max_streams=1)
    made.shelf.put_pod(pod(uid))
    made.shelf.complete()
    async with _serving(made, address):
        held = _call(stub)
        await held.write(_hello())
        await held.read()
        assert (await _ended(_call(stub)))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        held.cancel()


async def test_a_sidecar_that_vanishes_leaves_nothing_behind(operator, stub, uid):
    call = _call(stub)
    await call.write(_hello())
    await call.read()
    call.cancel()
    await _until(lambda: not operator.service.connected)
    operator.put(policy("later", {"priority": 1}))
    assert uid not in operator.service.connected


async def test_at_the_end_every_stream_is_told_and_none_begins(operator, stub):
    call = _call(stub)
    await call.write(_hello())
    await call.read()
    operator.service.stop()
    code, words = await _ended(call)
    assert (code, "another replica" in words) == (grpc.StatusCode.UNAVAILABLE, True)
    assert (await _ended(_call(stub)))[0] is grpc.StatusCode.UNAVAILABLE


async def test_a_bug_of_ours_tells_sidecars_nothing(operator, stub, caplog, monkeypatch):
    def broken(_uid):
        raise RuntimeError("the key is hunter2")

    monkeypatch.setattr(operator.shelf, "policy_of", broken)
    call = _call(stub)
    await call.write(_hello())
    code, words = await _ended(call)
    assert (code, "hunter2" in words) == (grpc.StatusCode.INTERNAL, False)
    assert "could not be served" in caplog.text


async def test_a_change_of_the_cluster_reaches_everybody_within_the_turn(operator, sidecar, uid):
    taker = Taker()
    async with sidecar(taker):
        await operator.until(lambda: taker.names)
        operator.put(cluster_policy("floor", {"floors": {"opaque": "block"}}))
        await operator.until(lambda: len(taker.names) == 2)
        operator.service.changed(operator.shelf.remove(ObjectKey("ClusterLLMPolicy", "", "floor")))
        await operator.until(lambda: len(taker.names) == 3)
    assert operator.answers.of(uid).applied == taker.version

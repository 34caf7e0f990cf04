"""The Watch stream, against the operator's fake over a Unix socket."""

import asyncio
import hashlib
import logging
from contextlib import asynccontextmanager

import grpc
import pytest
import trustme

from remora.client.target import AggregatorTarget
from remora.errors import ConfigError, Problem
from remora.testing.policy_server import PolicyServer
from remora_sidecar.policy_service import PodHints, PolicyWatch

HINTS = PodHints("team-a", "agent-1", "uid-1", "1.2.3")


class Taker:
    """Takes every document but those that a test has it refuse."""

    def __init__(self):  # noqa: D107
        self.version = ""
        self.taken = []
        self.confirmations = 0
        self.refuses = frozenset()

    async def take_document(self, document, version):
        if document in self.refuses:
            raise ConfigError([Problem("policy.spec.a", "is wrong"), Problem("document", "too")])
        self.taken.append(document)
        self.version = version

    def confirmed(self):
        self.confirmations += 1


class Sleeper:
    """Remembers what is slept, and sleeps until it is woken."""

    def __init__(self):  # noqa: D107
        self.asked_s = []
        self.is_over = False
        self._wake = asyncio.Event()
        self._asked = asyncio.Event()

    async def __call__(self, seconds):
        self.asked_s.append(seconds)
        self._asked.set()
        if not self.is_over:
            await self._wake.wait()
        self._wake.clear()

    async def asked(self):
        await asyncio.wait_for(self._asked.wait(), 20)
        self._asked.clear()

    def wake(self):
        self._wake.set()


@pytest.fixture
def server():
    return PolicyServer()


@pytest.fixture
def taker():
    return Taker()


@pytest.fixture
def sleeper():
    return Sleeper()


@pytest.fixture
def address(tmp_path):
    return f"unix:{tmp_path}/operator.sock"


@asynccontextmanager
async def watching(address, taker, sleeper, **target):
    watch = PolicyWatch(
        AggregatorTarget(address, **target), HINTS, sleep=sleeper, jitter=lambda: 1.0
    )
    task = asyncio.get_running_loop().create_task(watch.run(taker))
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_greeting_says_who_asks_and_what_is_in_force(server, taker, sleeper, address):
    taker.version = "old"
    async with server.serving(address), watching(address, taker, sleeper):
        await server.until(lambda: server.hellos)
    hello = server.hellos[0]
    assert (hello.namespace, hello.pod_name, hello.pod_uid) == ("team-a", "agent-1", "uid-1")
    assert (hello.sidecar_version, hello.version) == ("1.2.3", "old")


async def test_every_document_is_taken_in_order_and_acknowledged(server, taker, sleeper, address):
    async with server.serving(address), watching(address, taker, sleeper) as watch:
        await server.until(lambda: server.connections)
        versions = [server.push(document) for document in (b"one", b"two", b"three")]
        await server.until(lambda: len(server.applied) == 3)
        assert (watch.connected, watch.problems) == (True, ())
        assert watch.operator_version == "9.9"
    assert server.applied == versions
    assert taker.taken == [b"one", b"two", b"three"]


async def test_a_document_that_was_there_before_comes_at_once(server, taker, sleeper, address):
    server.push(b"one")
    async with server.serving(address), watching(address, taker, sleeper):
        await server.until(lambda: server.applied)
    assert taker.taken == [b"one"]


async def test_a_refused_document_is_answered_with_every_problem(
    server, taker, sleeper, address, caplog
):
    taker.refuses = {b"bad"}
    with caplog.at_level(logging.ERROR):
        async with server.serving(address), watching(address, taker, sleeper) as watch:
            server.push(b"bad")
            await server.until(lambda: server.refused)
            assert watch.connected
            assert "policy.spec.a: is wrong; document: too" in watch.problems[0]
            assert watch.refused_total == len(caplog.records) == 1
            server.push(b"good")
            await server.until(lambda: server.applied)
            assert watch.problems == ()
    refused = server.refused[0]
    assert refused.version == hashlib.sha256(b"bad").hexdigest()
    assert [(p.field_path, p.reason) for p in refused.problems] == [
        ("policy.spec.a", "is wrong"),
        ("document", "too"),
    ]
    assert taker.taken == [b"good"]


async def test_what_is_in_force_already_is_confirmed_without_the_document(
    server, taker, sleeper, address
):
    taker.version = server.push(b"one")
    async with server.serving(address), watching(address, taker, sleeper):
        await server.until(lambda: server.applied)
    assert (taker.taken, taker.confirmations) == ([], 1)


async def test_a_confirmation_of_something_else_is_put_to_the_test(server, taker, sleeper, address):
    taker.refuses = {b""}
    async with server.serving(address), watching(address, taker, sleeper):
        server.push(b"", version="f" * 64)
        await server.until(lambda: server.refused)
    assert taker.taken == []


async def test_a_lost_connection_is_made_again_and_the_version_said(
    server, taker, sleeper, address
):
    async with server.serving(address), watching(address, taker, sleeper) as watch:
        version = server.push(b"one")
        await server.until(lambda: server.applied)
        server.drop()
        await sleeper.asked()
        assert not watch.connected
        assert "sends no policies" in watch.problems[0]
        assert "dropped" in watch.problems[0]
        sleeper.wake()
        await server.until(lambda: len(server.applied) == 2)
        assert watch.problems == ()
    assert [hello.version for hello in server.hellos] == ["", version]
    assert taker.taken == [b"one"]


async def test_pauses_grow_to_half_a_minute_while_nobody_answers(taker, sleeper, address, caplog):
    with caplog.at_level(logging.WARNING):
        async with watching(address, taker, sleeper) as watch:
            for _ in range(10):
                await sleeper.asked()
                assert "it can't be reached" in watch.problems[0]
                sleeper.wake()
    assert sleeper.asked_s[:10] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "this sidecar may not ask it (the words of the"),
        (grpc.StatusCode.UNIMPLEMENTED, "it has no policies"),
        (grpc.StatusCode.INTERNAL, "INTERNAL (the words of the operator)"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_an_operator_that_will_not_is_quoted(
    server, taker, sleeper, address, status, meaning
):
    server.aborts = status
    async with server.serving(address), watching(address, taker, sleeper) as watch:
        for _ in range(20):  # the greeting's own failure may hide the reason, but not for long
            await sleeper.asked()
            if meaning in watch.problem:
                break
            sleeper.wake()
        assert meaning in watch.problem


async def test_over_tls_the_token_opens_the_door(taker, sleeper, tmp_path):
    ca = trustme.CA()
    leaf = ca.issue_cert("127.0.0.1")
    credentials = grpc.ssl_server_credentials(
        [(leaf.private_key_pem.bytes(), b"".join(c.bytes() for c in leaf.cert_chain_pems))]
    )
    root, token = tmp_path / "ca.pem", tmp_path / "token"
    root.write_bytes(ca.cert_pem.bytes())
    token.write_text("not-this-one\n")
    server = PolicyServer(tokens=["secret-of-the-pod"])
    server.push(b"one")
    files = {"token_file": token, "ca_file": root}
    async with (
        server.serving(credentials=credentials),
        watching(server.address, taker, sleeper, **files) as watch,
    ):
        await sleeper.asked()
        assert watch.problems
        assert "not-this-one" not in "".join(watch.problems)
        token.write_text("secret-of-the-pod\n")
        sleeper.is_over = True
        sleeper.wake()
        await server.until(lambda: server.applied)
    assert taker.taken == [b"one"]


async def test_cancelling_ends_it_whole(server, taker, sleeper, address):
    async with server.serving(address):
        async with watching(address, taker, sleeper):
            await server.until(lambda: server.connections)
        await server.until(lambda: not server.connections)

"""How a sidecar asks for its certificates, over a Unix socket; time is the test's own."""

import asyncio
import logging
from contextlib import asynccontextmanager

import grpc
import pytest

from remora.client.target import AggregatorTarget
from remora.testing.certificate_server import CertificateServer
from remora.testing.clock import ManualClock
from remora_proto.v1 import certificates_pb2_grpc as pb_grpc
from remora_sidecar.certificate_client import CertificateClient
from remora_sidecar.interceptor.issued_authority import new_key

HOST = "api.openai.com"
HALF_DAY_S = 43_200.0


class Time:
    """Passes by being slept, and only when the test lets it."""

    def __init__(self, clock):  # noqa: D107
        self.clock = clock
        self.slept_s = []
        self.allowed = asyncio.Semaphore(0)
        self._asked = asyncio.Event()

    async def sleep(self, seconds):
        self.slept_s.append(seconds)
        self._asked.set()
        await self.allowed.acquire()
        self.clock.advance(seconds)

    async def asked(self):
        """Wait until somebody sleeps."""
        async with asyncio.timeout(20):
            await self._asked.wait()
        self._asked.clear()

    async def pass_until(self, condition):
        async with asyncio.timeout(20):
            while not condition():
                self.allowed.release()
                await asyncio.sleep(0.001)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def time(clock):
    return Time(clock)


@pytest.fixture
def server(clock):
    made = CertificateServer(clock)
    made.hosts = [HOST]
    return made


@pytest.fixture
def address(tmp_path):
    return f"unix:{tmp_path}/operator.sock"


@asynccontextmanager
async def serving(server, address):
    running = grpc.aio.server()
    pb_grpc.add_CertificateServiceServicer_to_server(server, running)
    running.add_insecure_port(address)
    await running.start()
    try:
        yield
    finally:
        await running.stop(None)


@asynccontextmanager
async def asking(address, clock, time, *, jitter=0.0, keys=None, asked_s=None):
    def make_key():
        key = new_key()
        if keys is not None:
            keys.append(key)
        if asked_s is not None:
            asked_s.append(clock.monotonic_s())
        return key

    client = CertificateClient(
        AggregatorTarget(address), clock, sleep=time.sleep, jitter=lambda: jitter, make_key=make_key
    )
    task = asyncio.get_running_loop().create_task(client.run())
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _first(client):
    await asyncio.wait_for(client.first(), 20)


async def test_the_first_certificate_is_asked_for_at_once(server, address, clock, time):
    async with serving(server, address), asking(address, clock, time) as client:
        assert client.not_after_unix_s is None
        await _first(client)
        assert client.authority.leaf(HOST).chain
        assert (client.problems, client.renewals_total, client.failures_total) == ((), 1, 0)
        assert client.not_after_unix_s == clock.now_unix_ns() / 1e9 + 86_400


async def test_it_is_renewed_at_half_its_life_with_another_key(server, address, clock, time):
    keys, asked_s = [], []
    async with (
        serving(server, address),
        asking(address, clock, time, keys=keys, asked_s=asked_s) as client,
    ):
        await _first(client)
        before = client.authority.leaf(HOST)
        await time.pass_until(lambda: client.renewals_total == 2)
        after = client.authority.leaf(HOST)
    assert asked_s[1] - asked_s[0] == pytest.approx(HALF_DAY_S)
    assert before.chain[0].public_key() == keys[0].public_key()
    assert after.chain[0].public_key() == keys[1].public_key() != keys[0].public_key()


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
async def test_pods_do_not_all_come_at_once(server, address, clock, time, jitter):
    asked_s = []
    async with (
        serving(server, address),
        asking(address, clock, time, jitter=jitter, asked_s=asked_s) as client,
    ):
        await _first(client)
        await time.pass_until(lambda: client.renewals_total == 2)
    assert asked_s[1] - asked_s[0] == pytest.approx(HALF_DAY_S * (1 - 0.2 * jitter))


async def test_a_machine_that_slept_renews_when_it_wakes(server, address, clock, time):
    async with serving(server, address), asking(address, clock, time) as client:
        await _first(client)
        await time.asked()
        clock.step_wall(HALF_DAY_S + 1)
        time.allowed.release()
        async with asyncio.timeout(20):
            while client.renewals_total == 1:  # noqa: ASYNC110 - it signals nothing
                await asyncio.sleep(0.001)
        assert client.problems == ()


async def test_an_operator_that_is_away_is_asked_with_growing_pauses(
    server, address, clock, time, caplog
):
    with caplog.at_level(logging.WARNING):
        async with asking(address, clock, time, jitter=1.0) as client:
            await time.pass_until(lambda: client.failures_total == 9)
            [problem] = client.problems
            assert "agents are not served until it does" in problem
            async with serving(server, address):
                await time.pass_until(lambda: client.renewals_total)
                assert client.problems == ()
    assert time.slept_s[:8] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6]
    said = [record for record in caplog.records if "certificate_client" in record.name]
    assert len(said) == 1


async def test_while_the_operator_is_away_the_last_one_goes_on_until_its_end(
    server, address, clock, time
):
    async with asking(address, clock, time) as client:
        async with serving(server, address):
            await _first(client)
        await time.pass_until(lambda: client.failures_total)
        assert client.authority.leaf(HOST)
        assert "the one in use is good until 2026-01-02 00:00 UTC" in client.problems[0]
        await time.pass_until(lambda: clock.now_unix_ns() / 1e9 >= client.not_after_unix_s)
        assert "expired at 2026-01-02 00:00 UTC: no call over TLS" in client.problems[0]
        with pytest.raises(Exception, match="expired at 2026-01-02"):
            client.authority.leaf(HOST)
        async with serving(server, address):
            await time.pass_until(lambda: client.renewals_total == 2)
            assert client.authority.leaf(HOST)


async def test_a_policy_that_adds_a_host_has_a_certificate_for_it_at_once(
    server, address, clock, time
):
    async with serving(server, address), asking(address, clock, time) as client:
        await _first(client)
        server.hosts = [HOST, "api.anthropic.com"]
        before_s = clock.monotonic_s()
        async with asyncio.timeout(20):
            await client.cover([HOST, "api.anthropic.com"], within_s=1.0)
        assert client.authority.leaf("api.anthropic.com")
        assert clock.monotonic_s() == before_s
        assert (client.renewals_total, client.problems) == (2, ())


async def test_a_policy_that_adds_no_host_asks_for_nothing(server, address, clock, time):
    async with serving(server, address), asking(address, clock, time) as client:
        await _first(client)
        await client.cover([HOST, "*.api.openai.com"], within_s=1.0)
        await client.cover([], within_s=1.0)
    assert len(server.requests) == 1


async def test_a_host_that_the_operator_does_not_know_yet_is_asked_for_again(
    server, address, clock, time
):
    async with serving(server, address), asking(address, clock, time, jitter=1.0) as client:
        await _first(client)
        covering = asyncio.ensure_future(client.cover(["api.anthropic.com"], within_s=1.0))
        await time.pass_until(covering.done)  # it waits no longer, and asking goes on
        start_s = clock.monotonic_s()
        await time.pass_until(lambda: client.renewals_total > 13)
        assert clock.monotonic_s() - start_s > 300  # ever less often
        assert "is not good yet for api.anthropic.com" in client.problems[0]
        server.hosts = [HOST, "api.anthropic.com"]
        await time.pass_until(lambda: not client.problems)
        assert client.authority.leaf("api.anthropic.com")


async def test_a_change_of_roots_is_told(server, address, clock, time):
    async with serving(server, address), asking(address, clock, time) as client:
        await _first(client)
        assert client.roots_changed.is_set()
        client.roots_changed.clear()
        await time.pass_until(lambda: client.renewals_total == 2)
        assert not client.roots_changed.is_set()
        server.rotate()
        await time.pass_until(lambda: client.renewals_total == 3)
        assert client.roots_changed.is_set()
        assert client.authority.root_pem.startswith(server.root_pem)
        assert len(client.authority.leaf(HOST).chain) == 2


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "does not sign for this pod (the words of the"),
        (grpc.StatusCode.UNAUTHENTICATED, "does not know this sidecar's token"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "asked too often"),
        (grpc.StatusCode.FAILED_PRECONDITION, "it can't sign"),
        (grpc.StatusCode.UNIMPLEMENTED, "it signs none: another program"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_an_operator_that_will_not_is_quoted(server, address, clock, time, status, meaning):
    server.refuses_with = status
    async with serving(server, address), asking(address, clock, time) as client:
        await time.asked()
        assert meaning in client.problems[0]


async def test_certificates_for_another_key_are_not_installed(server, address, clock, time):
    server.for_key = new_key().public_key()
    async with serving(server, address), asking(address, clock, time) as client:
        await time.asked()
        assert "not a CA's of our key" in client.problems[0]
        assert client.authority.issued is None


async def test_a_node_whose_clock_is_wrong_is_told_so(server, address, time):
    ahead = ManualClock()
    ahead.step_wall(2 * 86_400)
    async with serving(server, address), asking(address, ahead, time) as client:
        await time.asked()
        assert "check the clock of this node" in client.problems[0]


async def test_an_operator_that_says_nonsense_of_renewal_is_not_asked_without_end(
    server, address, clock, time
):
    server.renew_after_s = 0.0
    async with serving(server, address), asking(address, clock, time) as client:
        await _first(client)
        await time.asked()
        assert time.slept_s[0] >= 0.8


async def test_the_request_holds_no_more_than_the_key(server, address, clock, time):
    keys = []
    async with serving(server, address), asking(address, clock, time, keys=keys) as client:
        await _first(client)
    [request] = server.requests
    secret = keys[0].private_numbers().private_value.to_bytes(32)
    assert secret not in request.SerializeToString()


async def test_a_client_that_ended_by_a_mistake_of_ours_says_so(server, address, clock, time):
    def broken():
        raise RuntimeError("a mistake")

    client = CertificateClient(AggregatorTarget(address), clock, sleep=time.sleep, make_key=broken)
    with pytest.raises(RuntimeError):
        await client.run()
    assert "restart the sidecar" in client.problems[0]

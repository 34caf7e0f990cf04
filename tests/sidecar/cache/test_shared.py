"""The shared level against a real server on a Unix socket."""

import asyncio
import os
import signal
import time

import pytest

from remora.testing.redis_server import WHY_NOT, redis_server
from remora_sidecar.cache.shared import Patience, SharedCache

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

PATIENT = Patience(connect_s=20, operation_s=20)
"""For what a server does that is not slow, on machines that are."""


@pytest.fixture
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("redis") / "s"


@pytest.fixture
def server(path):
    with redis_server(path) as running:
        yield running


@pytest.fixture
async def open_shared(path, clock):
    opened = []

    def open_one(namespace="team-a", secret=b"s" * 32, url=None, patience=PATIENT, **options):
        shared = SharedCache(
            url or f"unix://{path}",
            namespace=namespace,
            secret=secret,
            clock=clock,
            patience=patience,
            **options,
        )
        opened.append(shared)
        return shared

    yield open_one
    for shared in opened:
        await shared.aclose()


@pytest.fixture
def now(clock):
    return clock.now_unix_ns()


async def probed(shared, clock):
    """Lets a probe come due and end."""
    clock.advance(31)
    await shared.find("x", clock.now_unix_ns())
    async with asyncio.timeout(10):
        while not shared._tasks.idle:  # noqa: ASYNC110  # a probe has no event
            await asyncio.sleep(0.001)


async def test_one_pod_finds_what_another_kept(server, open_shared, make_kept, now):
    await open_shared().keep("a", make_kept(), now)

    other = open_shared()
    assert await other.find("a", now) == make_kept()
    assert await other.find("b", now) is None
    assert (other.stats().hits, other.stats().misses) == (1, 1)


async def test_large_answers_are_shared_too_but_not_the_largest(
    server, open_shared, make_kept, now
):
    shared = open_shared(max_value_bytes=5_000)
    large = make_kept(size=900_000, chunks=5)
    await shared.keep("a", large, now)
    await shared.keep("b", make_kept(os.urandom(20_000).hex()), now)

    assert await shared.find("a", now) == large
    assert await shared.find("b", now) is None
    assert shared.stats().refused == 1


async def test_namespaces_and_secrets_never_share(server, open_shared, make_kept, now):
    await open_shared().keep("a", make_kept(), now)

    assert await open_shared(namespace="team-b").find("a", now) is None
    stranger = open_shared(secret=b"t" * 32)
    assert await stranger.find("a", now) is None
    assert stranger.stats().errors == 1


async def test_the_server_sees_no_word_of_it_and_forgets_it_in_time(
    server, open_shared, make_kept, now
):
    shared = open_shared()
    await shared.keep("a", make_kept("a secret answer"), now)
    [name] = [name async for name in shared._redis.scan_iter()]
    value = await shared._redis.get(name)

    assert name == b"remora:1:team-a:a"
    assert b"secret" not in value
    assert 59_000 < await shared._redis.pttl(name) <= 60_000


async def test_a_value_moved_or_changed_on_the_server_is_a_miss(
    server, open_shared, make_kept, now
):
    shared = open_shared()
    await shared.keep("a", make_kept(), now)
    value = await shared._redis.get("remora:1:team-a:a")
    await shared._redis.set("remora:1:team-a:b", value)
    await shared._redis.set("remora:1:team-a:a", value[:-1] + bytes([value[-1] ^ 1]))

    assert await shared.find("a", now) is None
    assert await shared.find("b", now) is None
    assert shared.stats().errors == 2


async def test_what_expired_by_our_clock_is_a_miss(server, open_shared, make_kept, clock):
    shared = open_shared()
    await shared.keep("a", make_kept(), clock.now_unix_ns())
    clock.advance(60)

    assert await shared.find("a", clock.now_unix_ns()) is None
    await shared.keep("b", make_kept(ttl_s=0), clock.now_unix_ns())
    assert await shared._redis.exists("remora:1:team-a:b") == 0


async def test_clearing_clears_the_namespace_alone(server, open_shared, make_kept, now):
    mine, odd, other = (open_shared(name) for name in ("team-a", "team-?", "team-b"))
    for number in range(1200):
        await mine.keep(str(number), make_kept(), now)
    await odd.keep("a", make_kept(), now)
    await other.keep("a", make_kept(), now)
    await odd.clear()
    assert await mine.find("7", now) is not None
    await mine.clear()

    assert await mine.find("7", now) is None
    assert await other.find("a", now) is not None
    assert await mine._redis.dbsize() == 1


async def test_a_server_that_is_not_there_costs_nothing(open_shared, make_kept, now, clock):
    shared = open_shared()
    assert await shared.find("a", now) is None
    assert "does not answer" in shared.stats().problem

    for number in range(1000):
        assert await shared.find(str(number), now) is None
        await shared.keep(str(number), make_kept(), now)
    assert shared.stats().errors == 1, "nobody asked again"
    await shared.clear()


async def test_a_server_that_comes_is_used_again(path, open_shared, make_kept, clock):
    shared = open_shared()
    await shared.find("a", clock.now_unix_ns())
    await probed(shared, clock)
    assert shared.stats().problem != ""
    with redis_server(path):
        await probed(shared, clock)
        await shared.keep("a", make_kept(), clock.now_unix_ns())

        assert await shared.find("a", clock.now_unix_ns()) == make_kept()
        assert shared.stats().problem == ""


async def test_a_server_that_hangs_costs_one_call_a_moment(path, open_shared, make_kept, clock):
    shared, now = open_shared(patience=Patience()), clock.now_unix_ns()
    with redis_server(path) as server:
        server.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        found = await asyncio.gather(*(shared.find(str(n), now) for n in range(100)))
        for number in range(1000):
            assert await shared.find(str(number), now) is None
        spent_s = time.monotonic() - began

    assert found == [None] * 100
    assert spent_s < 2
    assert "does not answer" in shared.stats().problem


async def test_a_server_that_hung_is_used_again(server, open_shared, make_kept, clock):
    shared, now = open_shared(patience=Patience(5, 0.1)), clock.now_unix_ns()
    server.send_signal(signal.SIGSTOP)
    assert await shared.find("a", now) is None
    server.send_signal(signal.SIGCONT)
    while shared.stats().problem:
        await probed(shared, clock)

    assert shared._breaker.is_closed


async def test_a_call_given_up_in_the_middle_mixes_nothing_up(server, open_shared, make_kept, now):
    shared = open_shared()
    for number in range(20):
        await shared.keep(str(number), make_kept(f"answer {number}", size=30_000), now)
    for turns in range(40):
        task = asyncio.ensure_future(shared.find("0", now))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        kept = await shared.find("7", now)
        assert kept is None or kept.answer.body.startswith(b"answer 7")
    assert await shared.find("7", now) is not None


async def test_a_server_that_is_full_still_answers(path, open_shared, make_kept, now):
    with redis_server(path, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction"):
        shared = open_shared()
        await shared.keep("first", make_kept(), now)
        for number in range(60):
            await shared.keep(str(number), make_kept(os.urandom(50_000).hex()), now)

        assert "refuses" in shared.stats().problem
        assert await shared.find("first", now) == make_kept()


async def test_a_password_is_used_and_never_told(path, open_shared, make_kept, now, caplog):
    with redis_server(path, "--requirepass", "tell-nobody"):
        right = open_shared(url=f"unix://:tell-nobody@{path}")
        await right.keep("a", make_kept(), now)
        assert await right.find("a", now) == make_kept()

        wrong = open_shared(url=f"unix://:tell-them-all@{path}")
        assert await wrong.find("a", now) is None
        assert wrong.stats().problem != ""
        assert "tell-" not in caplog.text + wrong.stats().problem


async def test_many_calls_at_once_share_few_connections(server, open_shared, make_kept, now):
    shared = open_shared()
    await shared.keep("a", make_kept(), now)
    found = await asyncio.gather(*(shared.find("a", now) for _ in range(300)))

    assert found.count(make_kept()) == 300


async def test_a_call_whose_turn_does_not_come_goes_on_and_blames_nobody(
    server, open_shared, make_kept, now
):
    shared = open_shared(patience=Patience(20, 0.05))
    for _ in range(16):
        await shared._turns.acquire()
    assert await shared.find("a", now) is None

    assert (shared.stats().refused, shared.stats().problem) == (1, "")

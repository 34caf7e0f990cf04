"""Ports of sessions: whose they are, how long they stay, how many there are."""

import asyncio
import contextlib
import gc
import os
import resource
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest

from remora.clock import SystemClock
from remora.records import CallRecord
from remora.task_owner import TaskOwner
from remora.testing.virtual_loop import VirtualTimeLoop
from remora_sidecar.engine.sessions import MAX_ENDED, MAX_SESSIONS, Session, Sessions
from remora_sidecar.interceptor.layers import Route
from remora_sidecar.interceptor.listener import Interceptor
from remora_sidecar.interceptor.session_ports import (
    IDLE_S,
    LOOK_EVERY_S,
    QUARANTINE_S,
    SessionPorts,
    room_for_ports,
)
from remora_sidecar.model.connect_to import ConnectTo

HOST = "127.0.0.1"


@dataclass
class Stage:
    """Ports on virtual time, and the sessions that have them."""

    max_ports: int = 10
    sessions: Sessions = field(default_factory=lambda: Sessions(0))
    routes: list[Route] = field(default_factory=list)

    def __post_init__(self):
        """Make the ports; their connections are accepted, and nothing is read from them."""
        self.interceptor = Interceptor(
            make_route=self._route, opaque_ended=lambda _: None, clock=SystemClock()
        )
        self.ports = SessionPorts(
            self.interceptor, self.sessions, host=HOST, max_ports=self.max_ports
        )
        self.tasks = TaskOwner("stage")
        self.tasks.spawn(self.ports.run(), name="ports")

    def _route(self, mode: str) -> Route:
        route = Route(
            policy=lambda: None, tls_context=lambda _: None, engine=lambda _: None,
            before_answers=lambda: None, connect_to=ConnectTo.parse(""),
            dial_guard=lambda host, port: None, mode=mode,
        )  # fmt: skip
        self.routes.append(route)
        return route

    async def open(self) -> tuple[Session, int | None]:
        session = self.sessions.open(0)
        return session, await self.ports.open(session)

    def end(self, session: Session) -> None:
        self.sessions.end(session.session_id)
        self.ports.session_ended(session.session_id)

    async def aclose(self):
        self.ports.stop_listening()
        await self.interceptor.aclose()
        await self.tasks.aclose()


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


type Play = Callable[[Stage], Awaitable[None]]


def played(play: Play, **stage: int) -> None:
    """Run a play on virtual time to its end."""

    async def run() -> None:
        made = Stage(**stage)
        try:
            await play(made)
        finally:
            await made.aclose()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run())


def test_a_connection_is_its_ports_sessions_in_explicit_mode():
    async def play(stage):
        session, port = await stage.open()
        assert await accepts(port)
        assert [(route.mode, route.proxy_user) for route in stage.routes] == [
            ("explicit", session.session_id)
        ]

    played(play)


def test_sessions_opened_at_once_have_ports_of_their_own():
    async def play(stage):
        opened = await asyncio.gather(*(stage.open() for _ in range(50)))
        ports = [port for _, port in opened]
        assert None not in ports
        assert len(set(ports)) == len(stage.ports) == 50

    played(play, max_ports=50)


def test_an_ended_sessions_port_takes_late_calls_for_a_minute_and_is_closed_then():
    async def play(stage):
        session, port = await stage.open()
        await asyncio.sleep(LOOK_EVERY_S * 3.5)
        stage.end(session)
        await asyncio.sleep(QUARANTINE_S - 1)
        assert await accepts(port)
        assert stage.routes[-1].proxy_user == session.session_id
        await asyncio.sleep(1.5)
        assert not await accepts(port)
        assert len(stage.ports) == 0

    played(play)


@pytest.mark.parametrize("how", ["ended", "forgotten"])
def test_the_port_of_a_session_that_is_gone_otherwise_goes_too(how):
    async def play(stage):
        session, port = await stage.open()
        if how == "ended":
            stage.sessions.end(session.session_id)
        else:
            for _ in range(MAX_SESSIONS + 1):
                stage.sessions.open(0)
        await asyncio.sleep(LOOK_EVERY_S + QUARANTINE_S + LOOK_EVERY_S)
        assert session.ended
        assert not await accepts(port)

    played(play)


def test_where_all_ports_are_taken_the_session_that_ended_first_gives_its_own():
    async def play(stage):
        opened = [await stage.open() for _ in range(3)]
        (first, first_port), (second, second_port), (_, live_port) = opened
        stage.end(second)
        stage.end(first)
        _, fourth_port = await stage.open()
        assert fourth_port is not None
        assert not await accepts(second_port)
        assert await accepts(first_port)
        assert await accepts(live_port)
        assert len(stage.ports) == 3

    played(play, max_ports=3)


def test_where_all_sessions_live_there_is_no_port_until_one_was_idle_for_an_hour():
    async def play(stage):
        (idle, idle_port), (busy, _), (waits, _) = [await stage.open() for _ in range(3)]
        waits.in_flight = 1
        assert (await stage.open())[1] is None
        await asyncio.sleep(IDLE_S - LOOK_EVERY_S)
        busy.add(CallRecord("1" * 32, 0))
        assert (await stage.open())[1] is None
        await asyncio.sleep(LOOK_EVERY_S + 1)
        _, port = await stage.open()
        assert port is not None
        assert not await accepts(idle_port) or idle_port == port
        assert [one.ended for one in (idle, busy, waits)] == [True, False, False]
        assert (await stage.open())[1] is None  # the others have made calls

    played(play, max_ports=3)


def test_opening_many_at_once_never_takes_more_ports_than_there_are():
    async def play(stage):
        opened = await asyncio.gather(*(stage.open() for _ in range(20)))
        assert sum(port is not None for _, port in opened) == len(stage.ports) == 7

    played(play, max_ports=7)


def test_a_connection_left_open_ends_with_its_port_but_not_under_a_call():
    async def play(stage):
        session, port = await stage.open()
        reader, writer = await asyncio.open_connection(HOST, port)
        await asyncio.sleep(0.1)
        session.in_flight = 1
        stage.end(session)
        await asyncio.sleep(QUARANTINE_S * 10)
        assert not await accepts(port)
        assert not reader.at_eof()
        session.in_flight = 0
        assert await asyncio.wait_for(reader.read(), LOOK_EVERY_S * 2) == b""
        writer.close()
        await writer.wait_closed()

    played(play)


def test_a_sidecar_that_stops_takes_no_new_connections_and_opens_no_ports():
    async def play(stage):
        session, port = await stage.open()
        _, ended_port = ended = await stage.open()
        stage.end(ended[0])
        stage.ports.stop_listening()
        assert not await accepts(port)
        assert not await accepts(ended_port)
        assert (await stage.open())[1] is None
        stage.end(session)  # finds no port any more

    played(play)


def test_whoever_gives_up_while_a_port_is_opened_leaves_none_behind():
    async def play(stage):
        before = open_files()
        opening = stage.tasks.spawn(stage.open(), name="open")
        await asyncio.sleep(0)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await opening
        await asyncio.sleep(0.1)
        assert len(stage.ports) == 0
        assert open_files() <= before

    played(play)


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Leave this process no more descriptors than it has."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 40, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for one in held:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_without_a_descriptor_there_is_no_port():
    async def play(stage):
        with no_descriptor_left():
            assert (await stage.open())[1] is None
        assert len(stage.ports) == 0
        assert (await stage.open())[1] is not None

    played(play)


def test_ten_thousand_sessions_leave_no_port_task_file_or_memory_behind():
    async def play(stage):
        await stage.open()
        await asyncio.sleep(0.1)
        files, tasks, kept = open_files(), len(asyncio.all_tasks()), kept_in_memory()
        for _ in range(10_000):
            session, port = await stage.open()
            assert port is not None
            stage.end(session)
        assert len(stage.ports) == stage.max_ports
        await asyncio.sleep(QUARANTINE_S + LOOK_EVERY_S)
        assert len(stage.ports) == 1
        assert open_files() <= files  # what other tests left open may be collected meanwhile
        assert len(asyncio.all_tasks()) == tasks
        found = kept_in_memory() - kept
        assert found <= Counter({Session: MAX_ENDED})  # those that late calls may name

    played(play, max_ports=200)


def test_as_many_ports_fit_as_there_are_descriptors_for(monkeypatch):
    monkeypatch.setattr(
        "remora_sidecar.interceptor.session_ports.raise_descriptor_limit", lambda wanted: 1024
    )

    assert room_for_ports(100) == 100
    assert room_for_ports(1000) == (1024 - 512) // 3


def kept_in_memory() -> Counter[type]:
    """Count what each session brought with it."""
    gc.collect()
    kinds = Counter(map(type, gc.get_objects()))
    return Counter({kind: kinds[kind] for kind in (Session, asyncio.Server, Route)})


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))

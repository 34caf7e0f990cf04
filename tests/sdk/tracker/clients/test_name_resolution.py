"""Clients that are not covered are told about by the names that they resolve."""

import asyncio
import contextlib
import runpy
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import uvloop

from remora.tracker.active import UntrackedCallWarning, within

CLIENT = """
import asyncio, contextlib, socket

def dial(host, port):
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), timeout=5).close()

async def dial_async(host, port):
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        await writer.wait_closed()
"""


@pytest.fixture
def odd_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client that nobody has heard of."""
    (tmp_path / "oddclient.py").write_text(CLIENT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "oddclient", raising=False)
    import oddclient

    return oddclient


def dial(client: Any, port: int) -> None:
    client.dial("localhost", port)


def dial_async(client: Any, port: int) -> None:
    asyncio.run(client.dial_async("localhost", port))


def dial_with_uvloop(client: Any, port: int) -> None:
    uvloop.run(client.dial_async("localhost", port))


def dial_in_an_executor_of_the_session(client: Any, port: int) -> None:
    async def work() -> None:
        await asyncio.to_thread(client.dial, "localhost", port)

    asyncio.run(work())


WAYS = [dial, dial_async, dial_with_uvloop, dial_in_an_executor_of_the_session]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_client_past_the_sidecar_is_named_once(
    session: Any, unused_port: int, odd_client: Any, way: Any, recwarn: Any
) -> None:
    with within(session):
        way(odd_client, unused_port)
        way(odd_client, unused_port)
    texts = [str(one.message) for one in recwarn.list]
    assert len(texts) == 1
    assert recwarn.pop(UntrackedCallWarning)
    assert texts[0].startswith("oddclient connects to localhost past the sidecar")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_outside_of_sessions_nothing_is_told(
    stage: Any, unused_port: int, odd_client: Any, way: Any
) -> None:
    way(odd_client, unused_port)


@pytest.mark.parametrize("host", ["127.0.0.1", b"127.0.0.1", None], ids=str)
def test_names_of_others_may_be_resolved(session: Any, host: Any) -> None:
    with within(session):
        assert socket.getaddrinfo(host, 80)


@pytest.mark.parametrize("port", [443, "443", "https", None, b"443"], ids=str)
def test_a_providers_name_is_known_by_any_way_to_say_the_port(session: Any, port: Any) -> None:
    with (
        within(session),
        pytest.warns(UntrackedCallWarning, match="past the sidecar"),
        contextlib.suppress(OSError),
    ):
        socket.getaddrinfo("localhost", port)


def test_without_a_package_on_the_stack_it_is_the_program(session: Any, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import socket\nsocket.getaddrinfo('localhost', 443)\n")
    with within(session), pytest.warns(UntrackedCallWarning, match="__main__ connects"):
        runpy.run_path(str(program), run_name="__main__")

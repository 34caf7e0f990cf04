"""Opening the interceptor's listeners."""

import logging
import socket
from collections.abc import AsyncIterator

import pytest

from remora.clock import SystemClock
from remora.errors import ConfigError
from remora.testing.raw_agent import RawAgent
from remora_sidecar.interceptor.layers import Route
from remora_sidecar.interceptor.listener import Interceptor


def _no_route(mode: str) -> Route:
    raise AssertionError(f"no connection was to be served in {mode} mode")


@pytest.fixture
async def interceptor() -> AsyncIterator[Interceptor]:
    made = Interceptor(make_route=_no_route, opaque_ended=lambda _: None, clock=SystemClock())
    yield made
    await made.aclose()


async def test_a_port_in_use_is_a_problem_of_the_setting(interceptor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        host, port = holder.getsockname()
        with pytest.raises(ConfigError) as raised:
            await interceptor.listen("explicit", [(host, port)], setting="REMORA_SESSION_LISTEN")

    (problem,) = raised.value.problems
    assert problem.where == "REMORA_SESSION_LISTEN"
    assert problem.what == f"{host}:{port} can't be listened on: Address already in use"


async def test_an_address_family_that_is_missing_is_skipped_and_said(interceptor, caplog) -> None:
    caplog.set_level(logging.INFO)
    # An IPv6 address that no machine has (RFC 3849) fails as every one does without IPv6.
    await interceptor.listen("explicit", [("127.0.0.1", 0), ("2001:db8::1", 15001)])

    assert interceptor.skipped == ["[2001:db8::1]:15001"]
    assert len(interceptor.addresses["explicit"]) == 1
    assert "no IPv6 here: [2001:db8::1]:15001 is not listened on" in caplog.text


async def test_no_address_left_is_a_problem(interceptor) -> None:
    with pytest.raises(ConfigError, match=r"no address could be listened on"):
        await interceptor.listen("explicit", [("2001:db8::1", 15001)])


async def test_a_direct_connection_to_the_transparent_listener_is_closed(
    interceptor, caplog
) -> None:
    await interceptor.listen("transparent", [("127.0.0.1", 0)])
    async with await RawAgent.connect(interceptor.addresses["transparent"][0]) as agent:
        assert await agent.at_end()

    assert "a direct connection to the transparent listener was closed" in caplog.text

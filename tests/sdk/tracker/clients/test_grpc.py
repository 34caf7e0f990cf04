"""gRPC channels to a provider's host, through the sidecar, to a real server over TLS."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import trustme

from remora.tracker.active import UntrackedCallWarning, within

METHOD = "/test.Echo/Say"


def _say(request: bytes, context: grpc.ServicerContext) -> bytes:
    return request + b"!"


@pytest.fixture(scope="module")
def grpc_server() -> Iterator[tuple[str, bytes]]:
    """A gRPC server on a port of localhost, and the root that it is to be trusted by."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {"Say": grpc.unary_unary_rpc_method_handler(_say)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(leaf.private_key_pem.bytes(), chain)])
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    yield f"localhost:{port}", authority.cert_pem.bytes()
    server.stop(None).wait()


@pytest.fixture
def grpc_stage(make_stage: Any, grpc_server: Any) -> Any:
    """A sidecar that dials the gRPC server for the provider."""
    return make_stage(grpc_server[0])


def say(target: str, root: bytes, **options: Any) -> bytes:
    credentials = grpc.ssl_channel_credentials(root)
    with grpc.secure_channel(target, credentials, **options) as channel:
        return channel.unary_unary(METHOD)(b"hi", timeout=30)


async def say_async(target: str, root: bytes, **options: Any) -> bytes:
    credentials = grpc.ssl_channel_credentials(root)
    async with grpc.aio.secure_channel(target, credentials, **options) as channel:
        return await channel.unary_unary(METHOD)(b"hi", timeout=30)


def say_in_asyncio(target: str, root: bytes, **options: Any) -> bytes:
    return asyncio.run(say_async(target, root, **options))


WAYS = [say, say_in_asyncio]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_channel_made_in_a_session_goes_by_its_sidecar(
    grpc_stage: Any, grpc_server: Any, way: Any
) -> None:
    session = grpc_stage.open()
    with within(session):
        assert way(*grpc_server) == b"hi!"
    (record,) = grpc_stage.records(session)
    assert record.opaque


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_channel_made_outside_of_sessions_goes_where_it_always_went(
    grpc_stage: Any, grpc_server: Any, way: Any
) -> None:
    before = grpc_stage.count()
    assert way(*grpc_server) == b"hi!"
    assert grpc_stage.count() == before


def test_a_channel_of_another_context_is_told_about(grpc_stage: Any, grpc_server: Any) -> None:
    target, root = grpc_server
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(root)) as channel:
        stub = channel.unary_unary(METHOD)
        with (
            within(grpc_stage.open()),
            pytest.warns(UntrackedCallWarning, match="make the channel within it"),
        ):
            assert stub(b"hi", timeout=30) == b"hi!"


async def test_an_async_channel_of_another_context_is_told_about(
    grpc_stage: Any, grpc_server: Any
) -> None:
    target, root = grpc_server
    session = grpc_stage.open()
    async with grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(root)) as channel:
        stub = channel.unary_unary(METHOD)
        with (
            within(session),
            pytest.warns(UntrackedCallWarning, match="make the channel within it"),
        ):
            assert await stub(b"hi", timeout=30) == b"hi!"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_options_of_the_programs_own_stay_in_force(
    grpc_stage: Any, grpc_server: Any, way: Any
) -> None:
    before = grpc_stage.count()
    options = [("grpc.enable_http_proxy", 0)]
    with (
        within(grpc_stage.open()),
        pytest.warns(UntrackedCallWarning, match=r"option grpc\.enable_http_proxy"),
    ):
        assert way(*grpc_server, options=options) == b"hi!"
    assert grpc_stage.count() == before


def test_a_proxy_of_the_environment_stays_in_force(
    grpc_stage: Any, grpc_server: Any, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{unused_port}")
    with (
        within(grpc_stage.open()),
        pytest.warns(UntrackedCallWarning, match="proxy of their own"),
        pytest.raises(grpc.RpcError),
    ):
        say(*grpc_server)


def test_channels_to_other_servers_are_left_alone(session: Any, grpc_server: Any) -> None:
    address = grpc_server[0].replace("localhost", "127.0.0.1")
    override = [("grpc.ssl_target_name_override", "localhost")]
    with within(session):
        assert say(address, grpc_server[1], options=override) == b"hi!"

"""The client's half of a session's router, against the other half played by hand."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from remora.errors import Unavailable
from remora.router_messages import ask_text
from remora.routing import RouteContext, RoutedSession
from remora.routing_client import serve_router

SESSION_ID = "sess_0123456789abcdef"


class _Sidecar:
    """Takes connections, and hands them to the test."""

    def __init__(self) -> None:
        self.path = ""
        self.headers = {}
        self.connection: ServerConnection | None = None
        self.connected = threading.Event()
        self.done = threading.Event()

    def take(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.path, self.headers = connection.request.path, connection.request.headers
        self.connection = connection
        self.connected.set()
        self.done.wait(10)

    def ask(self, number, text=None):
        self.connected.wait(10)
        context = RouteContext({"model": "a"}, "openai", "a", RoutedSession(SESSION_ID))
        self.connection.send(text or ask_text(number, context, []))

    def answer(self):
        return json.loads(self.connection.recv(timeout=10))


@contextmanager
def _listening(**options) -> Iterator[tuple[str, _Sidecar]]:
    sidecar = _Sidecar()
    with serve(sidecar.take, "127.0.0.1", 0, compression=None, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.socket.getsockname()[1]}", sidecar
        finally:
            sidecar.done.set()
            server.shutdown()
            thread.join()


class _Router:
    def __init__(self, choose):
        self.choose = choose

    def route(self, ctx):
        return self.choose(ctx)


def test_a_router_answers_what_it_is_asked():
    router = _Router(lambda ctx: ctx.requested_model + "-mini")
    with _listening() as (address, sidecar), serve_router(address, SESSION_ID, router):
        sidecar.ask(7)
        answer = sidecar.answer()

    assert answer == {"ask": 7, "model": "a-mini"}
    assert sidecar.path == f"/v1/sessions/{SESSION_ID}/router"
    assert sidecar.headers["Host"] == address
    assert "Origin" not in sidecar.headers


async def test_a_router_is_served_from_a_loop_as_well():
    router = _Router(lambda ctx: None)
    with _listening() as (address, sidecar):
        async with serve_router(address, SESSION_ID, router):
            sidecar.ask(1)
            answer = sidecar.answer()

    assert answer == {"ask": 1, "model": None}


def _fails(ctx):
    raise LookupError("the prompt, and sk-secret")


def test_of_an_exception_only_the_class_is_told_and_logged(caplog):
    caplog.set_level(logging.DEBUG)
    with _listening() as (address, sidecar), serve_router(address, SESSION_ID, _Router(_fails)):
        sidecar.ask(1)
        answer = sidecar.answer()

    assert answer == {"ask": 1, "model": None, "error": "LookupError"}
    assert "LookupError at " in caplog.text
    assert "sk-secret" not in caplog.text
    assert SESSION_ID not in caplog.text.replace(sidecar.path, "")


@pytest.mark.parametrize(
    ("model", "error"), [(7, "TypeError"), ("m" * 257, "ValueError")], ids=["a number", "too long"]
)
def test_what_is_no_model_is_told_as_an_error(model, error):
    router = _Router(lambda ctx: model)
    with _listening() as (address, sidecar), serve_router(address, SESSION_ID, router):
        sidecar.ask(1)
        answer = sidecar.answer()

    assert answer == {"ask": 1, "model": None, "error": error}


def test_a_message_that_is_no_ask_is_passed_by():
    with (
        _listening() as (address, sidecar),
        serve_router(address, SESSION_ID, _Router(lambda ctx: "b")),
    ):
        sidecar.ask(0, text='{"hello": "from a newer sidecar"}')
        sidecar.ask(2)
        answer = sidecar.answer()

    assert answer == {"ask": 2, "model": "b"}


def test_the_end_of_the_block_ends_the_connection_without_a_word(caplog):
    with _listening() as (address, sidecar):
        with serve_router(address, SESSION_ID, _Router(lambda ctx: None)):
            sidecar.connected.wait(10)
        with pytest.raises(ConnectionClosed):
            sidecar.connection.recv(timeout=10)

    assert not [one for one in caplog.records if one.name.startswith("remora")]


def test_a_router_that_the_sidecar_lets_go_says_so(caplog):
    with _listening() as (address, sidecar):
        service = serve_router(address, SESSION_ID, _Router(lambda ctx: None))
        with service:
            sidecar.connected.wait(10)
            sidecar.connection.close(
                4000, "the session's router was replaced by another connection"
            )
            service.wait(10)

    assert "calls go unrouted from now on: the session's router was replaced" in caplog.text


def test_where_no_sidecar_is_the_block_does_not_begin():
    with pytest.raises(Unavailable, match=r"no sidecar answers on 127\.0\.0\.1:1"):
        serve_router("127.0.0.1:1", SESSION_ID, _Router(lambda ctx: None)).open()


def test_an_address_that_is_none_is_said():
    with pytest.raises(Unavailable, match="no sidecar answers on nowhere at all"):
        serve_router("nowhere at all", SESSION_ID, _Router(lambda ctx: None)).open()


@pytest.mark.parametrize(
    ("status", "said"), [(404, "does not know the session"), (403, r"takes no router .*HTTP 403")]
)
def test_a_sidecar_that_refuses_is_told_with_its_reason(status, said):
    def refuse(connection, request):
        return connection.respond(status, "no")

    with (
        _listening(process_request=refuse) as (address, _),
        pytest.raises(Unavailable, match=said) as caught,
    ):
        serve_router(address, SESSION_ID, _Router(lambda ctx: None)).open()

    assert SESSION_ID not in str(caught.value)

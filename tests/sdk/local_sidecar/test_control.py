"""The client of a control listener, before whatever may answer there."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from remora.errors import Unavailable
from remora.local_sidecar.control import ControlClient, ControlRefused


@pytest.fixture
def serve() -> Iterator[Callable[..., ControlClient]]:
    """Give what serves one answer to everything, and a client of it."""
    servers: list[ThreadingHTTPServer] = []
    clients: list[ControlClient] = []

    def start(status: int, body: bytes, version: str = "HTTP/1.1") -> ControlClient:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = version

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - as its base calls them

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, name="served").start()
        servers.append(server)
        clients.append(ControlClient(f"127.0.0.1:{server.server_port}"))
        return clients[-1]

    yield start
    for client in clients:
        client.close()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("body", [b"<html>", b"[1, 2]", b'"text"', b"7", b"\xff"], ids=repr)
def test_what_is_no_sidecar_is_told_as_such_and_is_not_alive(serve, body):
    control = serve(200, body)
    with pytest.raises(Unavailable, match="no sidecar"):
        control.status()
    assert not control.is_alive()


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error": {"message": "no", "code": "FORBIDDEN"}}', "refused: no", "FORBIDDEN"),
        (b'{"error": "in text"}', "refused: in text", ""),
        (b"<html>", "refused: 403", ""),
        (b"[]", "refused: 403", ""),
        (b"", "refused: 403", ""),
    ],
    ids=["ours", "text", "html", "list", "nothing"],
)
def test_a_refusal_says_why_whatever_its_form(serve, body, message, code):
    with pytest.raises(ControlRefused, match=message) as refused:
        serve(403, body).status()
    assert (refused.value.status, refused.value.code) == (403, code)


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_many_threads_share_a_client(serve, version):
    control = serve(200, b'{"ready": true}', version)
    alive: list[bool] = []
    threads = [
        threading.Thread(target=lambda: alive.extend(control.is_alive() for _ in range(20)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert alive == [True] * 160


def test_nobody_there_is_told_with_the_address(unused_tcp_port):
    with pytest.raises(Unavailable, match=f"127.0.0.1:{unused_tcp_port} is not reachable"):
        ControlClient(f"127.0.0.1:{unused_tcp_port}").status()


@pytest.mark.parametrize("address", ["ftp://gw", "http://", "unix:///x"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValueError, match="no http"):
        ControlClient(address)
